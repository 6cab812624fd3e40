/* SPDX-License-Identifier: Apache-2.0
 *
 * rolled: see rolled.h.
 */
#include "store/duckdb/rolled.h"

#include "base/log.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/guess.h"
#include "store/duckdb/reshape.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define ROOM_BYTES ((uint64_t)64 << 20) /* left for others */

/* What a release adds has a default: the rows of the release before get that (reshape.c). */
#define FIGURE " UBIGINT NOT NULL DEFAULT 0"
static const char cube_columns[] = "tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL, cube UTINYINT NOT "
                                   "NULL, text VARCHAR, "
                                   "number UHUGEINT USING COMPRESSION rle, " /* as in layout.c */
                                   "requests" FIGURE ", messages" FIGURE ", recipients" FIGURE
                                   ", bytes" FIGURE ", again_messages" FIGURE ", again_bytes" FIGURE
#define ROLLUP(id, column, when)
#define ROLLUP_DISTINCT(measure) ", v_" #measure " UBIGINT"
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
    ;

static const char cubes[] = ""
#define ROLLUP(id, column, when) #id " " #column " " #when ", "
#define ROLLUP_DISTINCT(measure)
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
    ;

const char *const rolled_tables[] = {"unrolled",     "rolled_periods",  "rolled_hourly",
                                     "rolled_daily", "rolled_sketches", NULL};

static const char *columns_of(size_t table)
{
    static const char *const columns[] = {
        "daily BOOLEAN NOT NULL, tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL",
        "daily BOOLEAN NOT NULL, tenant UINTEGER NOT NULL, start TIMESTAMP NOT NULL, events UBIGINT NOT "
        "NULL, "
        "cubes UINTEGER NOT NULL, rests UINTEGER NOT NULL, sketched BOOLEAN NOT NULL, "
        "kept BOOLEAN NOT NULL DEFAULT false, guessed BOOLEAN NOT NULL DEFAULT false",
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

/* Everything that the tables and what is in them depend on; no quotes. */
static int add_definition(struct buf *sql)
{
    int rc = buf_addf(sql, "%s", cubes);
    for (size_t i = 0; rc == 0 && rolled_tables[i] != NULL; i++)
        rc = buf_addf(sql, "; %s: %s", rolled_tables[i], columns_of(i));
    return rc;
}

static int add_tables(struct buf *sql, const char *catalog)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && rolled_tables[i] != NULL; i++)
        rc = buf_addf(sql, "CREATE TABLE %s.%s (%s); ", catalog, rolled_tables[i], columns_of(i));
    if (rc == 0)
        rc = buf_addf(sql,
                      "CREATE TABLE %s.rolled_made (version BIGINT NOT NULL, definition VARCHAR NOT NULL); "
                      "INSERT INTO %s.rolled_made VALUES (%d, '",
                      catalog, catalog, ROLLED_VERSION);
    if (rc == 0)
        rc = add_definition(sql);
    return rc != 0 ? rc : buf_addf(sql, "'); ");
}

int rolled_create(duckdb_connection connection, const char *catalog, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 64 * 1024);
    return run_and_end(connection, &sql, add_tables(&sql, catalog), err);
}

static int mark_part(duckdb_connection connection, const char *catalog, const char *part, struct err *err)
{
    struct buf sql;
    int rc = 0;
    buf_init(&sql, 8192);
    for (int daily = 0; rc == 0 && daily < 2; daily++)
        rc = buf_addf(&sql,
                      "INSERT INTO %s.unrolled SELECT %s, tenant, start FROM (SELECT DISTINCT tenant, "
                      "date_trunc('%s', ts) AS start FROM %s.events) e WHERE NOT EXISTS (SELECT 1 FROM "
                      "%s.rolled_periods p WHERE p.kept AND p.daily = %s AND p.tenant = e.tenant AND p.start "
                      "= e.start); ",
                      catalog, daily ? "true" : "false", daily ? "day" : "hour", part, catalog,
                      daily ? "true" : "false");
    return run_and_end(connection, &sql, rc, err);
}

int rolled_mark_all(duckdb_connection connection, const char *catalog, struct parts *parts, struct err *err)
{
    struct snapshot snapshot;
    int rc = parts_snapshot(parts, INT64_MIN, INT64_MAX, &snapshot, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < snapshot.count; i++)
        rc =
            rolled_blame_part(mark_part(connection, catalog, snapshot.names[i], err), snapshot.names[i], err);
    parts_release(parts, &snapshot);
    return rc;
}

static int create(struct parts *parts, duckdb_connection connection, struct err *err)
{
    int rc = fault_run(connection, "BEGIN", NULL, err);
    if (rc == 0)
        rc = rolled_create(connection, ROLLED_CATALOG, err);
    if (rc == 0)
        rc = rolled_mark_all(connection, ROLLED_CATALOG, parts, err);
    if (rc == 0)
        rc = fault_run(connection, "COMMIT", NULL, err);
    if (rc != 0)
        fault_rollback(connection);
    return rc;
}

/* One number and one text, of the first row. */
static int read_row(duckdb_connection connection, const char *sql, int64_t *number, char **text,
                    struct err *err)
{
    duckdb_result result = {0};
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else {
        *number = duckdb_value_int64(&result, 0, 0);
        if (text != NULL)
            *text = duckdb_value_varchar(&result, 1, 0);
    }
    duckdb_destroy_result(&result);
    return rc;
}

enum form { FORM_NEW, FORM_OTHER, FORM_OURS };

