/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the struct's life, its names, what its measures count, and the last check before an engine. See
 * query.h.
 */
#include "query/query.h"
#include "query/bucket.h"
#include "query/filter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void query_destroy(struct query **query)
{
    if (*query == NULL)
        return;
    if ((*query)->text != NULL)
        buf_fini((*query)->text);
    free((*query)->text);
    free((*query)->values);
    zone_close(&(*query)->zone);
    free((*query)->pieces);
    free(*query);
    *query = NULL;
}

const char *query_measure_name(enum measure measure)
{
    static const char *const names[] = {
#define MEASURE(name, doc)          #name,
#define DISTINCT(name, column, doc) #name,
#include "measures.def"
#undef MEASURE
#undef DISTINCT
    };
    return names[measure];
}

enum column query_measure_column(enum measure measure)
{
    static const enum column columns[] = {
#define MEASURE(name, doc)          COLUMN_COUNT,
#define DISTINCT(name, column, doc) COLUMN_##column,
#include "measures.def"
#undef MEASURE
#undef DISTINCT
    };
    return columns[measure];
}

const char *query_op_name(enum query_op op)
{
    static const char *const names[] = {"eq",    "ne",     "in",       "prefix", "cidr",
                                        "range", "suffix", "contains", "empty"};
    _Static_assert(sizeof names / sizeof *names == OP_COUNT, "a name for each op");
    return names[op];
}

const char *query_figure_suffix(enum figure_kind kind)
{
    static const char *const suffixes[] = {"", ".share", ".per_second", ".per_minute", ".per_hour"};
    return suffixes[kind];
}

size_t query_first_figure(const struct query *query)
{
    return (query->interval_us > 0) + query->dimension_count;
}

size_t query_column_count(const struct query *query)
{
    size_t figures = query->figure_count > 0 ? query->figure_count : query->measure_count;
    return query_first_figure(query) + figures * (query->compares ? 3 : 1) + query->rest;
}

bool query_column_is_of(const struct query *query, size_t i, uint32_t measures)
{
    size_t first = query_first_figure(query);
    if (i < first || (query->rest && i + 1 == query_column_count(query)))
        return false;
    size_t figure = (i - first) / (query->compares ? 3 : 1);
    size_t measure = query->figure_count > 0 ? query->figures[figure].measure : figure;
    return (measures >> measure & 1) != 0;
}

void query_column_name(const struct query *query, size_t i, char out[QUERY_COLUMN_BYTES])
{
    static const char *const beside[] = {"", ".before", ".change"};
    size_t first = query_first_figure(query), bucket = query->interval_us > 0;
    size_t each = query->compares ? 3 : 1;
    struct query_figure figure = {.measure = i - first};
    if (query->rest && i + 1 == query_column_count(query)) {
        (void)snprintf(out, QUERY_COLUMN_BYTES, "rest");
    } else if (i < first) {
        (void)snprintf(out, QUERY_COLUMN_BYTES, "%s",
                       i < bucket ? "time" : event_columns[query->dimensions[i - bucket]].name);
    } else {
        if (query->figure_count > 0)
            figure = query->figures[(i - first) / each];
        (void)snprintf(out, QUERY_COLUMN_BYTES, "%s%s%s", query_measure_name(query->measures[figure.measure]),
                       query_figure_suffix(figure.kind), beside[(i - first) % each]);
    }
}

static bool is_recipient_column(enum column column)
{
    column = event_columns[column].of;
    return column == COLUMN_recipient || column == COLUMN_recipient_domain || column == COLUMN_direction;
}

/* Columns whose value is not the same for all events of one message. Parts of the time are none, as buckets
 * are none: a message belongs to the time of its first event. */
static bool is_event_column(enum column column)
{
    if (event_column_is_derived(column) && event_columns[column].of == COLUMN_ts)
        return false;
    switch (event_columns[column].of) {
    case COLUMN_seq:
    case COLUMN_edge_ts:
    case COLUMN_hub_ts:
    case COLUMN_ts:
    case COLUMN_ts_corrected:
    case COLUMN_stage:
    case COLUMN_retry_of:
    case COLUMN_recipients:
    case COLUMN_recipient_count:
    case COLUMN_queue_id:
    case COLUMN_size:
    case COLUMN_first_of_message:
    case COLUMN_text_escaped:
    case COLUMN_policy_context:
    case COLUMN_extra:
        return true;
    default:
        return false;
    }
}

