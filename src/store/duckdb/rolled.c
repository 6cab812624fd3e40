/* SPDX-License-Identifier: Apache-2.0
 *
 * rolled: see rolled.h. Roll-ups can be made again at any time as long as their events are there: so a file
 * whose tables have other columns than this release knows is not migrated but rolled anew.
 */
#include "store/duckdb/rolled.h"

#include "base/log.h"
#include "store/duckdb/fault.h"

#include <stdio.h>

static const char cube_columns[] = "tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL, cube UTINYINT NOT "
                                   "NULL, text VARCHAR, "
                                   "number UHUGEINT USING COMPRESSION rle, " /* as in layout.c */
                                   "requests UBIGINT NOT NULL, messages UBIGINT NOT NULL, recipients UBIGINT "
                                   "NOT NULL, bytes UBIGINT NOT NULL, "
                                   "again_messages UBIGINT NOT NULL, again_bytes UBIGINT NOT NULL"
#define ROLLUP(id, column, when)
#define ROLLUP_DISTINCT(measure) ", v_" #measure " UBIGINT"
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
    ;

static const char *const tables[] = {"unrolled", "rolled_periods", "rolled_hourly", "rolled_daily",
                                     "rolled_sketches"};

static const char *columns_of(size_t table)
{
    static const char *const columns[] = {
        "daily BOOLEAN NOT NULL, tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL",
        "daily BOOLEAN NOT NULL, tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL, events UBIGINT NOT "
        "NULL, "
        "cubes UINTEGER NOT NULL, rests UINTEGER NOT NULL, sketched BOOLEAN NOT NULL",
        cube_columns, cube_columns,
        "daily BOOLEAN NOT NULL, tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL, cube UTINYINT NOT NULL, "
        "text VARCHAR, measure VARCHAR NOT NULL, registers USMALLINT[] NOT NULL"};
    return columns[table];
}

static int run_and_end(duckdb_connection connection, struct buf *sql, int rc, struct err *err)
{
    if (rc == 0)
        rc = buf_add(sql, "", 1);
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql->p, NULL, err);
    buf_fini(sql);
    return rc;
}

static int add_tables(struct buf *sql, const char *catalog)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof tables / sizeof *tables; i++)
        rc = buf_addf(sql, "DROP TABLE IF EXISTS %s.%s; CREATE TABLE %s.%s (%s); ", catalog, tables[i],
                      catalog, tables[i], columns_of(i));
    return rc;
}

int rolled_create(duckdb_connection connection, const char *catalog, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 64 * 1024);
    return run_and_end(connection, &sql, add_tables(&sql, catalog), err);
}

static int create(duckdb_connection connection, const struct snapshot *snapshot, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 256 * 1024);
    int rc = buf_addf(&sql, "BEGIN; ");
    if (rc == 0)
        rc = add_tables(&sql, ROLLED_CATALOG);
    for (size_t i = 0; rc == 0 && i < 2 * snapshot->count; i++)
        rc = buf_addf(&sql,
                      "INSERT INTO " ROLLED_IN
                      "unrolled SELECT DISTINCT %s, tenant, date_trunc('%s', ts) FROM %s.events; ",
                      i % 2 > 0 ? "true" : "false", i % 2 > 0 ? "day" : "hour", snapshot->names[i / 2]);
    if (rc == 0)
        rc = buf_addf(&sql, "COMMIT;");
    rc = run_and_end(connection, &sql, rc, err);
    if (rc != 0)
        fault_rollback(connection);
    return rc;
}

/* Fails when a table is missing or its columns are not these. */
static int look(duckdb_connection connection)
{
    struct buf sql;
    buf_init(&sql, 8192);
    int rc = buf_addf(
        &sql,
        "SELECT daily, tenant, start FROM " ROLLED_IN "unrolled LIMIT 0; SELECT daily, tenant, start, "
        "events, cubes, rests, sketched FROM " ROLLED_IN "rolled_periods LIMIT 0; SELECT daily, tenant, "
        "start, cube, text, measure, registers FROM " ROLLED_IN "rolled_sketches LIMIT 0; ");
    for (size_t i = 2; rc == 0 && i < 4; i++) {
        rc =
            buf_addf(&sql, "SELECT tenant, start, cube, text, number, requests, messages, recipients, bytes, "
                           "again_messages, again_bytes"
#define ROLLUP(id, column, when)
#define ROLLUP_DISTINCT(measure) ", v_" #measure
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
            );
        if (rc == 0)
            rc = buf_addf(&sql, " FROM " ROLLED_IN "%s LIMIT 0; ", tables[i]);
    }
    return run_and_end(connection, &sql, rc, NULL);
}

void rolled_path(const struct parts *parts, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s/" ROLLED_CATALOG ".duckdb", parts->instance->dir);
}

int rolled_attach(struct parts *parts, duckdb_connection connection, struct err *err)
{
    char path[PATH_MAX], unfinished[PATH_MAX + 8];
    bool fatal = false;
    struct snapshot snapshot;
    rolled_path(parts, path);
    (void)snprintf(unfinished, sizeof unfinished, "%s.tmp", path);
    part_unlink(unfinished);
    int rc = part_attach(path, ROLLED_CATALOG, false, connection, &fatal, err);
    if (rc == ERR_ENGINE) {
        (void)snprintf(unfinished, sizeof unfinished, "%s.wal", path);
        return part_set_aside(unfinished, err) || part_set_aside(path, err) ? ERR_MORE : rc;
    }
    if (rc != 0 || look(connection) == 0)
        return rc;
    rc = parts_snapshot(parts, INT64_MIN, INT64_MAX, &snapshot, err);
    if (rc != 0)
        return rc;
    rc = create(connection, &snapshot, err);
    parts_release(parts, &snapshot);
    return rc;
}

void rolled_checkpoint(duckdb_connection connection)
{
    int rc = fault_run(connection, "CHECKPOINT " ROLLED_CATALOG, NULL, NULL);
    (void)rc; /* its WAL is read at the next start */
}

uint64_t rolled_bytes(const struct parts *parts)
{
    char path[PATH_MAX];
    rolled_path(parts, path);
    return part_bytes(path);
}

/* Each once: they come grouped by tenant. */
static int add_tenants(struct buf *sql, const struct store_rewrite *how)
{
    int rc = buf_addf(sql, "%u", how->reclassify_tenant);
    for (size_t i = 0; rc == 0 && i < how->erasure_count; i++)
        if (i == 0 || how->erasures[i].tenant != how->erasures[i - 1].tenant)
            rc = buf_addf(sql, ", %u", how->erasures[i].tenant);
    return rc;
}

int rolled_mark(duckdb_connection connection, const char *part, const struct store_rewrite *how,
                struct err *err)
{
    struct buf sql;
    buf_init(&sql, 64 << 20);
    int rc = buf_addf(&sql,
                      "INSERT INTO " ROLLED_IN "unrolled SELECT daily, tenant, start FROM " ROLLED_IN
                      "rolled_periods JOIN (SELECT tenant, min(ts) AS first, max(ts) AS last FROM %s.events "
                      "WHERE tenant IN (",
                      part);
    if (rc == 0)
        rc = add_tenants(&sql, how);
    if (rc == 0)
        rc = buf_addf(&sql,
                      ") GROUP BY tenant) USING (tenant) WHERE start > first - CASE WHEN daily THEN INTERVAL "
                      "24 HOUR ELSE INTERVAL 1 HOUR END AND start <= last + to_microseconds(%lld)",
                      (long long)QUERY_MESSAGE_US);
    return run_and_end(connection, &sql, rc, err);
}
