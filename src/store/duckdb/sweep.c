/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep: see sweep.h. What is said about values lies in temporary tables, which no file of ours ever holds.
 */
#include "store/duckdb/sweep.h"

#include "base/buf.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/rolled.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define MADE        "swept"
#define COPY_MAX_US (6 * 3600 * US_PER_SECOND)
#define ROOM_BYTES  ((uint64_t)64 << 20) /* left for others */

struct sweeping {
    struct roller *roller;
    struct parts *parts;
    const struct store_rewrite *how;
    const atomic_bool *cancelled;
    bool *lost;
    char path[PATH_MAX], temporary[PATH_MAX + 8];
    struct err *err;
};

/* A mistake of DuckDB's that is no damage of ours: the files were opened again meanwhile, or questions had to
 * be cancelled. */
static int try_again(const struct sweeping *s, int rc)
{
    if (rc != ERR_ENGINE && rc != ERR_CANCELLED)
        return rc;
    if (s->cancelled != NULL && atomic_load(s->cancelled))
        return err_set(s->err, ERR_CANCELLED, "the writing of the roll-ups was cancelled");
    struct err why = *s->err;
    return err_set(s->err, ERR_BUSY, "the roll-ups can't be written anew now; try again (%.200s)",
                   why.detail);
}

static int check_room(const struct sweeping *s)
{
    struct statvfs fs;
    uint64_t bytes = rolled_bytes(s->parts);
    if (statvfs(s->parts->instance->dir, &fs) != 0)
        return err_errno(s->err, errno, "%s can't be looked at", s->parts->instance->dir);
    if ((uint64_t)fs.f_bavail * fs.f_frsize < bytes + ROOM_BYTES)
        return err_set(s->err, ERR_FULL,
                       "the roll-ups are written anew, for which %s must have %llu MB more; make room",
                       s->parts->instance->dir, (unsigned long long)((bytes + ROOM_BYTES) >> 20));
    return 0;
}

/* --- what goes ----------------------------------------------------------------------------------------- */

static int append_erasure(duckdb_appender appender, const struct store_erasure *erasure)
{
    return duckdb_append_uint32(appender, erasure->tenant) == DuckDBSuccess &&
                   duckdb_append_varchar_length(appender, erasure->address.n > 0 ? erasure->address.p : "",
                                                erasure->address.n) == DuckDBSuccess &&
                   duckdb_append_timestamp(appender, (duckdb_timestamp){erasure->before_us}) ==
                       DuckDBSuccess &&
                   duckdb_appender_end_row(appender) == DuckDBSuccess
               ? 0
               : ERR_ENGINE;
}

static int note_erasures(const struct sweeping *s, duckdb_connection connection)
{
    duckdb_appender appender = NULL;
    int rc = fault_run(connection,
                       "CREATE OR REPLACE TEMP TABLE swept_erased (tenant UINTEGER, address VARCHAR, before "
                       "TIMESTAMP)",
                       NULL, s->err);
    if (rc != 0 || s->how->erasure_count == 0)
        return rc;
    if (duckdb_appender_create_ext(connection, "temp", NULL, "swept_erased", &appender) != DuckDBSuccess)
        rc = ERR_ENGINE;
    for (size_t i = 0; rc == 0 && i < s->how->erasure_count; i++)
        rc = append_erasure(appender, &s->how->erasures[i]);
    if (rc != 0 || duckdb_appender_close(appender) != DuckDBSuccess) {
        duckdb_error_data data = duckdb_appender_error_data(appender);
        rc = fault_set(s->err, duckdb_error_data_error_type(data), "duckdb", duckdb_error_data_message(data));
        duckdb_destroy_error_data(&data);
    }
    (void)duckdb_appender_destroy(&appender);
    return rc;
}

/* swept_kept: from when on periods stay; of tenant 0, of all that have no time of their own. */
static int note_keeps(const struct sweeping *s, duckdb_connection connection)
{
    struct buf sql;
    buf_init(&sql, 64 << 20);
    int rc = buf_addf(&sql, "CREATE OR REPLACE TEMP TABLE swept_kept (daily BOOLEAN, tenant UINTEGER, since "
                            "TIMESTAMP); ");
    for (size_t i = 0; rc == 0 && i < s->how->keep_count; i++) {
        const struct store_keep *keep = &s->how->keeps[i];
        if (keep->kind != STORE_KIND_EVENTS)
            rc = buf_addf(&sql, "INSERT INTO temp.swept_kept VALUES (%s, %u, make_timestamp(%lld)); ",
                          keep->kind == STORE_KIND_DAILY ? "true" : "false", keep->tenant,
                          (long long)(keep->before_us > 0 ? keep->before_us : 0));
    }
    rc = rc != 0 ? err_set(s->err, rc, "out of memory") : fault_run(connection, sql.p, NULL, s->err);
    buf_fini(&sql);
    return rc;
}

