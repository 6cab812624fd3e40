/* SPDX-License-Identifier: Apache-2.0
 *
 * fast: see fast.h. Sums over periods leave out a message that was there in the period before (`again`,
 * roll.c). That holds where the period before lies within the range and the bucket for an hour at least; at
 * their edges a period is taken only where they begin together, else the events tell.
 */
#include "store/duckdb/fast.h"

#include "store/duckdb/rolled.h"
#include "store/duckdb/run.h"

#include <stdio.h>
#include <stdlib.h>

enum { PERIODS_MAX = 200 * 1000 }; /* hours of 22 years */

struct planner {
    const struct query *query;
    const struct fast_periods *hours, *days;
    struct fast_plan *plan;
    bool use_hours, use_days, again;
    size_t event_spans;
    bool kept;       /* some of what was taken */
    uint64_t events; /* in the range, as far as hours know */
    uint32_t rests;
};

static int compare_starts(const void *a, const void *b)
{
    int64_t x = ((const struct fast_period *)a)->start, y = ((const struct fast_period *)b)->start;
    return x < y ? -1 : x > y;
}

static const struct fast_period *find(const struct fast_periods *periods, int64_t start)
{
    struct fast_period wanted = {.start = start};
    return periods->count == 0
               ? NULL
               : bsearch(&wanted, periods->list, periods->count, sizeof wanted, compare_starts);
}

/* Begins a bucket, or the range, where it begins; or has an hour of both before it. */
static bool begins_well(const struct planner *planner, int64_t start)
{
    const struct query *query = planner->query;
    if (!planner->again || start == query->from || start - ROLLUP_HOUR_US >= query->from)
        return true;
    return query->interval_us > 0 && query_bucket(query, start) == start;
}

static bool is_usable(const struct planner *planner, const struct fast_period *period)
{
    return (period->cubes >> planner->plan->cube & 1) != 0 &&
           (!planner->plan->sketches || period->sketched) && begins_well(planner, period->start);
}

static bool is_within(const struct planner *planner, int64_t start, int64_t length)
{
    const struct query *query = planner->query;
    if (start % length != 0 || start + length > query->to)
        return false;
    return query->interval_us == 0 || query_bucket(query, start) == query_bucket(query, start + length - 1);
}

static bool add_span(struct planner *planner, enum fast_source source, int64_t begin, int64_t end)
{
    struct fast_plan *plan = planner->plan;
    struct fast_span *last = plan->count > 0 ? &plan->spans[plan->count - 1] : NULL;
    if (last != NULL && last->source == source) { /* what lies between is empty */
        last->end = end;
        return true;
    }
    planner->event_spans += source == FAST_EVENTS;
    if (plan->count == FAST_SPANS || planner->event_spans > FAST_EVENT_SPANS)
        return false;
    plan->spans[plan->count++] = (struct fast_span){source, begin, end};
    return true;
}

/* Takes the period that begins there, if it can be had. *length: how far that reaches; 0: it can't. */
static bool take_period(struct planner *planner, enum fast_source source, int64_t start, int64_t *length)
{
    const struct fast_periods *periods = source == FAST_DAYS ? planner->days : planner->hours;
    int64_t whole = source == FAST_DAYS ? ROLLUP_DAY_US : ROLLUP_HOUR_US;
    *length = 0;
    if (!(source == FAST_DAYS ? planner->use_days : planner->use_hours) || !is_within(planner, start, whole))
        return true;
    const struct fast_period *period = find(periods, start);
    if (period != NULL && !is_usable(planner, period))
        return true;
    *length = whole;
    if (period == NULL)
        return true;
    planner->rests |= period->rests;
    planner->kept = planner->kept || period->kept;
    return add_span(planner, source, start, start + whole);
}

static bool walk(struct planner *planner)
{
    const struct query *query = planner->query;
    for (int64_t at = query->from, length; at < query->to; at += length) {
        if (!take_period(planner, FAST_DAYS, at, &length))
            return false;
        if (length == 0 && !take_period(planner, FAST_HOURS, at, &length))
            return false;
        if (length > 0)
            continue;
        int64_t end = at - at % ROLLUP_HOUR_US + ROLLUP_HOUR_US;
        end = end < query->to ? end : query->to;
        length = end - at;
        if (!add_span(planner, FAST_EVENTS, at, end))
            return false;
    }
    return true;
}

/* What counts different values adds up only where a bucket is one period. */
static void choose_sources(struct planner *planner)
{
    const struct query *query = planner->query;
    bool distinct = false;
    for (size_t i = 0; i < query->measure_count; i++)
        distinct = distinct || query_measure_column(query->measures[i]) != COLUMN_COUNT;
    planner->use_hours = planner->use_days = true;
    planner->plan->sketches = false;
    if (!distinct)
        return;
    if (query->interval_us == ROLLUP_HOUR_US)
        planner->use_days = false;
    else if (query->interval_us == ROLLUP_DAY_US && query->piece_count == 0)
        planner->use_hours = false;
    else
        planner->plan->sketches = true;
}

static uint32_t distinct_bits(const struct query *query)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < query->measure_count; i++)
        if (query_measure_column(query->measures[i]) != COLUMN_COUNT)
            bits |= 1U << i;
    return bits;
}

