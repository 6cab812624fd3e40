/* SPDX-License-Identifier: Apache-2.0
 *
 * compare: which period a range is held against.
 */
#include "base/test.h"
#include "query/query.h"

#include <stdio.h>

#define NOW (INT64_C(1772366400) * US_PER_SECOND) /* 2026-03-01T12:00:00Z */

static struct query *asked(const char *range, const char *interval, const char *zone, const char *compare)
{
    char json[512];
    struct query *query;
    struct err err = {0};
    (void)snprintf(json, sizeof json, "{\"measures\":[\"requests\"],%s%s%s%s%s%s%s,\"compare\":\"%s\"}",
                   range, interval != NULL ? ",\"interval\":\"" : "", interval != NULL ? interval : "",
                   interval != NULL ? "\"" : "", zone != NULL ? ",\"timezone\":\"" : "",
                   zone != NULL ? zone : "", zone != NULL ? "\"" : "", compare);
    if (query_parse(slice_of(json), NOW, &query, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    return query;
}

static void periods_lie_where_one_expects_them(void **state)
{
    (void)state;
#define RANGE(from, to) "\"from\":\"" from "\",\"to\":\"" to "\""
    static const struct {
        const char *range, *interval, *zone, *compare, *from, *to;
    } cases[] = {
        {RANGE("2026-03-10", "2026-03-11"), NULL, NULL, "previous", "2026-03-09T00:00:00",
         "2026-03-10T00:00:00"},
        {RANGE("2026-03-10T10:15:00Z", "2026-03-10T11:45:00Z"), NULL, NULL, "previous", "2026-03-10T08:45:00",
         "2026-03-10T10:15:00"},
        /* a whole number of intervals back */
        {RANGE("2026-03-10T10:15:00Z", "2026-03-10T11:45:00Z"), "1h", NULL, "previous", "2026-03-10T08:15:00",
         "2026-03-10T09:45:00"},
        /* of weeks, where there is a week */
        {RANGE("2026-03-10", "2026-03-17"), "1d", NULL, "previous", "2026-03-03T00:00:00",
         "2026-03-10T00:00:00"},
        {RANGE("2026-03-10", "2026-03-20"), "1d", NULL, "previous", "2026-02-24T00:00:00",
         "2026-03-06T00:00:00"},
        /* months by the calendar */
        {RANGE("2026-03-01", "2026-04-01"), "1d", NULL, "previous", "2026-02-01T00:00:00",
         "2026-03-01T00:00:00"},
        {RANGE("2026-01-01", "2026-04-01"), "month", NULL, "previous", "2025-10-01T00:00:00",
         "2026-01-01T00:00:00"},
        {RANGE("2026-02-10", "2026-04-03"), "month", NULL, "previous", "2025-12-10T00:00:00",
         "2026-02-03T00:00:00"},
        {RANGE("2026-03-10T10:00:00Z", "2026-03-10T12:00:00Z"), "1h", NULL, "week", "2026-03-03T10:00:00",
         "2026-03-03T12:00:00"},
        {RANGE("2024-02-29", "2024-03-01"), NULL, NULL, "year", "2023-02-28T00:00:00", "2023-03-01T00:00:00"},
        {RANGE("2026-03-10", "2026-03-12"), "1d", NULL, "2025-12-24", "2025-12-24T00:00:00",
         "2025-12-26T00:00:00"},
        {RANGE("2026-03-10", "2026-03-12"), "1d", NULL, "2026-05-01", "2026-05-01T00:00:00",
         "2026-05-03T00:00:00"},
        {RANGE("now-2h", "now"), NULL, NULL, "now-26h", "2026-02-28T10:00:00", "2026-02-28T12:00:00"},
        /* days are days on the clocks: that Sunday had 23 hours */
        {RANGE("2026-03-30", "2026-03-31"), "1h", "Europe/Paris", "previous", "2026-03-28T23:00:00",
         "2026-03-29T22:00:00"},
        {RANGE("2026-03-30", "2026-03-31"), "1h", "Europe/Paris", "week", "2026-03-22T23:00:00",
         "2026-03-23T23:00:00"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
        struct query *query = asked(cases[i].range, cases[i].interval, cases[i].zone, cases[i].compare);
        assert_true(query->compares);
        clock_format(query->before_from, from);
        clock_format(query->before_to, to);
        if (strncmp(from, cases[i].from, strlen(cases[i].from)) != 0 ||
            strncmp(to, cases[i].to, strlen(cases[i].to)) != 0)
            fail_msg("%s %s: %s to %s", cases[i].range, cases[i].compare, from, to);
        query_destroy(&query);
    }
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{\"measures\":[\"requests\"],\"compare\":7}",
        "{\"measures\":[\"requests\"],\"compare\":\"then\"}",
        "{\"measures\":[\"requests\"],\"compare\":\"\"}",
        ("{\"measures\":[\"requests\"],\"from\":\"1970-01-05\",\"to\":\"1970-01-20\",\"compare\":"
         "\"previous\"}"),
        "{\"measures\":[\"requests\"],\"compare\":\"9999-12-31T23:00:00Z\",\"since\":\"24h\"}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct query *query;
        struct err err = {0};
        assert_int_equal(query_parse(slice_of(cases[i]), NOW, &query, &err), ERR_INVALID);
        assert_memory_equal(err.detail, "compare", 7);
    }
}

static void columns_stand_beside_each_other(void **state)
{
    (void)state;
    static const char *const names[] = {"time",
                                        "direction",
                                        "messages",
                                        "messages.before",
                                        "messages.change",
                                        "requests.share",
                                        "requests.share.before",
                                        "requests.share.change",
                                        "rest"};
    struct query *query;
    assert_int_equal(
        query_parse(SLICE("{\"measures\":[\"messages\",\"requests.share\"],\"by\":[\"direction\"],"
                          "\"interval\":\"1h\",\"compare\":\"week\",\"top\":3,\"rest\":true}"),
                    NOW, &query, NULL),
        0);
    assert_int_equal(query_column_count(query), ARRAY_LENGTH(names));
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char name[QUERY_COLUMN_BYTES];
        query_column_name(query, i, name);
        assert_string_equal(name, names[i]);
    }
    query_destroy(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(periods_lie_where_one_expects_them),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test(columns_stand_beside_each_other),
    };
    return cmocka_run_group_tests_name("query/compare", tests, NULL, NULL);
}
