/* SPDX-License-Identifier: Apache-2.0
 *
 * site: which names have a hash in them; the rest is tests/test_site.py's.
 */
#include "site.h"

#include "base/test.h"

static const struct {
    const char *name;
    bool hashed;
} cases[] = {
    {"app.3f9c21ab.js", true},
    {"app.min.Bx7_-k9q.css", true},
    {"a.0123456789abcdef0123.woff2", true},
    {"app.js", false},
    {"app.3f9c21a.js", false},
    {"jquery.datatables.js", false},
    {"app.3f9c2 ab.js", false},
    {"3f9c21ab.js", false},
    {"app.3f9c21ab", false},
    {"app.12345678.", true},
    {"", false},
    {".", false},
    {"..", false},
    {"index.html", false},
};

static void test_hashed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (site_is_hashed(slice_of(cases[i].name)) != cases[i].hashed)
            fail_msg("'%s'", cases[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hashed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
