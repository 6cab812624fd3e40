/* SPDX-License-Identifier: Apache-2.0
 *
 * guess: see guess.h.
 */
#include "store/duckdb/guess.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/rolled.h"

#include <stdio.h>

#define LACKS                                                                                                \
    "p.events > coalesce((SELECT sum(c.events) FROM temp.guess_counts c WHERE c.daily = p.daily AND "        \
    "c.tenant = p.tenant AND c.start = p.start), 0)"

static int count_part(duckdb_connection connection, const char *part, struct err *err)
{
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO temp.guess_counts SELECT false, tenant, date_trunc('hour', ts), count(*) "
                   "FROM %.64s.events GROUP BY ALL",
                   part);
    return fault_run(connection, sql, NULL, err);
}

/* guess_counts: how many events the hours and days have that lie in [from, to). */
static int count(struct parts *parts, duckdb_connection connection, int64_t from, int64_t to, struct err *err)
{
    struct snapshot snapshot;
    int rc = parts_snapshot(parts, from, to, &snapshot, err);
    if (rc != 0)
        return rc;
    rc = fault_run(connection,
                   "CREATE OR REPLACE TEMP TABLE guess_counts (daily BOOLEAN, tenant UINTEGER, start "
                   "TIMESTAMP, events UBIGINT)",
                   NULL, err);
    for (size_t i = 0; rc == 0 && i < snapshot.count; i++)
        rc = rolled_blame_part(count_part(connection, snapshot.names[i], err), snapshot.names[i], err);
    parts_release(parts, &snapshot);
    return rc != 0 ? rc
                   : fault_run(connection,
                               "INSERT INTO temp.guess_counts SELECT true, tenant, date_trunc('day', start), "
                               "sum(events) FROM temp.guess_counts GROUP BY ALL",
                               NULL, err);
}

static int drop_counts(duckdb_connection connection, struct err *err)
{
    return fault_run(connection, "DROP TABLE temp.guess_counts", NULL, err);
}

static bool are_rows_missing(struct parts *parts)
{
    struct place place;
    parts_place(parts, &place);
    return place.is_gap || parts->rows_lost;
}

int guess_kept(struct parts *parts, duckdb_connection connection, const char *catalog, struct err *err)
{
    char sql[1024];
    (void)snprintf(
        sql, sizeof sql,
        "UPDATE %.32s.rolled_periods p SET kept = true, guessed = %s WHERE NOT kept AND NOT EXISTS "
        "(SELECT 1 FROM %.32s.unrolled u WHERE u.daily = p.daily AND u.tenant = p.tenant AND "
        "u.start = p.start) AND " LACKS,
        catalog, are_rows_missing(parts) ? "true" : "false", catalog);
    int rc = count(parts, connection, INT64_MIN, INT64_MAX, err);
    if (rc == 0)
        rc = fault_run(connection, sql, NULL, err);
    return rc != 0 ? rc : drop_counts(connection, err);
}

/* From the first guessed period's beginning to the last one's end; false: there is none. */
static int find_guessed(duckdb_connection connection, bool *any, int64_t *from, int64_t *to, struct err *err)
{
    duckdb_result result = {0};
    static const char sql[] = "SELECT count(*), epoch_us(min(start)), epoch_us(max(start)) FROM " ROLLED_IN
                              "rolled_periods WHERE guessed";
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else {
        *any = duckdb_value_int64(&result, 0, 0) > 0;
        *from = duckdb_value_int64(&result, 1, 0);
        *to = duckdb_value_int64(&result, 2, 0) + ROLLUP_DAY_US;
    }
    duckdb_destroy_result(&result);
    return rc;
}

/* Of what is complete again all events are there, so it can be rolled. */
static int take_back(duckdb_connection connection, struct err *err)
{
    static const char *const steps[] = {
        "BEGIN",
        "INSERT INTO " ROLLED_IN "unrolled SELECT daily, tenant, start FROM " ROLLED_IN
        "rolled_periods p WHERE p.guessed AND NOT (" LACKS ")",
        "UPDATE " ROLLED_IN
        "rolled_periods p SET kept = false, guessed = false WHERE p.guessed AND NOT (" LACKS ")",
        "COMMIT",
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof *steps; i++)
        rc = fault_run(connection, steps[i], NULL, err);
    if (rc != 0)
        fault_rollback(connection);
    return rc;
}

int guess_again(struct parts *parts, duckdb_connection connection, struct err *err)
{
    bool any = false;
    int64_t from = 0, to = 0;
    int rc = find_guessed(connection, &any, &from, &to, err);
    if (rc != 0 || !any)
        return rc;
    rc = count(parts, connection, from, to, err);
    if (rc == 0)
        rc = take_back(connection, err);
    return rc != 0 ? rc : drop_counts(connection, err);
}
