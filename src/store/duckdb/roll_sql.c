/* SPDX-License-Identifier: Apache-2.0
 *
 * roll_sql: the statements of roll.c. A message may have events in two periods, and counts in each; `again`
 * is how many of a period's messages were there in the hour before it already, so that sums over periods can
 * leave them out. Only our own names and numbers stand in the texts.
 */
#include "store/duckdb/compiler.h"
#include "store/duckdb/roll.h"
#include "store/duckdb/rolled.h"
#include "store/duckdb/sketch.h"

struct writing {
    const struct roll *roll;
    enum rollup_cube cube;
    bool only_busy;
    struct query_value tenants[ROLL_PERIODS];
    struct statement *out;
    int rc;
};

#define put(w, ...) ((w)->rc = (w)->rc != 0 ? (w)->rc : buf_addf(&(w)->out->sql, __VA_ARGS__))

static struct writing begin(const struct roll *roll, enum rollup_cube cube, struct statement *out)
{
    statement_init(out);
    return (struct writing){.roll = roll, .cube = cube, .out = out};
}

static int end(struct writing *w)
{
    if (w->rc == 0)
        w->rc = statement_end(w->out);
    if (w->rc != 0)
        statement_fini(w->out);
    return w->rc;
}

const char *roll_table(const struct roll *roll)
{
    return roll->daily ? "rolled_daily" : "rolled_hourly";
}

static int64_t length(const struct roll *roll)
{
    return roll->daily ? ROLLUP_DAY_US : ROLLUP_HOUR_US;
}

/* They come in the order of time. */
static int64_t first(const struct roll *roll)
{
    return roll->list[0].start;
}

static int64_t last(const struct roll *roll)
{
    return roll->list[roll->count - 1].start + length(roll);
}

static bool is_keyed(const struct writing *w)
{
    return rollup_cube_info(w->cube)->column != COLUMN_COUNT;
}

static bool is_in(const struct writing *w, size_t i)
{
    return !w->only_busy || w->roll->list[i].events >= ROLL_BUSY_EVENTS;
}

/* The cube's question about the periods' tenants, by period (b), tenant (d0) and value (d1). */
static struct query question(struct writing *w, int64_t from, int64_t to, int64_t interval_us)
{
    struct query query = rollup_question(w->cube, 0, from, to);
    query.scope = QUERY_SCOPE_ALL;
    query.interval_us = interval_us;
    query.dimensions[1] = query.dimensions[0];
    query.dimensions[0] = COLUMN_tenant;
    query.dimension_count++;
    query.values = w->tenants;
    for (size_t i = 0; i < w->roll->count; i++) {
        bool is_new = is_in(w, i);
        for (size_t k = 0; is_new && k < query.value_count; k++)
            is_new = w->tenants[k].u64 != w->roll->list[i].tenant;
        if (is_new)
            w->tenants[query.value_count++] = (struct query_value){.u64 = w->roll->list[i].tenant};
    }
    query.filters[query.filter_count++] =
        (struct query_filter){.column = COLUMN_tenant, .op = OP_IN, .value_count = query.value_count};
    return query;
}

/* "(SELECT unnest([…]) AS tenant, … AS start, … AS events)" of the periods. */
static void add_periods(struct writing *w)
{
    static const char *const heads[] = {"(SELECT unnest([",
                                        "]::UINTEGER[]) AS tenant, make_timestamp(unnest([",
                                        "]::BIGINT[])) AS start, unnest(["};
    for (size_t column = 0; column < 3; column++) {
        const char *comma = "";
        put(w, "%s", heads[column]);
        for (size_t i = 0; i < w->roll->count; i++) {
            const struct roll_one *one = &w->roll->list[i];
            if (!is_in(w, i))
                continue;
            put(w, "%s%llu", comma,
                (unsigned long long)(column == 0   ? one->tenant
                                     : column == 1 ? (uint64_t)one->start
                                                   : one->events));
            comma = ",";
        }
    }
    put(w, "]::UBIGINT[]) AS events)");
}

/* Their rows in a table. */
static void add_condition(struct writing *w, bool has_daily)
{
    if (has_daily)
        put(w, "daily = %s AND ", w->roll->daily ? "true" : "false");
    put(w,
        "start >= make_timestamp(%lld) AND start < make_timestamp(%lld) AND (tenant, start) IN (SELECT "
        "(tenant, start) "
        "FROM ",
        (long long)first(w->roll), (long long)last(w->roll));
    add_periods(w);
    put(w, ")");
}

/* Do its messages count in several periods? */
static bool has_again(enum rollup_cube cube)
{
    struct query query = rollup_question(cube, 0, 0, 0);
    return query_measure_counts(&query, MEASURE_messages) != COUNTS_FIRST;
}