/* swept_peopled: the hours of whose rows something was erased, as far as there are rows. */
static int note_peopled(const struct sweeping *s, duckdb_connection connection)
{
    struct snapshot snapshot;
    struct buf sql;
    int rc = parts_snapshot(s->parts, INT64_MIN, INT64_MAX, &snapshot, s->err);
    if (rc != 0)
        return rc;
    buf_init(&sql, 256 * 1024);
    rc = buf_addf(&sql, "CREATE OR REPLACE TEMP TABLE swept_peopled (tenant UINTEGER, start TIMESTAMP); ");
    for (size_t i = 0; rc == 0 && s->how->erasure_count > 0 && i < snapshot.count; i++)
        rc = buf_addf(&sql,
                      "INSERT INTO temp.swept_peopled SELECT DISTINCT tenant, date_trunc('hour', ts) FROM "
                      "%s.events WHERE tenant IN (SELECT tenant FROM temp.swept_erased); ",
                      snapshot.names[i]);
    rc = rc != 0 ? err_set(s->err, rc, "out of memory") : fault_run(connection, sql.p, NULL, s->err);
    buf_fini(&sql);
    parts_release(s->parts, &snapshot);
    return rc;
}

/* --- the copy ------------------------------------------------------------------------------------------ */

#define SINCE                                                                                                \
    "coalesce((SELECT max(since) FROM temp.swept_kept k WHERE k.daily = p.daily AND k.tenant = p.tenant), "  \
    "(SELECT max(since) FROM temp.swept_kept k WHERE k.daily = p.daily AND k.tenant = 0), "                  \
    "make_timestamp(0))"

