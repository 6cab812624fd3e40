/* SPDX-License-Identifier: Apache-2.0
 *
 * fast_sql: the statement of a fast question. Its shape:
 *   parts    figures of groups (bucket b, value d0) from each source: days, hours, spans of events; and,
 * negative, the messages at the beginning of a span of events that were there in the hour before it grouped
 * their sums est…     (with sketches) estimates of what counts different values Events are read by
 * compile_groups and compile_values only, roll-ups with query_conditions' tenant and filters.
 */
#include "store/duckdb/compiler.h"
#include "store/duckdb/fast.h"
#include "store/duckdb/layout.h"
#include "store/duckdb/rolled.h"
#include "store/duckdb/sketch.h"

#include <stdio.h>

struct fast {
    struct compiler c;
    const struct fast_plan *plan;
    const struct query *query;
    enum column column; /* of the cube; COLUMN_COUNT: none */
    size_t count;       /* measures that groups are made of: those asked for, messages with bytes */
    enum measure measures[QUERY_MEASURES];
};

#define put(f, ...) add(&(f)->c, __VA_ARGS__)

static void choose_measures(struct fast *fast)
{
    const struct query *query = fast->query;
    bool bytes = false, messages = false;
    for (size_t i = 0; i < query->measure_count; i++) {
        fast->measures[fast->count++] = query->measures[i];
        bytes = bytes || query->measures[i] == MEASURE_bytes;
        messages = messages || query->measures[i] == MEASURE_messages;
    }
    if (bytes && !messages) /* a message of no bytes makes a group, too */
        fast->measures[fast->count++] = MEASURE_messages;
}

static const char *table_column(enum measure measure, char out[QUERY_COLUMN_BYTES])
{
    bool distinct = query_measure_column(measure) != COLUMN_COUNT;
    (void)snprintf(out, QUERY_COLUMN_BYTES, "%s%s", distinct ? "v_" : "", query_measure_name(measure));
    return out;
}

/* "b, d0" with what stands before and behind it when there is one. */
static void add_keys(struct fast *fast, const char *before, const char *behind)
{
    bool bucket = fast->query->interval_us > 0, value = fast->query->dimension_count > 0;
    if (bucket || value)
        put(fast, "%s%s%s%s%s", before, bucket ? "b" : "", bucket && value ? ", " : "", value ? "d0" : "",
            behind);
}

/* "epoch_us(start) AS u, text AS sender": the value as a column of the event's name and type. */
static void add_value(struct fast *fast)
{
    put(fast, "epoch_us(start) AS u");
    if (fast->column == COLUMN_COUNT)
        return;
    enum column_type type = event_columns[fast->column].type;
    put(fast, ", %s", type == TYPE_IP ? "number" : "text");
    if (type == TYPE_DIRECTION || type == TYPE_STAGE) {
        put(fast, "::");
        if (fast->c.rc == 0)
            fast->c.rc = layout_add_enum(&fast->c.out->sql, type);
    }
    put(fast, " AS %s", event_columns[fast->column].name);
}

/* " AND (start >= … AND start < … OR …)" of a source. */
static void add_ranges(struct fast *fast, enum fast_source source)
{
    const char *before = " AND (";
    for (size_t i = 0; i < fast->plan->count; i++) {
        const struct fast_span *span = &fast->plan->spans[i];
        if (span->source != source)
            continue;
        put(fast, "%sstart >= make_timestamp(%lld) AND start < make_timestamp(%lld)", before,
            (long long)span->begin, (long long)span->end);
        before = " OR ";
    }
    put(fast, ")");
}

static void add_filters(struct fast *fast)
{
    struct compiler *c = &fast->c;
    put(fast, " WHERE true");
    int rc = c->rc != 0 ? c->rc : query_conditions(fast->query, QUERY_ROWS_ROLLED, compiler_condition, c);
    c->rc = c->rc != 0 ? c->rc : rc;
}

static void add_selected_keys(struct fast *fast)
{
    if (fast->query->interval_us > 0)
        compiler_bucket(&fast->c);
    if (fast->query->dimension_count > 0)
        put(fast, "%s AS d0, ", event_columns[fast->column].name);
}

