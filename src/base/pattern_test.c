/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern: which paths fit a route's, and what stands for its star.
 */
#include "pattern.h"

#include "test.h"

static const struct {
    const char *pattern, *path;
    bool fits;
    const char *part;
} cases[] = {
    {"/a", "/a", true, ""},
    {"/a", "/a/", false, ""},
    {"/a", "/A", false, ""},
    {"/a", "", false, ""},
    {"/a/*", "/a/x", true, "x"},
    {"/a/*", "/a/", false, ""},
    {"/a/*", "/a", false, ""},
    {"/a/*", "/a/x/y", false, ""},
    {"/a/*", "/a/x%2Fy", true, "x%2Fy"},
    {"/a/*/b", "/a/x/b", true, "x"},
    {"/a/*/b", "/a//b", false, ""},
    {"/a/*/b", "/a/b", false, ""},
    {"/a/*/b", "/a/x/y/b", false, ""},
    {"/a/*/b", "/a/x/c", false, ""},
    {"/a/*/b", "/a/x/b/", false, ""},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct slice part;
        bool fits = pattern_fits(cases[i].pattern, slice_of(cases[i].path), &part);
        if (fits != cases[i].fits || (fits && !slice_equal(part, slice_of(cases[i].part))))
            fail_msg("%s %s: %d '%.*s'", cases[i].pattern, cases[i].path, fits, (int)part.n, part.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
