/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the last check, what measures count, buckets, and the conditions that every engine compiles.
 */
#include "base/test.h"
#include "query/query.h"

#include <stdio.h>

#define HOUR (3600 * US_PER_SECOND)

static struct query question(void)
{
    return (struct query){.scope = QUERY_SCOPE_TENANT,
                          .tenant = 7,
                          .from = 10 * HOUR,
                          .to = 20 * HOUR,
                          .measure_count = 1,
                          .measures = {MEASURE_messages},
                          .limit = 10,
                          .timeout_us = US_PER_SECOND};
}

static void a_question_without_scope_is_refused(void **state)
{
    (void)state;
    struct query query = question();
    struct err err = {0};
    assert_int_equal(query_check(&query, &err), 0);
    query.scope = QUERY_SCOPE_UNSET;
    assert_int_equal(query_check(&query, &err), ERR_DENIED);
    query.scope = (enum query_scope)9;
    assert_int_equal(query_check(&query, &err), ERR_DENIED);
}

static void bounds_hold_again(void **state)
{
    (void)state;
    struct query_value value = {.u64 = 70000};
    struct query query = question();
    query.limit = QUERY_LIMIT + 1;
    assert_int_equal(query_check(&query, NULL), ERR_LIMIT);
    query = question();
    query.timeout_us = 0;
    assert_int_equal(query_check(&query, NULL), ERR_INVALID);
    query = question();
    query.orders[query.order_count++] = (struct query_order){.by_measure = true, .index = 1};
    assert_int_equal(query_check(&query, NULL), ERR_INVALID);
    query = question();
    query.filters[query.filter_count++] =
        (struct query_filter){.column = COLUMN_client_port, .op = OP_EQ, .value_count = 1};
    assert_int_equal(query_check(&query, NULL), ERR_INVALID); /* points outside the values */
    query.values = &value;
    query.value_count = 1;
    assert_int_equal(query_check(&query, NULL), ERR_INVALID); /* no port */
    value.u64 = 25;
    assert_int_equal(query_check(&query, NULL), 0);
    query.filters[0].op = OP_PREFIX;
    assert_int_equal(query_check(&query, NULL), ERR_INVALID);
    query.filters[0].op = OP_EQ;
    query.filters[1] = query.filters[0];
    query.filter_count = 2;
    query.filters[0] = (struct query_filter){.kind = FILTER_NOT, .span = 1};
    assert_int_equal(query_check(&query, NULL), 0);
    query.filters[0].span = 2; /* points outside the filters */
    assert_int_equal(query_check(&query, NULL), ERR_LIMIT);
    query.filters[0].span = 0;
    assert_int_equal(query_check(&query, NULL), ERR_LIMIT);
    query.filters[0] = (struct query_filter){.kind = 4, .span = 1};
    assert_int_equal(query_check(&query, NULL), ERR_LIMIT);
    query.filters[0] = (struct query_filter){.kind = FILTER_NOT, .span = 2};
    query.filters[2] = query.filters[1];
    query.filter_count = 3; /* NOT of two */
    assert_int_equal(query_check(&query, NULL), ERR_INVALID);
    query.filter_count = QUERY_DEPTH + 2;
    for (size_t i = 0; i <= QUERY_DEPTH; i++)
        query.filters[i] = (struct query_filter){.kind = FILTER_AND, .span = QUERY_DEPTH + 1 - i};
    query.filters[QUERY_DEPTH + 1] = query.filters[QUERY_DEPTH + 2] =
        (struct query_filter){.column = COLUMN_client_port, .op = OP_EQ, .value_count = 1};
    assert_int_equal(query_check(&query, NULL), ERR_LIMIT); /* one group too deep */
    for (size_t i = 0; i <= QUERY_DEPTH; i++)
        query.filters[i].span--;
    query.filters[QUERY_DEPTH] = query.filters[QUERY_DEPTH + 1];
    query.filter_count--;
    assert_int_equal(query_check(&query, NULL), 0);
    query = question();
    query.dimensions[query.dimension_count++] = COLUMN_COUNT;
    assert_int_equal(query_check(&query, NULL), ERR_INVALID);
}