static bool uses_column(const struct query *query, bool (*is)(enum column))
{
    for (size_t i = 0; i < query->dimension_count; i++)
        if (is(query->dimensions[i]))
            return true;
    for (size_t i = 0; i < query->filter_count; i++)
        if (query->filters[i].kind == FILTER_TEST && is(query->filters[i].column))
            return true;
    return false;
}

bool query_filter_is_of_message(const struct query *query, size_t at, size_t end)
{
    bool is = true;
    for (; is && at < end; at++)
        is = query->filters[at].kind != FILTER_TEST ||
             (!is_recipient_column(query->filters[at].column) && !is_event_column(query->filters[at].column));
    return is;
}

bool query_about_recipients(const struct query *query)
{
    return query->keeps_recipients || uses_column(query, is_recipient_column);
}

bool query_about_events(const struct query *query)
{
    return query->keeps_events || uses_column(query, is_event_column);
}

enum query_counts query_measure_counts(const struct query *query, enum measure measure)
{
    bool about_events = query_about_events(query), about_recipients = query_about_recipients(query);
    switch (measure) {
    case MEASURE_recipients:
        return COUNTS_RECIPIENTS;
    case MEASURE_messages:
    case MEASURE_bytes:
        return about_events ? COUNTS_TRANSACTION : about_recipients ? COUNTS_RECIPIENTS : COUNTS_FIRST;
    case MEASURE_requests:
        return COUNTS_ALL;
    default: /* the distinct ones */
        return about_recipients && !about_events ? COUNTS_RECIPIENTS : COUNTS_PRESENT;
    }
}

/* The answer's columns need names of their own: recipients is a column as well as a measure. */
static bool is_measured(const struct query *query, const char *name)
{
    for (size_t i = 0; i < query->measure_count; i++)
        if (strcmp(query_measure_name(query->measures[i]), name) == 0)
            return true;
    return false;
}

static int check_counts(const struct query *query, struct err *err)
{
    if (query->measure_count == 0 || query->measure_count > QUERY_MEASURES)
        return err_set(err, ERR_INVALID, "measures: 1 to %d are needed", QUERY_MEASURES);
    if (query->dimension_count > QUERY_DIMENSIONS || query->filter_count > QUERY_FILTERS ||
        query->value_count > QUERY_VALUES || query->order_count > QUERY_ORDERS)
        return err_set(err, ERR_LIMIT, "more dimensions, filters, values or orders than a question may have");
    for (size_t i = 0; i < query->measure_count; i++)
        if (query->measures[i] >= MEASURE_COUNT)
            return err_set(err, ERR_INVALID, "measures[%zu]: no such measure", i);
    for (size_t i = 0; i < query->dimension_count; i++)
        if (!event_column_is(query->dimensions[i]))
            return err_set(err, ERR_INVALID, "by[%zu]: no such column", i);
        else if (is_measured(query, event_columns[query->dimensions[i]].name))
            return err_set(err, ERR_INVALID, "by[%zu]: a measure of the same name is asked for", i);
    if (query->limit == 0 || query->limit > QUERY_LIMIT)
        return err_set(err, ERR_LIMIT, "limit: 1 to %d", QUERY_LIMIT);
    if (query->timeout_us <= 0)
        return err_set(err, ERR_INVALID, "the time limit must be positive");
    return 0;
}

static int check_range(const struct query *query, struct err *err)
{
    if (query->from < 0 || query->to > QUERY_LATEST_US || query->from >= query->to)
        return err_set(err, ERR_INVALID, "from must be before to, both between the years 1970 and 9999");
    return bucket_check(query, err);
}

static int check_orders(const struct query *query, struct err *err)
{
    for (size_t i = 0; i < query->order_count; i++) {
        const struct query_order *order = &query->orders[i];
        size_t bound = order->by_measure ? query->measure_count : query->dimension_count;
        if (order->by_bucket ? query->interval_us == 0 : order->index >= bound)
            return err_set(err, ERR_INVALID, "order[%zu]: not a column of the answer", i);
    }
    return 0;
}

