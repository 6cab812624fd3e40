/* SPDX-License-Identifier: Apache-2.0
 *
 * roll: see roll.h.
 */
#include "store/duckdb/roll.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/rolled.h"
#include "store/duckdb/run.h"

/* rc: of the making of the statement, which is given up in any case. */
static int execute(duckdb_connection connection, int rc, struct statement *statement, duckdb_result *result,
                   struct err *err)
{
    duckdb_result ignored = {0};
    if (rc != 0)
        return err_set(err, rc, "a roll-up's statement can't be made");
    rc = run(connection, statement, result != NULL ? result : &ignored, err);
    duckdb_destroy_result(&ignored);
    statement_fini(statement);
    return rc;
}

static void note_count(struct roll *roll, uint32_t tenant, int64_t start, uint64_t events)
{
    for (size_t i = 0; i < roll->count; i++)
        if (roll->list[i].tenant == tenant && roll->list[i].start == start)
            roll->list[i].events = events;
}

static int count_events(struct roll *roll, duckdb_connection connection, struct err *err)
{
    struct statement statement;
    duckdb_result result = {0};
    int rc = execute(connection, roll_sql_count(roll, &statement), &statement, &result, err);
    for (duckdb_data_chunk chunk = NULL; rc == 0 && (chunk = duckdb_fetch_chunk(result)) != NULL;) {
        const uint32_t *tenant = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
        const int64_t *start = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
        const uint64_t *events = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2));
        for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk); i++)
            note_count(roll, tenant[i], start[i], events[i]);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

static int remove_old(const struct roll *roll, duckdb_connection connection, struct err *err)
{
    const char *const tables[] = {"rolled_periods", "rolled_sketches", roll_table(roll)};
    struct statement statement;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 3; i++)
        rc = execute(connection, roll_sql_delete(roll, tables[i], i < 2, &statement), &statement, NULL, err);
    return rc;
}

static int roll_cubes(const struct roll *roll, bool busy, unsigned *cubes, duckdb_connection connection,
                      struct err *err)
{
    struct statement statement;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < ROLLUP_CUBES; i++)
        if ((roll->daily || rollup_cube_info(i)->hourly) != busy) {
            *cubes |= 1U << i;
            rc = execute(connection, roll_sql_cube(roll, i, busy, &statement), &statement, NULL, err);
        }
    return rc;
}

/* Those of direction hold for everything about recipients as well, put together. */
static int roll_sketches(const struct roll *roll, duckdb_connection connection, struct err *err)
{
    static const enum rollup_cube cubes[] = {CUBE_all, CUBE_direction};
    struct statement statement;
    int rc = 0;
    for (size_t c = 0; c < sizeof cubes / sizeof *cubes; c++)
        for (size_t i = 0; rc == 0 && i < ROLLUP_DISTINCTS; i++)
            rc = execute(connection, roll_sql_sketch(roll, cubes[c], rollup_distincts[i], &statement),
                         &statement, NULL, err);
    return rc;
}

static int roll_all(struct roll *roll, duckdb_connection connection, struct err *err)
{
    unsigned cubes = 0, busy_cubes = 0;
    bool any = false, busy = false;
    struct statement statement;
    int rc = remove_old(roll, connection, err);
    if (rc == 0)
        rc = count_events(roll, connection, err);
    for (size_t i = 0; i < roll->count; i++) {
        any = any || roll->list[i].events > 0;
        busy = busy || roll->list[i].events >= ROLL_BUSY_EVENTS;
    }
    if (rc != 0 || !any)
        return rc;
    rc = roll_cubes(roll, false, &cubes, connection, err);
    if (rc == 0 && busy)
        rc = roll_cubes(roll, true, &busy_cubes, connection, err);
    if (rc == 0 && busy)
        rc = roll_sketches(roll, connection, err);
    if (rc == 0)
        rc = execute(connection, roll_sql_note(roll, cubes, busy_cubes, &statement), &statement, NULL, err);
    return rc;
}

/* Begins a transaction that sees what is committed now, once nothing is known of the periods any more; and
 * the parts that have it. */