/* Rows of roll-ups as groups. What is behind the top makes no group of its own. */
static void add_rolled(struct fast *fast, enum fast_source source)
{
    char name[QUERY_COLUMN_BYTES];
    const char *at_begin = fast->query->interval_us > 0 ? " OR u = b" : "";
    put(fast, "SELECT ");
    add_selected_keys(fast);
    for (size_t i = 0; i < fast->count; i++) {
        enum measure measure = fast->measures[i];
        (void)table_column(measure, name);
        put(fast, "%s%s::HUGEINT", i > 0 ? ", " : "", name);
        if (measure == MEASURE_messages || measure == MEASURE_bytes)
            put(fast, " - CASE WHEN u = %lld%s THEN 0 ELSE again_%s END", (long long)fast->query->from,
                at_begin, name);
        put(fast, " AS f%zu", i);
    }
    put(fast, " FROM (SELECT tenant, ");
    add_value(fast);
    for (size_t i = 0; i < fast->count; i++)
        put(fast, ", %s", table_column(fast->measures[i], name));
    put(fast, ", again_messages, again_bytes FROM %srolled_%s WHERE cube = %u", ROLLED_IN,
        source == FAST_DAYS ? "daily" : "hourly", (unsigned)fast->plan->cube);
    add_ranges(fast, source);
    if (fast->query->dimension_count > 0)
        put(fast, " AND coalesce(%s, true)",
            event_columns[fast->column].type == TYPE_IP ? "number <> 0" : "text <> ''");
    put(fast, ")");
    add_filters(fast);
}

static struct query span_question(const struct fast *fast, int64_t begin, int64_t end)
{
    struct query query = *fast->query;
    query.from = begin;
    query.to = end;
    query.measure_count = fast->count;
    memcpy(query.measures, fast->measures, sizeof query.measures);
    return query;
}

static void add_groups(struct fast *fast, const struct query *query)
{
    put(fast, " FROM ");
    if (fast->c.rc == 0)
        fast->c.rc = compile_groups(query, fast->c.out);
}

static void add_events(struct fast *fast, const struct fast_span *span)
{
    struct query query = span_question(fast, span->begin, span->end);
    put(fast, "SELECT ");
    add_keys(fast, "", ", ");
    for (size_t i = 0; i < fast->count; i++)
        put(fast, "%sm%zu::HUGEINT AS f%zu", i > 0 ? ", " : "", i, i);
    add_groups(fast, &query);
}

/* Its messages that were there in the hour before, within the bucket: those before and those behind the
 * border of the two, less those of both together, are taken away. */
static void add_again(struct fast *fast, const struct fast_span *span)
{
    const struct query *query = fast->query;
    int64_t begin = query->from, end = query->to;
    if (query->interval_us > 0) {
        int64_t bucket = query_bucket(query, span->begin), behind = query_bucket_end(query, bucket);
        begin = bucket > begin ? bucket : begin;
        end = behind < end ? behind : end;
    }
    if (begin >= span->begin)
        return;
    begin = begin > span->begin - ROLLUP_HOUR_US ? begin : span->begin - ROLLUP_HOUR_US;
    end = end < span->end ? end : span->end;
    end = end < span->begin + ROLLUP_HOUR_US ? end : span->begin + ROLLUP_HOUR_US;
    const int64_t ranges[][2] = {{begin, span->begin}, {span->begin, end}, {begin, end}};
    for (size_t k = 0; k < 3; k++) {
        struct query part = span_question(fast, ranges[k][0], ranges[k][1]);
        part.interval_us = 0;
        put(fast, " UNION ALL SELECT ");
        if (query->interval_us > 0)
            put(fast, "%lld AS b, ", (long long)query_bucket(query, span->begin));
        if (query->dimension_count > 0)
            put(fast, "d0, ");
        for (size_t i = 0; i < fast->count; i++) {
            bool sums = fast->measures[i] == MEASURE_messages || fast->measures[i] == MEASURE_bytes;
            put(fast, "%s%s", i > 0 ? ", " : "", k < 2 ? "-" : "");
            if (sums)
                put(fast, "m%zu::HUGEINT", i);
            else
                put(fast, "0");
        }
        add_groups(fast, &part);
    }
}

static bool sums_messages(const struct fast *fast)
{
    bool sums = false;
    for (size_t i = 0; i < fast->count; i++)
        sums = sums || fast->measures[i] == MEASURE_messages;
    return sums && query_measure_counts(fast->query, MEASURE_messages) != COUNTS_FIRST;
}

static bool has_source(const struct fast *fast, enum fast_source source)
{
    bool has = false;
    for (size_t i = 0; i < fast->plan->count; i++)
        has = has || fast->plan->spans[i].source == source;
    return has;
}

static void add_parts(struct fast *fast)
{
    const char *between = "";
    put(fast, ", parts AS (");
    for (unsigned source = FAST_HOURS; source <= FAST_DAYS; source++)
        if (has_source(fast, source)) {
            put(fast, "%s", between);
            add_rolled(fast, source);
            between = " UNION ALL ";
        }
    for (size_t i = 0; i < fast->plan->count; i++) {
        const struct fast_span *span = &fast->plan->spans[i];
        if (span->source != FAST_EVENTS)
            continue;
        put(fast, "%s", between);
        add_events(fast, span);
        if (sums_messages(fast))
            add_again(fast, span);
        between = " UNION ALL ";
    }
    put(fast, "), grouped AS (SELECT ");
    add_keys(fast, "", ", ");
    for (size_t i = 0; i < fast->count; i++)
        put(fast, "%sgreatest(coalesce(sum(f%zu), 0), 0)::UBIGINT AS f%zu", i > 0 ? ", " : "", i, i);
    put(fast, " FROM parts");
    add_keys(fast, " GROUP BY ", "");
    put(fast, ")");
}

