/* SPDX-License-Identifier: Apache-2.0
 *
 * etag_test: which lists of entity tags hold which tag.
 */
#include "api/etag.h"

#include "base/test.h"

enum { NO, YES, BAD };

static const struct {
    const char *list;
    int strong, weak;
} cases[] = {
    {"\"a\"", YES, YES},
    {"*", YES, YES},
    {" \"a\" ", YES, YES},
    {"\"b\", \"a\"", YES, YES},
    {"\"b\",\"a\",\"c\"", YES, YES},
    {"W/\"a\"", NO, YES},
    {"\"b\", W/\"a\"", NO, YES},
    {"\"b\"", NO, NO},
    {"\"A\"", NO, NO},
    {"\"\"", NO, NO},
    {"\"b,\"", NO, NO},
    {"", BAD, BAD},
    {"a", BAD, BAD},
    {"\"a", BAD, BAD},
    {"\"a\" \"b\"", BAD, BAD},
    {"\"a\",", BAD, BAD},
    {",\"a\"", BAD, BAD},
    {"\"a\",,\"b\"", BAD, BAD},
    {"w/\"a\"", BAD, BAD},
    {"W/ \"a\"", BAD, BAD},
    {"*, \"a\"", BAD, BAD},
    {"\"a b\"", BAD, BAD},
};

static void lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (int weak = 0; weak < 2; weak++) {
            bool found = false;
            int rc = etag_find(slice_of(cases[i].list), SLICE("\"a\""), weak != 0, &found);
            int got = rc != 0 ? BAD : found ? YES : NO;
            if (got != (weak ? cases[i].weak : cases[i].strong))
                fail_msg("'%s' %d: %d", cases[i].list, weak, got);
        }
}

static void tags_follow_from_bytes(void **state)
{
    (void)state;
    char one[ETAG_BYTES], same[ETAG_BYTES], other[ETAG_BYTES];
    bool found;
    etag_of(SLICE("{}"), one);
    etag_of(SLICE("{}"), same);
    etag_of(SLICE("{ }"), other);
    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), ETAG_BYTES - 1);
    assert_int_equal(etag_find(slice_of(one), slice_of(same), false, &found), 0);
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists), cmocka_unit_test(tags_follow_from_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
