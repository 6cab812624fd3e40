/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket: days of 23 and 25 hours, hours that come twice, half-hour zones, months, first days of weeks.
 */
#include "base/test.h"
#include "query/query.h"

#include <stdio.h>

#define NOW (INT64_C(1772366400) * US_PER_SECOND)

static struct query *parsed(const char *zone, const char *interval, const char *from, const char *to,
                            const char *more)
{
    char json[512];
    struct query *query;
    struct err err = {0};
    (void)snprintf(json, sizeof json,
                   "{\"measures\":[\"requests\"],\"timezone\":\"%s\",\"interval\":\"%s\",\"from\":\"%s\","
                   "\"to\":\"%s\"%s}",
                   zone, interval, from, to, more);
    if (query_parse(slice_of(json), NOW, &query, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    return query;
}

static void buckets_follow_the_clocks(void **state)
{
    (void)state;
    static const struct {
        const char *zone, *interval, *from, *to;
        const char *starts; /* hours of UTC from the first bucket's start on, all within the range */
        const char *first;
    } cases[] = {
        {"Europe/Paris", "1d", "2026-03-28", "2026-03-31", "0 24 47 ", "2026-03-27T23:00:00.000000Z"},
        {"Europe/Paris", "day", "2026-10-24", "2026-10-27", "0 24 49 ", "2026-10-23T22:00:00.000000Z"},
        {"America/New_York", "1d", "2026-03-07", "2026-03-10", "0 24 47 ", "2026-03-07T05:00:00.000000Z"},
        {"America/New_York", "1d", "2026-10-31", "2026-11-03", "0 24 49 ", "2026-10-31T04:00:00.000000Z"},
        {"Asia/Kolkata", "1d", "2026-03-28", "2026-03-30", "0 24 ", "2026-03-27T18:30:00.000000Z"},
        {"Asia/Kolkata", "1h", "2026-03-28", "2026-03-28T00:00:00Z", "0 1 2 3 4 5 ",
         "2026-03-27T18:30:00.000000Z"},
        /* 01:00 to 04:00 on the clocks: two hours in spring, four in autumn */
        {"Europe/Paris", "1h", "2026-03-29T01:00:00+01:00", "2026-03-29T04:00:00+02:00", "0 1 ",
         "2026-03-29T00:00:00.000000Z"},
        {"Europe/Paris", "1h", "2026-10-25T01:00:00+02:00", "2026-10-25T04:00:00+01:00", "0 1 2 3 ",
         "2026-10-24T23:00:00.000000Z"},
        {"Europe/Paris", "6h", "2026-03-29", "2026-03-30", "0 5 11 17 ", "2026-03-28T23:00:00.000000Z"},
        {"Europe/Paris", "6h", "2026-10-25", "2026-10-26", "0 7 13 19 ", "2026-10-24T22:00:00.000000Z"},
        {"America/New_York", "12h", "2026-11-01", "2026-11-02", "0 13 ", "2026-11-01T04:00:00.000000Z"},
        {"Europe/Paris", "week", "2026-03-23", "2026-04-06", "0 167 ", "2026-03-22T23:00:00.000000Z"},
        {"Europe/Paris", "month", "2026-03-15", "2026-05-02", "0 743 1463 ", "2026-02-28T23:00:00.000000Z"},
        {"America/New_York", "quarter", "2026-01-15", "2026-07-02", "0 2159 4343 ",
         "2026-01-01T05:00:00.000000Z"},
        {"Europe/Paris", "year", "2024-05-01", "2026-01-02", "0 8784 17544 ", "2023-12-31T23:00:00.000000Z"},
        /* the clocks go back from 00:00 to 23:00: that day has 25 hours, and no hour of it is two days' */
        {"America/Nuuk", "1d", "2026-10-24", "2026-10-26", "0 25 ", "2026-10-24T01:00:00.000000Z"},
        /* they jump over midnight: the day begins at 01:00 */
        {"Africa/Cairo", "1d", "2026-04-23", "2026-04-26", "0 24 47 ", "2026-04-22T22:00:00.000000Z"},
        {"UTC", "month", "2026-01-31", "2026-03-01T00:00:01Z", "0 744 1416 ", "2026-01-01T00:00:00.000000Z"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct query *query = parsed(cases[i].zone, cases[i].interval, cases[i].from, cases[i].to, "");
        char starts[256] = "", first[CLOCK_TEXT_BYTES];
        int64_t begin = query_bucket(query, query->from);
        clock_format(begin, first);
        for (int64_t at = begin, end; at < query->to; at = end) {
            end = query_bucket_end(query, at);
            size_t n = strlen(starts);
            (void)snprintf(starts + n, sizeof starts - n, "%g ", (double)(at - begin) / 3.6e9);
            assert_true(end > at);
            if (at >= query->from)
                assert_int_equal(query_bucket(query, at), at);
            assert_int_equal(query_bucket(query, (end < query->to ? end : query->to) - 1), at);
        }
        if (strcmp(starts, cases[i].starts) != 0 || strcmp(first, cases[i].first) != 0)
            fail_msg("%s %s from %s: %s from %s", cases[i].zone, cases[i].interval, cases[i].from, starts,
                     first);
        query_destroy(&query);
    }
}

static void weeks_begin_where_asked(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_BYTES];
    struct query *query =
        parsed("America/New_York", "1w", "2026-03-11", "2026-03-12", ",\"first_day\":\"sunday\"");
    clock_format(query_bucket(query, query->from), text);
    assert_string_equal(text, "2026-03-08T05:00:00.000000Z"); /* the day on which the clocks jump */
    clock_format(query_bucket_end(query, query_bucket(query, query->from)), text);
    assert_string_equal(text, "2026-03-15T04:00:00.000000Z");
    query_destroy(&query);
    query = parsed("UTC", "1d", "2026-03-11T12:00:00Z", "2026-03-12", ",\"first_day\":\"sunday\"");
    clock_format(query_bucket(query, query->from), text);
    assert_string_equal(text, "2026-03-11T00:00:00.000000Z"); /* days stay days */
    query_destroy(&query);
}

static void refused(const char *fields, int code, const char *words)
{
    char json[512];
    struct query *query;
    struct err err = {0};
    (void)snprintf(json, sizeof json, "{\"measures\":[\"requests\"],%s}", fields);
    assert_int_equal(query_parse(slice_of(json), NOW, &query, &err), code);
    if (strstr(err.detail, words) == NULL)
        fail_msg("%s: %s", json, err.detail);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    refused("\"timezone\":\"Europe/Atlantis\"", ERR_INVALID,
            "timezone: 'Europe/Atlantis': this system knows no zone");
    refused("\"timezone\":\"../UTC\"", ERR_INVALID, "timezone: '../UTC': a zone's name such as");
    refused("\"timezone\":7", ERR_INVALID, "timezone: ");
    refused("\"first_day\":\"someday\"", ERR_INVALID, "first_day: monday");
    refused("\"interval\":\"decade\"", ERR_INVALID, "interval: a duration");
    refused("\"timezone\":\"Europe/Paris\",\"from\":\"1970-01-01\",\"to\":\"9000-01-01\"", ERR_LIMIT,
            "512 times");
    refused("\"timezone\":\"Europe/Paris\",\"interval\":\"1h\",\"from\":\"2020-01-01\"", ERR_LIMIT,
            "more than 10000 buckets");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_follow_the_clocks),
        cmocka_unit_test(weeks_begin_where_asked),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests_name("query/bucket", tests, NULL, NULL);
}