/* Messages of an hour that were there in the hour before; of a day's first hour for a day. */
static void add_again(struct writing *w)
{
    int64_t begin_us = first(w->roll), end_us = w->roll->daily ? begin_us + ROLLUP_HOUR_US : last(w->roll);
    struct query query = question(w, begin_us - ROLLUP_HOUR_US, end_us, ROLLUP_HOUR_US);
    const char *value = is_keyed(w) ? ", x.d1" : "";
    query.measure_count = 2;
    query.measures[0] = MEASURE_messages;
    query.measures[1] = MEASURE_bytes;
    put(w, ", counted AS MATERIALIZED ");
    if (w->rc == 0)
        w->rc = compile_messages(&query, w->out);
    put(w,
        ", again AS (SELECT x.b, x.d0%s, count(*) AS m0, sum(x.size) AS m1 FROM counted x JOIN counted y ON "
        "x.message_id = y.message_id AND x.d0 = y.d0 AND x.b = y.b + %lld%s GROUP BY x.b, x.d0%s)",
        value, (long long)ROLLUP_HOUR_US, is_keyed(w) ? " AND x.d1 IS NOT DISTINCT FROM y.d1" : "", value);
}

static void ask(struct writing *w, const char *name, const struct query *query)
{
    put(w, "%s AS ", name);
    if (w->rc == 0)
        w->rc = compile_groups(query, w->out);
}

/* "WITH events AS (…)" */
static void add_parts(struct writing *w)
{
    struct query none = {0};
    struct compiler c = compiler_of(&none, w->out);
    c.rc = w->rc;
    compiler_parts(&c, w->roll->names, w->roll->name_count);
    w->rc = c.rc;
}

static void add_figures(struct writing *w)
{
    static const enum measure measures[] = {MEASURE_requests, MEASURE_messages, MEASURE_recipients,
                                            MEASURE_bytes};
    struct query query = question(w, first(w->roll), last(w->roll), length(w->roll));
    query.measure_count = 4;
    memcpy(query.measures, measures, sizeof measures);
    add_parts(w);
    ask(w, ", t", &query);
    if (rollup_cube_info(w->cube)->distinct) {
        query.measure_count = ROLLUP_DISTINCTS;
        memcpy(query.measures, rollup_distincts, sizeof rollup_distincts);
        ask(w, ", o", &query);
    }
    if (has_again(w->cube))
        add_again(w);
    put(w,
        ", periods AS (SELECT tenant, epoch_us(start) AS u, least(greatest(events // %d, %d), %d) AS top "
        "FROM ",
        ROLL_TOP_SHARE, ROLL_TOP_MIN, ROLL_TOP);
    add_periods(w);
    put(w, ")");
}

static void join(struct writing *w, const char *name)
{
    put(w, " LEFT JOIN %s ON t.b = %s.b AND t.d0 = %s.d0", name, name, name);
    if (is_keyed(w))
        put(w, " AND t.d1 IS NOT DISTINCT FROM %s.d1", name);
}

/* Every value with all its figures, the largest of each period first. */
static void add_ranked(struct writing *w)
{
    bool again = has_again(w->cube), distinct = rollup_cube_info(w->cube)->distinct;
    put(w,
        ", ranked AS (SELECT u, tenant, top, %s AS d, t.m0 AS requests, t.m1 AS messages, t.m2 AS "
        "recipients, t.m3 AS "
        "bytes, %s AS again_messages, %s AS again_bytes",
        is_keyed(w) ? "t.d1" : "NULL", again ? "coalesce(again.m0, 0)" : "0",
        again ? "coalesce(again.m1, 0)" : "0");
    for (int i = 0; i < ROLLUP_DISTINCTS; i++)
        if (distinct)
            put(w, ", coalesce(o.m%d, 0) AS v%d", i, i);
        else
            put(w, ", NULL AS v%d", i);
    put(w,
        ", row_number() OVER (PARTITION BY u, tenant ORDER BY t.m1 DESC, t.m0 DESC%s) AS n FROM t JOIN "
        "periods ON t.b = "
        "periods.u AND t.d0 = periods.tenant",
        is_keyed(w) ? ", t.d1" : "");
    if (distinct)
        join(w, "o");
    if (again)
        join(w, "again");
    put(w, ")");
}

