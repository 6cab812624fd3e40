/* SPDX-License-Identifier: Apache-2.0
 *
 * https_url: where a hub's HTTPS is, and the pin of its key, as the settings have them (https.h). Pure.
 */
#include "https.h"

#include <mbedtls/base64.h>

#define PIN_PREFIX "sha256//"

static int bad_url(struct err *err, const char *text)
{
    return err_set(err, ERR_CONFIG, "https_server '%s' is no address: use https://HOST:PORT", text);
}

/* "host", "host:port", "[::1]:port" */
static bool split(struct slice authority, struct slice *host, struct slice *port)
{
    *port = SLICE("443");
    if (authority.n > 0 && authority.p[0] == '[') {
        const char *end = memchr(authority.p, ']', authority.n);
        if (end == NULL)
            return false;
        *host = (struct slice){authority.p + 1, (size_t)(end - authority.p) - 1};
        authority = (struct slice){end + 1, authority.n - host->n - 2};
        if (authority.n == 0)
            return true;
        if (authority.p[0] != ':')
            return false;
        *port = (struct slice){authority.p + 1, authority.n - 1};
        return true;
    }
    if (memchr(authority.p, ':', authority.n) == NULL) {
        *host = authority;
        return true;
    }
    *port = authority;
    return slice_split(port, ':', host);
}

/* What can stand in a request's head. */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~' || text.p[i] == '@' || text.p[i] == '?' || text.p[i] == '#')
            return false;
    return true;
}

int https_url_parse(const char *text, struct https_url *out, struct err *err)
{
    static const char scheme[] = "https://";
    struct slice rest = slice_of(text), host, port;
    uint64_t number;
    if (rest.n < sizeof scheme || memcmp(text, scheme, sizeof scheme - 1) != 0 || !is_plain(rest))
        return bad_url(err, text);
    rest = slice_of(text + sizeof scheme - 1);
    const char *slash = memchr(rest.p, '/', rest.n);
    struct slice authority = {rest.p, slash != NULL ? (size_t)(slash - rest.p) : rest.n};
    struct slice path = {authority.p + authority.n, rest.n - authority.n};
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    if (!split(authority, &host, &port) || host.n == 0 || text_to_u64(port, 65535, &number) != 0 ||
        number == 0 || slice_to_string(host, out->host, sizeof out->host) != 0 ||
        slice_to_string(port, out->port, sizeof out->port) != 0 ||
        slice_to_string(path, out->path, sizeof out->path) != 0)
        return bad_url(err, text);
    return 0;
}

int https_pin_parse(const char *text, uint8_t pin[HTTPS_PIN_BYTES], struct err *err)
{
    size_t n = 0, prefix = sizeof PIN_PREFIX - 1;
    if (strncmp(text, PIN_PREFIX, prefix) == 0 &&
        mbedtls_base64_decode(pin, HTTPS_PIN_BYTES, &n, (const unsigned char *)text + prefix,
                              strlen(text) - prefix) == 0 &&
        n == HTTPS_PIN_BYTES)
        return 0;
    return err_set(err, ERR_CONFIG,
                   "https_pin is no pin: sha256// and the base64 of the SHA-256 of the server's key");
}