static int look(struct roll *roll, duckdb_connection connection, struct snapshot *snapshot, struct err *err)
{
    int64_t from = roll->list[0].start - 2 * ROLLUP_HOUR_US;
    int64_t to = roll->list[roll->count - 1].start + ROLLUP_DAY_US + 2 * ROLLUP_HOUR_US;
    marks_lock(roll->marks);
    for (size_t i = 0; i < roll->count; i++) {
        struct period period = {roll->daily, roll->list[i].tenant, roll->list[i].start};
        marks_forget(roll->marks, &period);
    }
    int rc = parts_snapshot(roll->parts, from, to, snapshot, err);
    if (rc == 0)
        rc = fault_run(connection, "BEGIN", NULL, err);
    if (rc == 0)
        rc = fault_run(connection, "SELECT daily FROM " ROLLED_IN "unrolled LIMIT 1", NULL, err);
    marks_unlock(roll->marks);
    roll->names = snapshot->names;
    roll->name_count = snapshot->count;
    return rc;
}

int roll_them(struct roll *roll, duckdb_connection connection, struct err *err)
{
    struct statement statement;
    struct snapshot snapshot = {0};
    int rc = look(roll, connection, &snapshot, err);
    if (rc == 0)
        rc = roll_all(roll, connection, err);
    if (rc == 0)
        rc = execute(connection, roll_sql_delete(roll, "unrolled", true, &statement), &statement, NULL, err);
    if (rc == 0)
        rc = fault_run(connection, "COMMIT", NULL, err);
    if (rc != 0)
        fault_rollback(connection);
    parts_release(roll->parts, &snapshot);
    roll->names = NULL;
    roll->name_count = 0;
    return rc;
}

/* Of the marks in the order of time: the first that is quiet, and those of the same day that are, too. */
static void pick(struct roll *roll, duckdb_data_chunk chunk, int64_t quiet_us)
{
    const bool *daily = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
    const uint32_t *tenant = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
    const int64_t *start = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2));
    marks_lock(roll->marks);
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(chunk) && roll->count < ROLL_PERIODS; i++) {
        struct period period = {daily[i], tenant[i], start[i]};
        if (marks_touched_us(roll->marks, &period) > quiet_us ||
            (roll->count > 0 && (roll->list[0].start / ROLLUP_DAY_US != start[i] / ROLLUP_DAY_US ||
                                 roll->daily != period.daily)))
            continue;
        roll->daily = period.daily;
        roll->list[roll->count++] = (struct roll_one){.tenant = period.tenant, .start = period.start};
    }
    marks_unlock(roll->marks);
}

/* As far as make_timestamp goes. */
static long long bounded(int64_t us)
{
    return us < ROLLED_LAST_US ? us : ROLLED_LAST_US;
}

static int ask_due(duckdb_connection connection, const char *what, const struct roll_limits *limits,
                   const char *order, duckdb_result *result, struct err *err)
{
    struct statement statement;
    statement_init(&statement);
    int rc = buf_addf(&statement.sql,
                      "SELECT %s FROM (SELECT DISTINCT daily, tenant, start FROM %sunrolled WHERE start <= "
                      "make_timestamp(%lld) - CASE WHEN daily THEN INTERVAL 25 HOUR ELSE INTERVAL 2 HOUR END "
                      "AND start < make_timestamp(%lld)) %s",
                      what, ROLLED_IN, bounded(limits->now_us), bounded(limits->before_us), order);
    if (rc == 0)
        rc = statement_end(&statement);
    if (rc != 0)
        statement_fini(&statement);
    return execute(connection, rc, &statement, result, err);
}

int roll_count_due(duckdb_connection connection, const struct roll_limits *limits, uint64_t *count,
                   struct err *err)
{
    duckdb_result result = {0};
    int rc = ask_due(connection, "count(*)", limits, "", &result, err);
    *count = rc == 0 ? duckdb_value_uint64(&result, 0, 0) : 0;
    duckdb_destroy_result(&result);
    return rc;
}

int roll_due(struct roll *roll, duckdb_connection connection, const struct roll_limits *limits,
             struct err *err)
{
    duckdb_result result = {0};
    int rc = ask_due(connection, "daily, tenant, start", limits, "ORDER BY start, daily, tenant LIMIT 2048",
                     &result, err);
    roll->count = 0;
    duckdb_data_chunk chunk = rc == 0 ? duckdb_fetch_chunk(result) : NULL;
    if (chunk != NULL)
        pick(roll, chunk, limits->quiet_us);
    duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    return rc;
}