/* The value as the table has it; what is behind the top has none. */
static void add_value(struct writing *w)
{
    enum column column = rollup_cube_info(w->cube)->column;
    if (column == COLUMN_COUNT)
        put(w, "NULL, NULL");
    else if (event_columns[column].type == TYPE_IP)
        put(w, "NULL, CASE WHEN min(n) > top THEN 0::UHUGEINT ELSE first(d) END");
    else
        put(w, "CASE WHEN min(n) > top THEN '' ELSE first(d)::VARCHAR END, NULL");
}

int roll_sql_cube(const struct roll *roll, enum rollup_cube cube, bool only_busy, struct statement *out)
{
    struct writing w = begin(roll, cube, out);
    w.only_busy = only_busy;
    put(&w, "INSERT INTO %s%s ", ROLLED_IN, roll_table(roll));
    add_figures(&w);
    add_ranked(&w);
    put(&w, " SELECT tenant, make_timestamp(u), %u, ", (unsigned)cube);
    add_value(&w);
    put(&w,
        ", sum(requests), sum(messages), sum(recipients), sum(bytes), sum(again_messages), sum(again_bytes)");
    for (int i = 0; i < ROLLUP_DISTINCTS; i++)
        put(&w, ", sum(v%d)", i);
    put(&w, " FROM ranked GROUP BY u, tenant, top, least(n, top + 1) ORDER BY u, tenant, min(n)");
    return end(&w);
}

int roll_sql_sketch(const struct roll *roll, enum rollup_cube cube, enum measure measure,
                    struct statement *out)
{
    struct writing w = begin(roll, cube, out);
    w.only_busy = true;
    const char *key = is_keyed(&w) ? ", d1" : "";
    struct query query = question(&w, first(roll), last(roll), length(roll));
    query.measure_count = 1;
    query.measures[0] = measure;
    put(&w, "INSERT INTO %srolled_sketches ", ROLLED_IN);
    add_parts(&w);
    put(&w, " SELECT %s, d0, start, %u, %s, '%s', list(r ORDER BY r) FROM (", roll->daily ? "true" : "false",
        (unsigned)cube, is_keyed(&w) ? "d1::VARCHAR" : "NULL", query_measure_name(measure));
    put(&w, "SELECT b, d0%s, max(r) AS r FROM (SELECT b, d0%s, ", key, key);
    put(&w, "%s", SKETCH_OF_V0);
    put(&w, " AS r FROM (SELECT b, d0%s, v0%s AS v0 FROM ", key,
        query_measure_column(measure) == COLUMN_edge ? "[2]" : "");
    if (w.rc == 0)
        w.rc = compile_values(&query, out);
    put(&w, ")) GROUP BY b, d0%s, r // 32) JOIN ", key);
    add_periods(&w);
    put(&w, " ON d0 = tenant AND make_timestamp(b) = start GROUP BY start, d0%s", key);
    return end(&w);
}

/* Which periods have events, and how many. */
int roll_sql_count(const struct roll *roll, struct statement *out)
{
    struct writing w = begin(roll, CUBE_all, out);
    struct query query = question(&w, first(roll), last(roll), length(roll));
    query.measure_count = 1;
    query.measures[0] = MEASURE_requests;
    add_parts(&w);
    put(&w, " SELECT d0, b, m0 FROM ");
    if (w.rc == 0)
        w.rc = compile_groups(&query, out);
    return end(&w);
}

int roll_sql_delete(const struct roll *roll, const char *table, bool has_daily, struct statement *out)
{
    struct writing w = begin(roll, CUBE_all, out);
    put(&w, "DELETE FROM %s%s WHERE ", ROLLED_IN, table);
    add_condition(&w, has_daily);
    return end(&w);
}

/* What each period has; rests: the cubes of which something is behind the top. */
int roll_sql_note(const struct roll *roll, unsigned cubes, unsigned busy_cubes, struct statement *out)
{
    struct writing w = begin(roll, CUBE_all, out);
    put(&w,
        "INSERT INTO %srolled_periods SELECT %s, p.tenant, p.start, p.events, CASE WHEN p.events >= %d THEN "
        "%u ELSE %u "
        "END, coalesce(r.rests, 0), p.events >= %d, false, false FROM ",
        ROLLED_IN, roll->daily ? "true" : "false", ROLL_BUSY_EVENTS, cubes | busy_cubes, cubes,
        ROLL_BUSY_EVENTS);
    add_periods(&w);
    put(&w,
        " p LEFT JOIN (SELECT tenant, start, bit_or(1::UINTEGER << cube::UINTEGER) AS rests FROM %s%s WHERE ",
        ROLLED_IN, roll_table(roll));
    add_condition(&w, false);
    put(&w,
        " AND (text = '' OR number = 0) GROUP BY tenant, start) r USING (tenant, start) WHERE p.events > 0");
    return end(&w);
}
