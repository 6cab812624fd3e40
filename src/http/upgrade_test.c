/* SPDX-License-Identifier: Apache-2.0
 *
 * upgrade: the handshake of RFC 6455, 1.3, and what is not one.
 */
#include "base/test.h"
#include "upgrade.h"

#include <stdio.h>

#define KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VER  "Sec-WebSocket-Version: 13\r\n"
#define BOTH "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static int check(const char *fields, const char *version, char *accept)
{
    char text[1024];
    const char *why = NULL;
    struct http_head head;
    (void)snprintf(text, sizeof text, "GET /chat HTTP/%s\r\nHost: server.example.com\r\n%s\r\n", version,
                   fields);
    assert_int_equal(http_head_parse(slice_of(text), &head, &why), 0);
    int status = upgrade_check(&head, accept, &why);
    assert_true((status != 0) == (why != NULL));
    return status;
}

static void the_key_is_answered_as_in_the_rfc(void **state)
{
    (void)state;
    char accept[UPGRADE_ACCEPT_BYTES];
    assert_int_equal(check(BOTH KEY VER, "1.1", accept), 0);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_int_equal(check("upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade\r\n" KEY VER
                           "Sec-WebSocket-Extensions: permessage-deflate\r\n",
                           "1.1", accept),
                     0);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *version;
        int status;
    } cases[] = {
        {"", "1.1", 426},
        {"Upgrade: websocket\r\n" KEY VER, "1.1", 426},
        {"Connection: Upgrade\r\n" KEY VER, "1.1", 426},
        {"Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VER, "1.1", 426},
        {BOTH KEY VER, "1.0", 426},
        {BOTH KEY, "1.1", 426},
        {BOTH KEY "Sec-WebSocket-Version: 8\r\n", "1.1", 426},
        {BOTH VER, "1.1", 400},
        {BOTH VER KEY KEY, "1.1", 400},
        {BOTH VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", "1.1", 400},
        {BOTH VER "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n", "1.1", 400},
        {BOTH VER "Sec-WebSocket-Key: dGhl*HNhbXBsZSBub25jZQ==\r\n", "1.1", 400},
        {BOTH KEY VER "Content-Length: 2\r\n", "1.1", 400},
    };
    char accept[UPGRADE_ACCEPT_BYTES];
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (check(cases[i].fields, cases[i].version, accept) != cases[i].status)
            fail_msg("not %d: %s", cases[i].status, cases[i].fields);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_answered_as_in_the_rfc),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests_name("http/upgrade", tests, NULL, NULL);
}
