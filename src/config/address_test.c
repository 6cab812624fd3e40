/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"

#include "address.h"

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        int rc;
        bool local, loopback_only;
        uint16_t port;
    } cases[] = {
        {"ipv4", "192.0.2.1:9998", 0, false, false, 9998},
        {"loopback", "127.0.0.1:1", 0, false, true, 1},
        {"ipv6", "[2001:db8::1]:65535", 0, false, false, 65535},
        {"ipv6 loopback", "[::1]:25", 0, false, true, 25},
        {"path", "unix:/run/x.sock", 0, true, true, 0},
        {"relative path", "unix:x.sock", ERR_INVALID, false, false, 0},
        {"ipv6 without brackets", "2001:db8::1:9998", ERR_INVALID, false, false, 0},
        {"name", "localhost:9998", ERR_INVALID, false, false, 0},
        {"no port", "127.0.0.1", ERR_INVALID, false, false, 0},
        {"port 0", "127.0.0.1:0", ERR_INVALID, false, false, 0},
        {"port too large", "127.0.0.1:65536", ERR_LIMIT, false, false, 0},
        {"no host", ":9998", ERR_INVALID, false, false, 0},
        {"empty", "", ERR_INVALID, false, false, 0},
        {"colon", ":", ERR_INVALID, false, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct address address;
        int rc = address_parse(slice_of(cases[i].in), &address);
        if ((rc < 0) != (cases[i].rc < 0))
            fail_msg("%s: %d", cases[i].name, rc);
        if (rc == 0 && (address.local != cases[i].local || address.port != cases[i].port ||
                        address_is_private(&address) != cases[i].loopback_only))
            fail_msg("%s: port %u", cases[i].name, address.port);
    }
}

static void a_long_path_does_not_fit(void **state)
{
    (void)state;
    char text[256] = "unix:/";
    struct address address;

    memset(text + 6, 'x', ADDRESS_PATH_BYTES - 2);
    assert_int_equal(address_parse(slice_of(text), &address), 0);
    text[strlen(text)] = 'x';
    assert_int_equal(address_parse(slice_of(text), &address), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(a_long_path_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
