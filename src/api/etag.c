/* SPDX-License-Identifier: Apache-2.0
 *
 * etag: see etag.h.
 */
#include "etag.h"

#include <sodium.h>

enum { HASH_BYTES = 16 };

void etag_of(struct slice representation, char out[ETAG_BYTES])
{
    unsigned char hash[HASH_BYTES];
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)representation.p, representation.n,
                             NULL, 0);
    out[0] = '"';
    text_to_hex(hash, sizeof hash, out + 1);
    memcpy(out + 1 + 2 * HASH_BYTES, "\"", 2);
}

static struct slice skip(struct slice s, size_t n)
{
    return (struct slice){s.p + n, s.n - n};
}

static bool is_etag_byte(char c)
{
    return c == 0x21 || (c >= 0x23 && c != 0x7f) || (unsigned char)c >= 0x80;
}

/* Cuts one entity tag off; *is_weak without its W/. False: there is none. */
static bool take(struct slice *rest, struct slice *tag, bool *is_weak)
{
    *is_weak = rest->n >= 2 && rest->p[0] == 'W' && rest->p[1] == '/';
    if (*is_weak)
        *rest = skip(*rest, 2);
    if (rest->n < 2 || rest->p[0] != '"')
        return false;
    size_t n = 1;
    while (n < rest->n && is_etag_byte(rest->p[n]))
        n++;
    if (n == rest->n || rest->p[n] != '"')
        return false;
    *tag = (struct slice){rest->p, n + 1};
    *rest = skip(*rest, n + 1);
    return true;
}

int etag_find(struct slice list, struct slice tag, bool weak, bool *found)
{
    struct slice rest = slice_trim(list), one;
    bool is_weak;
    *found = slice_equal(rest, SLICE("*"));
    if (*found)
        return 0;
    for (bool more = true; more; rest = slice_trim(rest)) {
        if (!take(&rest, &one, &is_weak))
            return ERR_INVALID;
        *found = *found || ((weak || !is_weak) && slice_equal(one, tag));
        rest = slice_trim(rest);
        more = rest.n > 0;
        if (more && rest.p[0] != ',')
            return ERR_INVALID;
        rest = skip(rest, more);
    }
    return 0;
}