static uint64_t events_in_range(const struct planner *planner)
{
    uint64_t events = 0;
    for (size_t i = 0; i < planner->hours->count; i++)
        if (planner->hours->list[i].start >= planner->query->from - ROLLUP_HOUR_US &&
            planner->hours->list[i].start < planner->query->to)
            events += planner->hours->list[i].events;
    return events;
}

bool fast_plan(const struct query *query, enum rollup_cube cube, const struct fast_periods *hours,
               const struct fast_periods *days, struct fast_plan *out)
{
    struct planner planner = {.query = query,
                              .hours = hours,
                              .days = days,
                              .plan = out,
                              .again = query_measure_counts(query, MEASURE_messages) != COUNTS_FIRST};
    *out = (struct fast_plan){.cube = cube};
    choose_sources(&planner);
    bool good = walk(&planner);
    if (!good && planner.use_hours &&
        planner.use_days) { /* too many pieces: with days alone there are fewer */
        out->count = planner.event_spans = 0;
        planner.rests = 0;
        planner.kept = false;
        planner.use_hours = false;
        good = walk(&planner);
    }
    bool rolled = false;
    for (size_t i = 0; i < out->count; i++)
        rolled = rolled || out->spans[i].source != FAST_EVENTS;
    if ((planner.rests >> cube & 1) != 0)
        out->approximate = (1U << query->measure_count) - 1;
    out->approximate |= rollup_overcounts(query, cube) | (out->sketches ? distinct_bits(query) : 0);
    return good && rolled &&
           (out->approximate == 0 || planner.kept || events_in_range(&planner) > FAST_EXACT_EVENTS);
}

static int keep(struct fast_periods *periods, struct fast_period period)
{
    if (periods->count == periods->room) {
        size_t room = periods->room == 0 ? 1024 : periods->room * 2;
        struct fast_period *list = realloc(periods->list, room * sizeof *list);
        if (list == NULL)
            return ERR_NO_MEMORY;
        periods->list = list;
        periods->room = room;
    }
    periods->list[periods->count++] = period;
    return 0;
}

static int take_chunk(struct fast_periods *periods, duckdb_data_chunk chunk)
{
    int rc = 0;
    const int64_t *start = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
    const uint64_t *events = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
    const uint32_t *cubes = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2));
    const uint32_t *rests = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 3));
    const bool *sketched = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 4));
    const bool *kept = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 5));
    for (idx_t i = 0; rc == 0 && i < duckdb_data_chunk_get_size(chunk); i++)
        rc = keep(periods,
                  (struct fast_period){start[i], events[i], cubes[i], rests[i], sketched[i], kept[i]});
    return rc;
}

/* The tenant's periods that touch the range: rolled ones, and without cubes those that have a mark. */
static int read_periods(duckdb_connection connection, const struct query *query, bool daily,
                        struct fast_periods *out, struct err *err)
{
    struct statement statement;
    duckdb_result result = {0};
    char where[160];
    (void)snprintf(
        where, sizeof where,
        "WHERE daily = %s AND tenant = %u AND start >= make_timestamp(%lld) AND start < make_timestamp(%lld)",
        daily ? "true" : "false", query->tenant, (long long)(query->from - ROLLUP_DAY_US),
        (long long)query->to);
    statement_init(&statement);
    int rc =
        buf_addf(&statement.sql,
                 "SELECT start, max(events)::UBIGINT, bit_and(cubes)::UINTEGER, bit_or(rests)::UINTEGER, "
                 "bool_and(sketched), bool_and(kept) FROM (SELECT start, "
                 "events, cubes, rests, sketched, kept FROM %srolled_periods %s UNION ALL SELECT start, 0, "
                 "0, 0, false, false FROM "
                 "%sunrolled %s) GROUP BY start ORDER BY start LIMIT %d",
                 ROLLED_IN, where, ROLLED_IN, where, PERIODS_MAX);
    if (rc == 0)
        rc = statement_end(&statement);
    if (rc == 0)
        rc = run(connection, &statement, &result, err);
    for (duckdb_data_chunk chunk = NULL; rc == 0 && (chunk = duckdb_fetch_chunk(result)) != NULL;) {
        rc = take_chunk(out, chunk);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    statement_fini(&statement);
    return rc;
}

int fast_compile(duckdb_connection connection, const char *const *names, size_t count,
                 const struct query *query, struct statement *out, struct fast_plan *plan, bool *fast,
                 struct err *err)
{
    struct fast_periods hours = {0}, days = {0};
    enum rollup_cube cube;
    *fast = false;
    if (!rollup_answers(query, &cube))
        return 0;
    int rc = read_periods(connection, query, false, &hours, err);
    if (rc == 0)
        rc = read_periods(connection, query, true, &days, err);
    if (rc == 0 && hours.count < PERIODS_MAX)
        *fast = fast_plan(query, cube, &hours, &days, plan);
    if (rc == 0 && *fast)
        rc = fast_sql(names, count, query, plan, out, err);
    free(hours.list);
    free(days.list);
    return rc;
}
