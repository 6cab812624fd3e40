/* SPDX-License-Identifier: Apache-2.0
 *
 * when: times relative to now, by the clocks of a zone.
 */
#include "base/test.h"
#include "query/when.h"

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *now, *zone;
        unsigned first_day;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"now", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-12T14:05:09.000000Z"},
        {"now-24h", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-11T14:05:09.000000Z"},
        {"now-90s", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-12T14:03:39.000000Z"},
        {"now+1d-1h", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-13T13:05:09.000000Z"},
        {"now/m", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-12T14:05:00.000000Z"},
        {"now/h", "2026-03-12T14:05:09Z", "Asia/Kolkata", 0, "2026-03-12T13:30:00.000000Z"},
        {"now/d", "2026-03-12T23:30:00Z", "Europe/Paris", 0, "2026-03-12T23:00:00.000000Z"},
        {"now-1d/d", "2026-03-30T10:00:00Z", "Europe/Paris", 0, "2026-03-28T23:00:00.000000Z"},
        {"now-1d", "2026-03-29T10:00:00Z", "Europe/Paris", 0, "2026-03-28T11:00:00.000000Z"}, /* 23 hours */
        {"now-24h", "2026-03-29T10:00:00Z", "Europe/Paris", 0, "2026-03-28T10:00:00.000000Z"},
        {"now/w", "2026-03-12T14:05:09Z", NULL, 0, "2026-03-09T00:00:00.000000Z"},
        {"now/w", "2026-03-12T14:05:09Z", NULL, 6, "2026-03-08T00:00:00.000000Z"},
        {"now/w", "2026-03-09T00:00:00Z", NULL, 0, "2026-03-09T00:00:00.000000Z"},
        {"now/M", "2026-03-12T14:05:09Z", "Europe/Paris", 0, "2026-02-28T23:00:00.000000Z"},
        {"now-1M", "2026-03-31T12:00:00Z", NULL, 0, "2026-02-28T12:00:00.000000Z"},
        {"now-1y", "2024-02-29T12:00:00Z", NULL, 0, "2023-02-28T12:00:00.000000Z"},
        {"now-1M/M", "2026-01-31T12:00:00Z", NULL, 0, "2025-12-01T00:00:00.000000Z"},
        {"now/y", "2026-03-12T14:05:09Z", "America/New_York", 0, "2026-01-01T05:00:00.000000Z"},
        {"2026-03-12", "2026-03-12T14:05:09Z", "Europe/Paris", 0, "2026-03-11T23:00:00.000000Z"},
        {"2026-03-12T00:00:00Z", "2026-03-12T14:05:09Z", "Europe/Paris", 0, "2026-03-12T00:00:00.000000Z"},
        {"nowish", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-h", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-5x", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now/", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now/d/h", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now/d-1h", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-100y", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-99999M", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"now-999999999999999999999h", "2026-03-12T14:05:09Z", NULL, 0, NULL},
        {"", "2026-03-12T14:05:09Z", NULL, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char shown[CLOCK_TEXT_BYTES];
        struct zone *zone = NULL;
        int64_t now, ts;
        assert_int_equal(clock_parse(slice_of(cases[i].now), &now), 0);
        if (cases[i].zone != NULL)
            assert_int_equal(zone_open(slice_of(cases[i].zone), &zone, NULL), 0);
        int rc = when_parse(slice_of(cases[i].text), now, zone, cases[i].first_day, &ts);
        zone_close(&zone);
        if ((rc == 0) != (cases[i].expected != NULL))
            fail_msg("%s: %d", cases[i].text, rc);
        if (rc != 0)
            continue;
        clock_format(ts, shown);
        if (strcmp(shown, cases[i].expected) != 0)
            fail_msg("%s at %s: %s, not %s", cases[i].text, cases[i].now, shown, cases[i].expected);
    }
}

static void months_keep_the_day_where_there_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        int64_t months;
        const char *to;
    } cases[] = {{"2026-01-31T10:00:00Z", 1, "2026-02-28T10:00:00.000000Z"},
                 {"2026-01-31T10:00:00Z", 2, "2026-03-31T10:00:00.000000Z"},
                 {"2026-01-15T10:00:00Z", -1, "2025-12-15T10:00:00.000000Z"},
                 {"2024-02-29T10:00:00Z", -12, "2023-02-28T10:00:00.000000Z"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char shown[CLOCK_TEXT_BYTES];
        int64_t from;
        assert_int_equal(clock_parse(slice_of(cases[i].from), &from), 0);
        clock_format(when_add_months(from, cases[i].months), shown);
        assert_string_equal(shown, cases[i].to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(months_keep_the_day_where_there_is_one),
    };
    return cmocka_run_group_tests_name("query/when", tests, NULL, NULL);
}
