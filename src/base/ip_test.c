/* SPDX-License-Identifier: Apache-2.0
 *
 * ip: tables of addresses and prefixes.
 */
#include "base/ip.h"
#include "base/test.h"

static void addresses_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"[192.0.2.1]", "192.0.2.1"},
        {"IPv6:2001:db8::1", "2001:db8::1"},
        {"2001:DB8:0::1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"unknown", NULL},
        {"", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct ip ip;
        char text[IP_TEXT_BYTES];
        int rc = ip_parse(slice_of(cases[i].in), &ip);
        if (cases[i].out == NULL) {
            if (rc != ERR_INVALID)
                fail_msg("'%s' was taken", cases[i].in);
            continue;
        }
        assert_int_equal(rc, 0);
        ip_format(&ip, text);
        assert_string_equal(text, cases[i].out);
    }
}

static void prefixes_contain(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *ip;
        bool inside;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/32", "2001:db8:ffff::", true},
        {"2001:db8::/32", "2001:db9::", false},
        {"::/0", "2001:db8::1", true},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.128/25", "192.0.2.127", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct ip_prefix prefix;
        struct ip ip;
        assert_int_equal(ip_prefix_parse(slice_of(cases[i].prefix), &prefix), 0);
        assert_int_equal(ip_parse(slice_of(cases[i].ip), &ip), 0);
        if (ip_prefix_contains(&prefix, &ip) != cases[i].inside)
            fail_msg("%s in %s", cases[i].ip, cases[i].prefix);
    }
}

static void prefixes_are_strict_and_round_trip(void **state)
{
    (void)state;
    static const char *const refused[] = {"192.0.2.1/24", "192.0.2.0/33", "2001:db8::/129",
                                          "x/8",          "10.0.0.0/",    "/8"};
    static const char *const kept[] = {"192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "192.0.2.7/32"};
    struct ip_prefix prefix;
    struct ip last;
    char text[IP_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++)
        if (ip_prefix_parse(slice_of(refused[i]), &prefix) != ERR_INVALID)
            fail_msg("'%s' was taken", refused[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++) {
        assert_int_equal(ip_prefix_parse(slice_of(kept[i]), &prefix), 0);
        ip_prefix_format(&prefix, text);
        assert_string_equal(text, kept[i]);
    }
    assert_int_equal(ip_prefix_parse(SLICE("192.0.2.0/23"), &prefix), 0);
    ip_prefix_last(&prefix, &last);
    ip_format(&last, text);
    assert_string_equal(text, "192.0.3.255");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(prefixes_contain),
        cmocka_unit_test(prefixes_are_strict_and_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
