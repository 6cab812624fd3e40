/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: RFC 3339 both ways.
 */
#include "base/clock.h"
#include "base/test.h"

static void times_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* out NULL: refused */
    } cases[] = {
        {"2026-03-12", "2026-03-12T00:00:00.000000Z"},
        {"2026-03-12T14:05:09.12Z", "2026-03-12T14:05:09.120000Z"},
        {"2026-03-12T14:05:09+02:00", "2026-03-12T12:05:09.000000Z"},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
        {"2026-02-30", NULL},
        {"2026-03-12T25:00:00Z", NULL},
        {"2026-03-12T14:05:09", NULL},
        {"2026-03-12T14:05:09.Z", NULL},
        {"yesterday", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t ts;
        char text[CLOCK_TEXT_BYTES];
        int rc = clock_parse(slice_of(cases[i].in), &ts);
        if ((rc == 0) != (cases[i].out != NULL))
            fail_msg("'%s': %d", cases[i].in, rc);
        if (rc != 0)
            continue;
        clock_format(ts, text);
        assert_string_equal(text, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(times_are_parsed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