/* Registers of measure i, from sketches and from the values that spans of events have. */
static void add_registers(struct fast *fast, size_t i)
{
    const char *between = "";
    enum rollup_cube cube = fast->plan->cube == CUBE_recipients ? CUBE_direction : fast->plan->cube;
    for (unsigned source = FAST_HOURS; source <= FAST_DAYS; source++) {
        if (!has_source(fast, source))
            continue;
        put(fast, "%sSELECT ", between);
        add_selected_keys(fast);
        put(fast, "unnest(registers) AS r FROM (SELECT tenant, ");
        add_value(fast);
        put(fast, ", registers FROM %srolled_sketches WHERE daily = %s AND cube = %u AND measure = '%s'",
            ROLLED_IN, source == FAST_DAYS ? "true" : "false", (unsigned)cube,
            query_measure_name(fast->measures[i]));
        add_ranges(fast, source);
        put(fast, ")");
        add_filters(fast);
        between = " UNION ALL ";
    }
    for (size_t k = 0; k < fast->plan->count; k++) {
        const struct fast_span *span = &fast->plan->spans[k];
        if (span->source != FAST_EVENTS)
            continue;
        struct query query = span_question(fast, span->begin, span->end);
        query.measure_count = 1;
        query.measures[0] = fast->measures[i];
        put(fast, "%sSELECT ", between);
        add_keys(fast, "", ", ");
        put(fast, SKETCH_OF_V0 " AS r FROM ");
        if (fast->c.rc == 0)
            fast->c.rc = compile_values(&query, fast->c.out);
        between = " UNION ALL ";
    }
}

static bool is_estimated(const struct fast *fast, size_t i)
{
    return fast->plan->sketches && query_measure_column(fast->measures[i]) != COLUMN_COUNT;
}

static void add_estimates(struct fast *fast)
{
    for (size_t i = 0; i < fast->count; i++) {
        if (!is_estimated(fast, i))
            continue;
        put(fast, ", est%zu AS (SELECT ", i);
        add_keys(fast, "", ", ");
        put(fast, SKETCH_ESTIMATE " AS e FROM (SELECT ");
        add_keys(fast, "", ", ");
        put(fast, "max(r & 31) AS z FROM (");
        add_registers(fast, i);
        put(fast, ") GROUP BY ");
        add_keys(fast, "", ", ");
        put(fast, "r // 32)");
        add_keys(fast, " GROUP BY ", "");
        put(fast, ")");
    }
}

static void add_result(struct fast *fast)
{
    const struct query *query = fast->query;
    put(fast, " SELECT ");
    if (query->interval_us > 0)
        put(fast, "grouped.b, ");
    if (query->dimension_count > 0)
        put(fast, "grouped.d0, ");
    for (size_t i = 0; i < query->measure_count; i++)
        if (is_estimated(fast, i))
            put(fast, "%scoalesce(est%zu.e, 0)::UBIGINT AS m%zu", i > 0 ? ", " : "", i, i);
        else
            put(fast, "%sf%zu AS m%zu", i > 0 ? ", " : "", i, i);
    put(fast, " FROM grouped");
    for (size_t i = 0; i < query->measure_count; i++)
        if (is_estimated(fast, i)) {
            put(fast, " LEFT JOIN est%zu ON true", i);
            if (query->interval_us > 0)
                put(fast, " AND grouped.b = est%zu.b", i);
            if (query->dimension_count > 0)
                put(fast, " AND grouped.d0 IS NOT DISTINCT FROM est%zu.d0", i);
        }
    for (size_t i = 0; fast->c.keys > 0 && i < fast->count;
         i++) /* as compile.c: what carries nothing is no group */
        if (fast->measures[i] != MEASURE_bytes)
            put(fast, "%sf%zu > 0",
                i == 0 || (i == 1 && fast->measures[0] == MEASURE_bytes) ? " WHERE " : " OR ", i);
}

int fast_sql(const char *const *names, size_t count, const struct query *query, const struct fast_plan *plan,
             struct statement *out, struct err *err)
{
    statement_init(out);
    struct fast fast = {.c = compiler_of(query, out),
                        .plan = plan,
                        .query = query,
                        .column = rollup_cube_info(plan->cube)->column};
    choose_measures(&fast);
    compiler_parts(&fast.c, names, count);
    add_parts(&fast);
    add_estimates(&fast);
    add_result(&fast);
    compiler_order(&fast.c);
    int rc = fast.c.rc == 0 ? statement_end(out) : fast.c.rc;
    if (rc != 0)
        statement_fini(out);
    return rc != 0 ? err_set(err, rc, "the question is too large for one statement, or has no scope") : 0;
}