static int check_figures(const struct query *query, struct err *err)
{
    if (query->figure_count > QUERY_FIGURES)
        return err_set(err, ERR_LIMIT, "measures: at most %d, derived ones included", QUERY_FIGURES);
    for (size_t i = 0; i < query->figure_count; i++)
        if (query->figures[i].measure >= query->measure_count || query->figures[i].kind > FIGURE_PER_HOUR)
            return err_set(err, ERR_INVALID, "measures[%zu]: no such measure", i);
    if (query->fill &&
        (query->interval_us == 0 || (query->dimension_count > 0 && query->top == 0) ||
         query->order_count == 0 || !query->orders[0].by_bucket || query->orders[0].descending))
        return err_set(err, ERR_INVALID,
                       "fill: with an interval, in the order of time, and with top where there is a by");
    if (query->top > QUERY_TOP || (query->top > 0 && query->dimension_count == 0))
        return err_set(err, query->top > QUERY_TOP ? ERR_LIMIT : ERR_INVALID,
                       "top: 1 to %d, of what the columns in by have together", QUERY_TOP);
    if (query->rest && query->top == 0)
        return err_set(err, ERR_INVALID, "rest: only with top");
    if (query->figure_count == 0 && (query->totals || query->fill || query->top > 0 || query->compares))
        return err_set(err, ERR_INVALID, "measures: totals, fill, top and compare need figures");
    return 0;
}

/* The other period has its own clocks and its own number of buckets. */
static int check_before(const struct query *query, struct err *err)
{
    struct query *before = query->compares ? malloc(sizeof *before) : NULL;
    if (!query->compares)
        return 0;
    if (before == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc =
        query->before_from < 0 || query->before_to > QUERY_LATEST_US || query->before_from >= query->before_to
            ? err_set(err, ERR_INVALID, "compare: no such period")
            : query_before_open(query, before, err);
    if (rc == 0)
        query_before_close(before);
    free(before);
    return rc;
}

int query_check(const struct query *query, struct err *err)
{
    if (query->scope != QUERY_SCOPE_TENANT && query->scope != QUERY_SCOPE_ALL)
        return err_set(err, ERR_DENIED, "the question has no scope: whose events it may see must be set");
    int rc = check_counts(query, err);
    if (rc == 0)
        rc = check_range(query, err);
    if (rc == 0)
        rc = check_orders(query, err);
    if (rc == 0)
        rc = check_figures(query, err);
    if (rc == 0)
        rc = check_before(query, err);
    return rc != 0 ? rc : filter_check(query, err);
}

size_t query_condition_at(const struct query *query, size_t at, struct query_condition *out)
{
    const struct query_filter *filter = &query->filters[at];
    *out = (struct query_condition){.column = filter->column, .op = filter->op, .kind = filter->kind};
    if (filter->kind == FILTER_TEST) {
        out->values = query->values + filter->first_value;
        out->count = filter->value_count;
        return at + 1;
    }
    out->first = at + 1;
    out->end = at + 1 + filter->span;
    return out->end;
}

static int each_filter(const struct query *query,
                       int (*each)(void *arg, const struct query_condition *condition), void *arg)
{
    for (size_t at = 0; at < query->filter_count;) {
        struct query_condition condition;
        at = query_condition_at(query, at, &condition);
        int rc = each(arg, &condition);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int query_conditions(const struct query *query, enum query_rows rows,
                     int (*each)(void *arg, const struct query_condition *condition), void *arg)
{
    bool sizes = rows == QUERY_ROWS_SIZES;
    int64_t around_us = sizes ? QUERY_MESSAGE_US : 0;
    const struct query_value tenant = {.u64 = query->tenant}, stage = {.u64 = STAGE_END_OF_MESSAGE},
                             absent = {.absent = true},
                             range[] = {{.ts = query->from - around_us}, {.ts = query->to + around_us}};
    const struct query_condition own[] = {
        {COLUMN_tenant, OP_EQ, &tenant, 1, 0, 0, 0}, {COLUMN_ts, OP_RANGE, range, 2, 0, 0, 0},
        {COLUMN_stage, OP_EQ, &stage, 1, 0, 0, 0},   {COLUMN_retry_of, OP_EQ, &absent, 1, 0, 0, 0},
        {COLUMN_size, OP_NE, &absent, 1, 0, 0, 0},
    };
    if (query->scope != QUERY_SCOPE_TENANT && query->scope != QUERY_SCOPE_ALL)
        return ERR_DENIED;
    size_t first = query->scope == QUERY_SCOPE_ALL ? 1 : 0, count = sizes                       ? 5
                                                                    : rows == QUERY_ROWS_ROLLED ? 1
                                                                                                : 2;
    for (size_t i = first; i < count; i++) {
        int rc = each(arg, &own[i]);
        if (rc != 0)
            return rc;
    }
    return sizes ? 0 : each_filter(query, each, arg);
}
