/* SPDX-License-Identifier: Apache-2.0
 *
 * login: see login.h.
 */
#include "login.h"

#include <sodium.h>

enum { TOKEN_BYTES_MAX = 128, CSRF_RANDOM_BYTES = 32 };

static const char names[][16] = {"session", "__Host-session"};

struct slice login_token(struct slice cookie, bool secure)
{
    struct slice rest = cookie, pair, name;
    while (slice_split(&rest, ';', &pair)) {
        struct slice value = slice_trim(pair);
        if (slice_split(&value, '=', &name) && slice_equal(name, slice_of(names[secure])))
            return value.n <= TOKEN_BYTES_MAX ? value : (struct slice){NULL, 0};
    }
    return (struct slice){NULL, 0};
}

int login_set_cookie(struct buf *fields, const char *token, bool secure, int64_t lifetime_us)
{
    long long seconds = token[0] != '\0' ? (long long)(lifetime_us / 1000000) : 0;
    return buf_addf(fields, "Set-Cookie: %s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s\r\n",
                    names[secure], token, seconds, secure ? "; Secure" : "");
}

void login_csrf(struct slice token, char out[LOGIN_CSRF_BYTES])
{
    static const unsigned char key[] = "mail-analytics csrf token";
    unsigned char hash[CSRF_RANDOM_BYTES];
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)token.p, token.n, key, sizeof key);
    sodium_bin2base64(out, LOGIN_CSRF_BYTES, hash, sizeof hash, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool login_csrf_fits(struct slice token, struct slice said)
{
    char wanted[LOGIN_CSRF_BYTES];
    login_csrf(token, wanted);
    return said.n == strlen(wanted) && sodium_memcmp(said.p, wanted, said.n) == 0;
}

/* A proxy that ends TLS changes the scheme, so hosts are compared alone. */
static bool is_origin_of(struct slice origin, struct slice host)
{
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (origin.n > n && memcmp(origin.p, schemes[i], n) == 0)
            return slice_equal_nocase((struct slice){origin.p + n, origin.n - n}, host);
    }
    return false;
}

bool login_same_site(struct slice fetch_site, struct slice origin, struct slice host)
{
    if (fetch_site.n > 0 && !slice_equal(fetch_site, SLICE("same-origin")))
        return false;
    return origin.n == 0 || is_origin_of(origin, host);
}
