/* SPDX-License-Identifier: Apache-2.0
 *
 * text: tables of inputs and what must come of them.
 */
#include "base/test.h"
#include "base/text.h"

static void numbers_are_bounded_and_strict(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        uint64_t max;
        int rc;
        uint64_t out;
    } cases[] = {
        {"zero", "0", 10, 0, 0},
        {"at the limit", "10", 10, 0, 10},
        {"over the limit", "11", 10, ERR_LIMIT, 0},
        {"over 64 bits", "18446744073709551616", UINT64_MAX, ERR_LIMIT, 0},
        {"largest", "18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"empty", "", 10, ERR_INVALID, 0},
        {"sign", "+1", 10, ERR_INVALID, 0},
        {"space", "1 ", 10, ERR_INVALID, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        uint64_t out = 0;
        int rc = text_to_u64(slice_of(cases[i].in), cases[i].max, &out);
        if (rc != cases[i].rc || out != cases[i].out)
            fail_msg("%s: rc %d, out %lu", cases[i].name, rc, (unsigned long)out);
    }
}

static void durations_and_bytes(void **state)
{
    (void)state;
    int64_t us;
    uint64_t bytes;
    assert_int_equal(text_to_duration_us(SLICE("250ms"), &us), 0);
    assert_int_equal(us, 250000);
    assert_int_equal(text_to_duration_us(SLICE("24h"), &us), 0);
    assert_int_equal(us, 86400LL * 1000000);
    assert_int_equal(text_to_duration_us(SLICE("9223372036854775807w"), &us), ERR_LIMIT);
    assert_int_equal(text_to_duration_us(SLICE("5 s"), &us), ERR_INVALID);
    assert_int_equal(text_to_bytes(SLICE("64k"), &bytes), 0);
    assert_int_equal(bytes, 65536);
    assert_int_equal(text_to_bytes(SLICE("M"), &bytes), ERR_INVALID);
}

static void utf8_follows_rfc_3629(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *escaped;
        bool valid;
    } cases[] = {
        {"ascii", "abc", "abc", true},
        {"two bytes", "\xc3\xa9", "\xc3\xa9", true},
        {"latin-1", "\xe9t\xe9", "\\xe9t\\xe9", false},
        {"overlong slash", "\xc0\xaf", "\\xc0\\xaf", false},
        {"surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80", false},
        {"last code point", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", true},
        {"beyond it", "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", false},
        {"cut sequence", "a\xe2\x82", "a\\xe2\\x82", false},
        {"empty", "", "", true},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char out[64];
        size_t n = text_escape_invalid(slice_of(cases[i].in), out);
        if (text_is_utf8(slice_of(cases[i].in)) != cases[i].valid ||
            !slice_equal((struct slice){out, n}, slice_of(cases[i].escaped)))
            fail_msg("%s: '%.*s'", cases[i].name, (int)n, out);
    }
    assert_false(text_is_utf8((struct slice){"a\0b", 3}));
}

static void hex_round_trip(void **state)
{
    (void)state;
    uint8_t bytes[3];
    char text[7];
    assert_int_equal(text_from_hex(SLICE("00fFa1"), bytes, 3), 0);
    text_to_hex(bytes, 3, text);
    assert_string_equal(text, "00ffa1");
    assert_int_equal(text_from_hex(SLICE("0g"), bytes, 1), ERR_INVALID);
}

static void split_keeps_empty_parts(void **state)
{
    (void)state;
    struct slice rest = SLICE("a,,b"), part;
    assert_true(slice_split(&rest, ',', &part));
    assert_true(slice_equal(part, SLICE("a")));
    assert_true(slice_split(&rest, ',', &part));
    assert_int_equal(part.n, 0);
    assert_true(slice_split(&rest, ',', &part));
    assert_true(slice_equal(part, SLICE("b")));
    assert_false(slice_split(&rest, ',', &part));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_bounded_and_strict), cmocka_unit_test(durations_and_bytes),
        cmocka_unit_test(utf8_follows_rfc_3629),          cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(split_keeps_empty_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