/* ERR_VERSION: a newer release wrote it. */
static int read_made(duckdb_connection connection, enum form *form, struct err *err)
{
    struct buf ours;
    char *text = NULL;
    int64_t version = 0;
    int rc = read_row(connection, "SELECT version, definition FROM " ROLLED_IN "rolled_made", &version, &text,
                      err);
    if (rc != 0)
        return rc;
    buf_init(&ours, 64 * 1024);
    if (add_definition(&ours) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    else if (version > ROLLED_VERSION)
        rc = err_set(
            err, ERR_VERSION,
            "the roll-ups have version %lld, this release knows version %d: run the release that wrote "
            "them, or move " ROLLED_CATALOG ".duckdb out of the store's directory (what is rolled anew "
            "has only the events that are left)",
            (long long)version, ROLLED_VERSION);
    else if (text != NULL && version == ROLLED_VERSION)
        *form = slice_equal(slice_of(text), buf_slice(&ours)) ? FORM_OURS : FORM_OTHER;
    duckdb_free(text);
    buf_fini(&ours);
    return rc;
}

static int read_form(duckdb_connection connection, enum form *form, struct err *err)
{
    static const char sql[] = "SELECT count(*) + 1000 * count(*) FILTER (table_name = 'rolled_made') FROM "
                              "duckdb_tables() WHERE database_name = '" ROLLED_CATALOG "'";
    int64_t tables = 0;
    int rc = read_row(connection, sql, &tables, NULL, err);
    *form = tables == 0 ? FORM_NEW : FORM_OTHER;
    return rc != 0 || tables < 1000 ? rc : read_made(connection, form, err);
}

/* What DuckDB can't make sense of, and no trouble of the machine's (fault.c). Without its WAL the file may
 * lack marks of its latest rows: it is doubtful until it was reshaped. */
static int set_aside(struct parts *parts, const char *path, int rc, const struct err *reason)
{
    char wal[PATH_MAX + 8];
    if (rc != ERR_ENGINE)
        return rc;
    (void)snprintf(wal, sizeof wal, "%s.wal", path);
    static const char then[] = "rolled anew of the events that are there; a backup may have more";
    if (part_set_aside(wal, then, reason)) {
        parts->rollups_doubtful = true;
        return ERR_MORE;
    }
    return part_set_aside(path, then, reason) ? ERR_MORE : rc;
}

static int attach(struct parts *parts, const char *path, duckdb_connection connection, enum form *form,
                  struct err *err)
{
    bool fatal = false;
    int rc = part_attach(path, ROLLED_CATALOG, false, connection, &fatal, err);
    if (rc == 0)
        rc = read_form(connection, form, err);
    return set_aside(parts, path, rc, err);
}

void rolled_path(const struct parts *parts, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s/" STORE_ROLLUPS_FILE, parts->instance->dir);
}

static int attach_shaped(struct parts *parts, duckdb_connection connection, struct err *err)
{
    char path[PATH_MAX], unfinished[PATH_MAX + 8];
    enum form form = FORM_NEW;
    rolled_path(parts, path);
    (void)snprintf(unfinished, sizeof unfinished, "%s.tmp", path);
    part_unlink(unfinished);
    int rc = attach(parts, path, connection, &form, err);
    if (rc != 0 || (form == FORM_OURS && !parts->rollups_doubtful))
        return rc;
    if (form == FORM_NEW) {
        parts->rollups_doubtful = false;
        return create(parts, connection, err);
    }
    rc = instance_unfold(parts->instance, err); /* all of the memory: it is done once for a release */
    if (rc == 0)
        rc = reshape(parts, connection, err);
    if (rc == 0)
        parts->rollups_doubtful = false;
    if (rc != ERR_ENGINE || fault_is_damage(err))
        return set_aside(parts, path, rc, err);
    struct err why = *err;
    return err_set(
        err, ERR_CORRUPT,
        "%s can't be brought to this release's definition (%.200s): run the release that wrote it, or "
        "move it away (what is rolled anew has only the events that are left)",
        path, why.detail);
}

int rolled_attach(struct parts *parts, duckdb_connection connection, struct err *err)
{
    struct err why = {0};
    int rc = attach_shaped(parts, connection, err);
    if (rc == 0 && guess_again(parts, connection, &why) != 0) /* no start fails for that */
        log_warning("store: roll-ups of periods whose events were missing stay as they are until retention "
                    "or the next start looks again (%s)",
                    err_detail(&why));
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

int rolled_check_room(const struct parts *parts, struct err *err)
{
    struct statvfs fs;
    uint64_t bytes = rolled_bytes(parts) + ROOM_BYTES;
    if (statvfs(parts->instance->dir, &fs) != 0)
        return err_errno(err, errno, "%s can't be looked at", parts->instance->dir);
    if ((uint64_t)fs.f_bavail * fs.f_frsize < bytes)
        return err_set(err, ERR_FULL,
                       "the roll-ups are written anew, for which %s must have %llu MB more; make room",
                       parts->instance->dir, (unsigned long long)(bytes >> 20));
    return 0;
}

int rolled_blame_part(int rc, const char *part, struct err *err)
{
    if (rc != ERR_ENGINE || !fault_is_damage(err))
        return rc;
    struct err why = *err;
    return err_set(err, ERR_CORRUPT,
                   "part %s can't be read for the roll-ups: when that stays, stop the hub and move the "
                   "part's file away; the journal fills the gap (%.200s)",
                   part, why.detail);
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
                      ") GROUP BY tenant) USING (tenant) WHERE NOT kept AND start > first - CASE WHEN daily "
                      "THEN INTERVAL "
                      "24 HOUR ELSE INTERVAL 1 HOUR END AND start <= last + to_microseconds(%lld)",
                      (long long)QUERY_MESSAGE_US);
    return run_and_end(connection, &sql, rc, err);
}