static void measures_count_as_the_question_goes(void **state)
{
    (void)state;
    static const struct {
        enum column by; /* COLUMN_COUNT: none */
        enum query_counts messages, recipients, clients;
    } cases[] = {
        {COLUMN_COUNT, COUNTS_FIRST, COUNTS_RECIPIENTS, COUNTS_PRESENT},
        {COLUMN_sender_domain, COUNTS_FIRST, COUNTS_RECIPIENTS, COUNTS_PRESENT},
        {COLUMN_direction, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS},
        {COLUMN_recipient, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS},
        {COLUMN_recipient_domain, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS, COUNTS_RECIPIENTS},
        {COLUMN_stage, COUNTS_TRANSACTION, COUNTS_RECIPIENTS, COUNTS_PRESENT},
        {COLUMN_size, COUNTS_TRANSACTION, COUNTS_RECIPIENTS, COUNTS_PRESENT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct query query = question();
        if (cases[i].by != COLUMN_COUNT)
            query.dimensions[query.dimension_count++] = cases[i].by;
        assert_int_equal(query_measure_counts(&query, MEASURE_requests), COUNTS_ALL);
        assert_int_equal(query_measure_counts(&query, MEASURE_messages), cases[i].messages);
        assert_int_equal(query_measure_counts(&query, MEASURE_bytes), cases[i].messages);
        assert_int_equal(query_measure_counts(&query, MEASURE_recipients), cases[i].recipients);
        for (unsigned m = 0; m < MEASURE_COUNT; m++)
            if (query_measure_column(m) != COLUMN_COUNT)
                assert_int_equal(query_measure_counts(&query, m), cases[i].clients);
    }
}

static void buckets_begin_where_people_expect(void **state)
{
    (void)state;
    static const struct {
        const char *ts, *start;
        int64_t interval_s;
    } cases[] = {
        {"2026-03-12T14:05:09Z", "2026-03-12T14:00:00.000000Z", 3600},
        {"2026-03-12T14:05:09Z", "2026-03-12T14:05:00.000000Z", 300},
        {"2026-03-12T14:00:00Z", "2026-03-12T14:00:00.000000Z", 3600},
        {"2026-03-12T23:59:59Z", "2026-03-12T00:00:00.000000Z", 86400},
        {"2026-03-12T14:05:09Z", "2026-03-09T00:00:00.000000Z", 7 * 86400}, /* a Monday */
        {"1970-01-01T00:00:00Z", "1969-12-29T00:00:00.000000Z", 7 * 86400},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t ts;
        char text[CLOCK_TEXT_BYTES];
        assert_int_equal(clock_parse(slice_of(cases[i].ts), &ts), 0);
        struct query query = question();
        query.interval_us = cases[i].interval_s * US_PER_SECOND;
        clock_format(query_bucket(&query, ts), text);
        assert_string_equal(text, cases[i].start);
    }
}

static int write_down(void *arg, const struct query_condition *condition)
{
    char *text = arg;
    size_t n = strlen(text);
    const struct query_value *value = condition->values;
    (void)snprintf(text + n, 1024 - n, "%s %s %lld/%d; ", event_columns[condition->column].name,
                   query_op_name(condition->op),
                   condition->column == COLUMN_ts ? (long long)(value->ts / HOUR) : (long long)value->u64,
                   value->absent);
    return 0;
}

static int stop(void *arg, const struct query_condition *condition)
{
    (void)condition;
    *(int *)arg += 1;
    return ERR_FULL;
}

static void the_tenant_comes_first_on_every_read(void **state)
{
    (void)state;
    struct query_value value = {.u64 = 25};
    struct query query = question();
    query.values = &value;
    query.value_count = 1;
    query.filters[query.filter_count++] =
        (struct query_filter){.column = COLUMN_client_port, .op = OP_EQ, .value_count = 1};
    static const struct {
        enum query_scope scope;
        enum query_rows rows;
        const char *text;
        int rc;
    } cases[] = {
        {QUERY_SCOPE_TENANT, QUERY_ROWS_ASKED, "tenant eq 7/0; ts range 10/0; client_port eq 25/0; ", 0},
        {QUERY_SCOPE_TENANT, QUERY_ROWS_SIZES,
         "tenant eq 7/0; ts range 9/0; stage eq 7/0; retry_of eq 0/1; size ne 0/1; ", 0},
        {QUERY_SCOPE_ALL, QUERY_ROWS_ASKED, "ts range 10/0; client_port eq 25/0; ", 0},
        {QUERY_SCOPE_UNSET, QUERY_ROWS_ASKED, "", ERR_DENIED},
        {(enum query_scope)3, QUERY_ROWS_SIZES, "", ERR_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[1024] = "";
        query.scope = cases[i].scope;
        assert_int_equal(query_conditions(&query, cases[i].rows, write_down, text), cases[i].rc);
        assert_string_equal(text, cases[i].text);
    }
    int calls = 0;
    query.scope = QUERY_SCOPE_TENANT;
    assert_int_equal(query_conditions(&query, QUERY_ROWS_ASKED, stop, &calls), ERR_FULL);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_without_scope_is_refused),
        cmocka_unit_test(bounds_hold_again),
        cmocka_unit_test(measures_count_as_the_question_goes),
        cmocka_unit_test(buckets_begin_where_people_expect),
        cmocka_unit_test(the_tenant_comes_first_on_every_read),
    };
    return cmocka_run_group_tests_name("query/query", tests, NULL, NULL);
}