/* Is anything too old? */
static int look_for_old(const struct sweeping *s, duckdb_connection connection, bool *any)
{
    duckdb_result result = {0};
    static const char sql[] = "SELECT count(*) FROM " ROLLED_IN "rolled_periods p WHERE p.start < " SINCE;
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(s->err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else
        *any = duckdb_value_int64(&result, 0, 0) > 0;
    duckdb_destroy_result(&result);
    return rc;
}

static const char choose_stays[] =
    "CREATE OR REPLACE TEMP TABLE swept_stays AS SELECT daily, tenant, start, EXISTS (SELECT 1 FROM "
    "(SELECT DISTINCT f.daily, q.tenant, CASE WHEN f.daily THEN date_trunc('day', q.start) ELSE q.start END "
    "AS start FROM temp.swept_peopled q, (VALUES (true), (false)) f(daily)) q WHERE q.daily = p.daily AND "
    "q.tenant = p.tenant AND q.start = p.start) AS peopled FROM " ROLLED_IN "rolled_periods p "
    "WHERE NOT EXISTS (SELECT 1 FROM " ROLLED_IN "unrolled u WHERE u.daily = p.daily AND u.tenant = p.tenant "
    "AND u.start = p.start) AND p.start >= " SINCE "; "
    "DELETE FROM temp.swept_stays s WHERE NOT peopled AND EXISTS (SELECT 1 FROM temp.swept_erased e WHERE "
    "e.address = '' AND e.tenant = s.tenant AND s.start < e.before); "
    "DELETE FROM temp.swept_erased WHERE address = '';";

#define LOWER(column) "translate(" column ", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
#define COPY(table, daily)                                                                                   \
    "INSERT INTO " MADE "." table " SELECT c.* FROM " ROLLED_IN table                                        \
    " c JOIN temp.swept_stays s ON s.daily = " daily " AND s.tenant = c.tenant AND s.start = c.start "
#define NOT_ERASED                                                                                           \
    "ANTI JOIN temp.swept_erased e ON NOT s.peopled AND e.tenant = c.tenant AND e.address = " LOWER(         \
        "c.text") " AND c.start < e.before"

static const char *const copies[] = {
    COPY("rolled_periods", "c.daily"),
    COPY("rolled_sketches", "c.daily"),
    COPY("rolled_hourly", "false") NOT_ERASED,
    COPY("rolled_daily", "true") NOT_ERASED,
    ("DROP TABLE temp.swept_erased; DROP TABLE temp.swept_kept; DROP TABLE temp.swept_peopled; "
     "DROP TABLE temp.swept_stays;"),
};

static int copy_with(const struct sweeping *s, duckdb_connection connection)
{
    bool fatal = false;
    int rc = part_attach(s->temporary, MADE, false, connection, &fatal, s->err);
    if (rc == 0)
        rc = rolled_create(connection, MADE, s->err);
    if (rc == 0)
        rc = note_erasures(s, connection);
    if (rc == 0)
        rc = note_peopled(s, connection);
    if (rc == 0)
        rc = fault_run(connection, choose_stays, NULL, s->err);
    for (size_t i = 0; rc == 0 && i < sizeof copies / sizeof *copies; i++)
        rc = fault_run(connection, copies[i], NULL, s->err);
    return rc;
}

/* *any: there was something to do, and it is done. */
static int copy(const struct sweeping *s, bool *any)
{
    struct pool_slot *slot;
    struct pool *pool = s->roller->pool;
    int rc = pool_take(pool, 0, COPY_MAX_US, s->cancelled, &slot, s->err);
    if (rc != 0)
        return rc;
    pool_begin(pool, slot);
    *any = !s->how->only_old;
    rc = note_keeps(s, slot->connection);
    if (rc == 0 && !*any)
        rc = look_for_old(s, slot->connection, any);
    if (rc == 0 && *any)
        rc = check_room(s);
    if (rc == 0 && *any)
        rc = copy_with(s, slot->connection);
    pool_end(pool, slot);
    if (rc != 0)
        duckdb_disconnect(&slot->connection); /* with what it began */
    pool_give(pool, slot);
    return rc;
}

/* --- the switch ---------------------------------------------------------------------------------------- */

static int must_be_whole(const struct sweeping *s, const char *path)
{
    return part_is_whole(path) ? 0 : err_set(s->err, ERR_BUSY, "%s has yet to be checkpointed", path);
}

/* The marks of now go with it; then it is complete. */
static int finish(const struct sweeping *s, duckdb_connection connection)
{
    int rc = fault_run(connection,
                       "INSERT INTO " MADE ".unrolled SELECT DISTINCT daily, tenant, start FROM " ROLLED_IN
                       "unrolled",
                       NULL, s->err);
    if (rc == 0)
        rc = fault_run(connection, "CHECKPOINT " MADE, NULL, s->err);
    if (rc == 0)
        rc = part_detach(MADE, connection, s->err);
    if (rc == 0)
        rc = must_be_whole(s, s->temporary);
    if (rc == 0)
        rc = fault_run(connection, "CHECKPOINT " ROLLED_CATALOG, NULL, s->err);
    return rc != 0 ? rc : must_be_whole(s, s->path);
}

static int replace(const struct sweeping *s, duckdb_connection connection)
{
    bool fatal = false;
    int rc = finish(s, connection);
    if (rc == 0)
        rc = part_detach(ROLLED_CATALOG, connection, s->err);
    if (rc != 0)
        return rc;
    rc = part_install(s->temporary, s->path, s->err);
    int attached = part_attach(s->path, ROLLED_CATALOG, false, connection, &fatal, rc == 0 ? s->err : NULL);
    *s->lost = attached != 0;
    return rc != 0 ? rc : attached;
}

/* No question runs, nothing is opened or shut, and no mark is written. */
static int switch_files(const struct sweeping *s)
{
    struct pool *pool = s->roller->pool;
    struct marks *marks = s->roller->roll.marks;
    pool_drain(pool);
    (void)pthread_mutex_lock(&s->parts->change);
    marks_lock(marks);
    int rc = s->parts->connection != NULL
                 ? replace(s, s->parts->connection)
                 : err_set(s->err, ERR_BUSY, "the store is being opened again; try again");
    marks_unlock(marks);
    (void)pthread_mutex_unlock(&s->parts->change);
    pool_resume(pool);
    return rc;
}

/* A copy that will not be used. */
static void give_up(const struct sweeping *s)
{
    (void)pthread_mutex_lock(&s->parts->change);
    if (s->parts->connection != NULL)
        (void)!part_detach(MADE, s->parts->connection, NULL);
    part_unlink(s->temporary);
    (void)pthread_mutex_unlock(&s->parts->change);
}

int sweep(struct roller *roller, const struct store_rewrite *how, const atomic_bool *cancelled, bool *lost,
          struct err *err)
{
    static const struct store_rewrite nothing;
    struct err own = {0};
    struct sweeping s = {.roller = roller,
                         .parts = roller->roll.parts,
                         .how = how != NULL ? how : &nothing,
                         .cancelled = cancelled,
                         .lost = lost,
                         .err = &own};
    bool any = false;
    *lost = false;
    rolled_path(s.parts, s.path);
    (void)snprintf(s.temporary, sizeof s.temporary, "%s.tmp", s.path);
    roller_hold(roller);
    part_unlink(s.temporary);
    int rc = copy(&s, &any);
    if (rc == 0 && any)
        rc = switch_files(&s);
    if (rc != 0)
        give_up(&s);
    rc = try_again(&s, rc);
    roller_release(roller);
    return rc != 0 ? err_set(err, rc, "%s", own.detail) : 0;
}
