/* SPDX-License-Identifier: Apache-2.0
 *
 * upgrade: see upgrade.h.
 */
#include "upgrade.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>

enum { KEY_CHARS = 24, KEY_BYTES = 16 };
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

/* Whether a field that is a list has the word; the field may be there more than once. */
static bool has_word(const struct http_head *head, const char *name, struct slice word)
{
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice rest = head->fields[i].value, item;
        if (!slice_equal_nocase(head->fields[i].name, slice_of(name)))
            continue;
        while (slice_split(&rest, ',', &item))
            if (slice_equal_nocase(slice_trim(item), word))
                return true;
    }
    return false;
}

static size_t count_field(const struct http_head *head, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < head->field_count; i++)
        count += slice_equal_nocase(head->fields[i].name, slice_of(name));
    return count;
}

/* The base64 of 16 bytes: 22 letters and "==". */
static bool is_key(struct slice key)
{
    unsigned char text[KEY_CHARS + 1], bytes[KEY_BYTES + 2];
    if (key.n != KEY_CHARS || memcmp(key.p + KEY_CHARS - 2, "==", 2) != 0 ||
        memchr(key.p, '=', KEY_CHARS - 2) != NULL)
        return false;
    memcpy(text, key.p, KEY_CHARS);
    text[KEY_CHARS] = '\0';
    return EVP_DecodeBlock(bytes, text, KEY_CHARS) == KEY_BYTES + 2;
}

static void make_accept(struct slice key, char accept[static UPGRADE_ACCEPT_BYTES])
{
    unsigned char joined[KEY_CHARS + sizeof GUID - 1], hash[SHA_DIGEST_LENGTH];
    memcpy(joined, key.p, KEY_CHARS);
    memcpy(joined + KEY_CHARS, GUID, sizeof GUID - 1);
    (void)SHA1(joined, sizeof joined, hash);
    (void)EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash);
}

int upgrade_check(const struct http_head *head, char accept[static UPGRADE_ACCEPT_BYTES], const char **why)
{
    struct slice key = http_head_field(head, "Sec-WebSocket-Key");
    if (head->minor < 1 || !has_word(head, "Upgrade", SLICE("websocket")) ||
        !has_word(head, "Connection", SLICE("upgrade")))
        return refuse(426, "this path speaks WebSocket (RFC 6455) over HTTP/1.1: ask for the upgrade", why);
    if (!slice_equal(head->method, SLICE("GET")) || head->framing != HTTP_NO_BODY)
        return refuse(400, "a WebSocket begins with GET and without a body", why);
    if (!slice_equal(http_head_field(head, "Sec-WebSocket-Version"), SLICE("13")))
        return refuse(426, "the WebSocket version that is spoken here is 13", why);
    if (count_field(head, "Sec-WebSocket-Key") != 1 || !is_key(key))
        return refuse(400, "there must be one Sec-WebSocket-Key, the base64 of 16 bytes", why);
    make_accept(key, accept);
    return 0;
}
