/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep: see sweep.h. What is said about values lies in temporary tables, which no file of ours ever holds.
 */
#include "store/duckdb/sweep.h"

#include "base/buf.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/rolled.h"

#include <stdio.h>

#define MADE        "swept"
#define COPY_MAX_US (6 * 3600 * US_PER_SECOND)

struct sweeping {
    struct roller *roller;
    struct parts *parts;
    const struct store_rewrite *how;
    const atomic_bool *cancelled;
    bool *lost;
    unsigned shuts; /* of the files, when it began */
    char path[PATH_MAX], temporary[PATH_MAX + 8];
    struct err *err;
};

static int run(const struct sweeping *s, duckdb_connection connection, const char *sql)
{
    return fault_run(connection, sql, s->lost, s->err);
}

/* Also of what runs out of room while it writes: DuckDB may refuse everything from then on. */
static int fault(const struct sweeping *s, duckdb_error_type type, const char *text)
{
    *s->lost = *s->lost || fault_is_fatal(type, text);
    return fault_set(s->err, type, "duckdb", text);
}

/* Other work came between: the files were opened again meanwhile, or are to be, or questions had to be
 * cancelled. What is left of DuckDB's mistakes is damage. */
static int verdict(const struct sweeping *s, int rc)
{
    struct err why = *s->err;
    if (rc != ERR_ENGINE && rc != ERR_CANCELLED)
        return rc;
    if (s->cancelled != NULL && atomic_load(s->cancelled))
        return err_set(s->err, ERR_CANCELLED, "the writing of the roll-ups was cancelled");
    if (rc == ERR_CANCELLED || (*s->lost && !fault_is_damage(s->err)) || s->shuts != parts_shuts(s->parts))
        return err_set(s->err, ERR_BUSY, "the roll-ups can't be written anew now; try again (%.200s)",
                       why.detail);
    return err_set(
        s->err, rc,
        "%s can't be read or written: when that stays, stop the hub and move it away (what is rolled "
        "anew has only the events that are left) (%.200s)",
        s->path, why.detail);
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
    int rc =
        run(s, connection,
            "CREATE OR REPLACE TEMP TABLE swept_erased (tenant UINTEGER, address VARCHAR, before TIMESTAMP)");
    if (rc != 0 || s->how->erasure_count == 0)
        return rc;
    if (duckdb_appender_create_ext(connection, "temp", NULL, "swept_erased", &appender) != DuckDBSuccess)
        rc = ERR_ENGINE;
    for (size_t i = 0; rc == 0 && i < s->how->erasure_count; i++)
        rc = append_erasure(appender, &s->how->erasures[i]);
    if (rc != 0 || duckdb_appender_close(appender) != DuckDBSuccess) {
        duckdb_error_data data = duckdb_appender_error_data(appender);
        rc = fault(s, duckdb_error_data_error_type(data), duckdb_error_data_message(data));
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
    rc = rc != 0 ? err_set(s->err, rc, "out of memory") : run(s, connection, sql.p);
    buf_fini(&sql);
    return rc;
}

static int note_people_of(const struct sweeping *s, duckdb_connection connection, const char *part)
{
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO temp.swept_peopled SELECT DISTINCT tenant, date_trunc('hour', ts) FROM "
                   "%.64s.events WHERE tenant IN (SELECT tenant FROM temp.swept_erased)",
                   part);
    return run(s, connection, sql);
}

/* swept_peopled: the hours of whose rows something was erased, as far as there are rows. */
static int note_peopled(const struct sweeping *s, duckdb_connection connection)
{
    struct snapshot snapshot;
    int rc = parts_snapshot(s->parts, INT64_MIN, INT64_MAX, &snapshot, s->err);
    if (rc != 0)
        return rc;
    rc = run(s, connection, "CREATE OR REPLACE TEMP TABLE swept_peopled (tenant UINTEGER, start TIMESTAMP)");
    for (size_t i = 0; rc == 0 && s->how->erasure_count > 0 && i < snapshot.count; i++)
        rc = rolled_blame_part(note_people_of(s, connection, snapshot.names[i]), snapshot.names[i], s->err);
    parts_release(s->parts, &snapshot);
    return rc;
}

/* --- the copy ------------------------------------------------------------------------------------------ */

#define SINCE                                                                                                \
    "coalesce((SELECT max(since) FROM temp.swept_kept k WHERE k.daily = p.daily AND k.tenant = p.tenant), "  \
    "(SELECT max(since) FROM temp.swept_kept k WHERE k.daily = p.daily AND k.tenant = 0), "                  \
    "make_timestamp(0))"

#define ERASED_WHOLE                                                                                         \
    "EXISTS (SELECT 1 FROM temp.swept_erased e WHERE e.address = '' AND e.tenant = s.tenant AND s.start < "  \
    "e.before)"

/* Is anything too old? */
static int look_for_old(const struct sweeping *s, duckdb_connection connection, bool *any)
{
    duckdb_result result = {0};
    static const char sql[] = "SELECT count(*) FROM " ROLLED_IN "rolled_periods p WHERE p.start < " SINCE;
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault(s, duckdb_result_error_type(&result), duckdb_result_error(&result));
    else
        *any = duckdb_value_int64(&result, 0, 0) > 0;
    duckdb_destroy_result(&result);
    return rc;
}

/* peopled: rolled, or to be rolled, of rows that are there, so that nothing erased is in it. swept_again:
 * what is kept of a tenant that is erased as a whole goes, and what is there of later is rolled. */
static const char choose_stays[] =
    "CREATE OR REPLACE TEMP TABLE swept_stays AS SELECT daily, tenant, start, kept, NOT kept AND has_rows AS "
    "peopled, has_rows FROM (SELECT daily, tenant, start, kept, EXISTS (SELECT 1 FROM "
    "(SELECT DISTINCT f.daily, q.tenant, CASE WHEN f.daily THEN date_trunc('day', q.start) ELSE q.start END "
    "AS start FROM temp.swept_peopled q, (VALUES (true), (false)) f(daily)) q WHERE q.daily = p.daily AND "
    "q.tenant = p.tenant AND q.start = p.start) AS has_rows FROM " ROLLED_IN "rolled_periods p "
    "WHERE NOT EXISTS (SELECT 1 FROM " ROLLED_IN "unrolled u WHERE u.daily = p.daily AND u.tenant = p.tenant "
    "AND u.start = p.start) AND p.start >= " SINCE "); "
    "CREATE OR REPLACE TEMP TABLE swept_again AS SELECT daily, tenant, start FROM temp.swept_stays s WHERE "
    "NOT "
    "peopled AND has_rows AND " ERASED_WHOLE "; "
    "DELETE FROM temp.swept_stays s WHERE NOT peopled AND " ERASED_WHOLE "; "
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
    "INSERT INTO " MADE ".unrolled SELECT daily, tenant, start FROM temp.swept_again",
    ("DROP TABLE temp.swept_erased; DROP TABLE temp.swept_kept; DROP TABLE temp.swept_peopled; "
     "DROP TABLE temp.swept_stays; DROP TABLE temp.swept_again;"),
    /* What is written now isn't written while questions wait. */
    "CHECKPOINT " MADE,
};

/* Behind note_peopled no part is asked any more, and a checkpoint of one needn't wait for the copy. */
static int copy_with(const struct sweeping *s, struct pool_slot *slot)
{
    duckdb_connection connection = slot->connection;
    int rc = part_attach(s->temporary, MADE, false, connection, s->lost, s->err);
    if (rc == 0)
        rc = rolled_create(connection, MADE, s->err);
    if (rc == 0)
        rc = note_erasures(s, connection);
    if (rc == 0)
        rc = note_peopled(s, connection);
    if (rc == 0)
        pool_set_aside(s->roller->pool, slot);
    if (rc == 0)
        rc = run(s, connection, choose_stays);
    for (size_t i = 0; rc == 0 && i < sizeof copies / sizeof *copies; i++)
        rc = run(s, connection, copies[i]);
    if (rc == 0)
        rc = part_sync(s->temporary, s->err);
    if (rc == 0)
        rolled_checkpoint(connection); /* while questions run it may be refused */
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
        rc = rolled_check_room(s->parts, s->err);
    if (rc == 0 && *any)
        rc = copy_with(s, slot);
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
    int rc =
        run(s, connection,
            "INSERT INTO " MADE ".unrolled SELECT DISTINCT daily, tenant, start FROM " ROLLED_IN "unrolled");
    if (rc == 0)
        rc = run(s, connection, "CHECKPOINT " MADE);
    if (rc == 0)
        rc = part_detach(MADE, connection, s->err);
    return rc != 0 ? rc : must_be_whole(s, s->temporary);
}

static int replace(const struct sweeping *s, duckdb_connection connection)
{
    int rc = finish(s, connection);
    if (rc == 0)
        rc = run(s, connection, "CHECKPOINT " ROLLED_CATALOG);
    if (rc == 0)
        rc = must_be_whole(s, s->path);
    if (rc == 0)
        rc = part_detach(ROLLED_CATALOG, connection, s->err);
    if (rc != 0)
        return rc;
    rc = part_install(s->temporary, s->path, s->err);
    int attached = part_attach(s->path, ROLLED_CATALOG, false, connection, s->lost, rc == 0 ? s->err : NULL);
    *s->lost = *s->lost || attached != 0;
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
    marks_forget_all(marks); /* what was kept may have gone: then what comes late gets its mark */
    marks_unlock(marks);
    (void)pthread_mutex_unlock(&s->parts->change);
    pool_resume(pool);
    return rc;
}

/* A copy that will not be used, or not by us. Not every failure tells that DuckDB refuses everything since.
 */
static void give_up(const struct sweeping *s)
{
    (void)pthread_mutex_lock(&s->parts->change);
    if (s->parts->connection != NULL) {
        (void)!part_detach(MADE, s->parts->connection, NULL);
        (void)!fault_run(s->parts->connection, "SELECT 1", s->lost, NULL);
    }
    part_unlink(s->temporary);
    (void)pthread_mutex_unlock(&s->parts->change);
}

static struct sweeping begin(struct roller *roller, const struct store_rewrite *how,
                             const atomic_bool *cancelled, bool *lost, struct err *err)
{
    static const struct store_rewrite nothing;
    struct sweeping s = {.roller = roller,
                         .parts = roller->roll.parts,
                         .how = how != NULL ? how : &nothing,
                         .cancelled = cancelled,
                         .lost = lost,
                         .shuts = parts_shuts(roller->roll.parts),
                         .err = err};
    *lost = false;
    rolled_path(s.parts, s.path);
    (void)snprintf(s.temporary, sizeof s.temporary, "%s.tmp", s.path);
    return s;
}

int sweep(struct roller *roller, const struct store_rewrite *how, const atomic_bool *cancelled, bool *lost,
          struct err *err)
{
    struct err own = {0};
    struct sweeping s = begin(roller, how, cancelled, lost, &own);
    bool any = false;
    roller_hold(roller);
    part_unlink(s.temporary);
    int rc = copy(&s, &any);
    if (rc == 0 && any)
        rc = switch_files(&s);
    if (rc != 0)
        give_up(&s);
    rc = verdict(&s, rc);
    roller_release(roller);
    return rc != 0 ? err_set(err, rc, "%s", own.detail) : 0;
}

/* --- a copy for others --------------------------------------------------------------------------------- */

/* Marks may be added meanwhile: one too many costs a rolling. */
static int complete(const struct sweeping *s)
{
    (void)pthread_mutex_lock(&s->parts->change);
    int rc = s->parts->connection != NULL
                 ? finish(s, s->parts->connection)
                 : err_set(s->err, ERR_BUSY, "the store is being opened again; try again");
    (void)pthread_mutex_unlock(&s->parts->change);
    return rc != 0 ? rc : part_sync(s->temporary, s->err);
}

int sweep_save(struct roller *roller, const atomic_bool *cancelled,
               int (*each)(void *arg, const char *path, struct err *err), void *arg, bool *lost,
               struct err *err)
{
    struct err own = {0};
    struct sweeping s = begin(roller, NULL, cancelled, lost, &own);
    bool any = false;
    (void)snprintf(s.temporary, sizeof s.temporary, "%s/" ROLLED_SAVED, s.parts->instance->dir);
    roller_hold(roller);
    part_unlink(s.temporary);
    int rc = copy(&s, &any);
    if (rc == 0)
        rc = complete(&s);
    roller_release(roller);
    int answer = rc == 0 ? each(arg, s.temporary, err) : 0;
    give_up(&s);
    rc = verdict(&s, rc);
    return rc != 0 ? err_set(err, rc, "%s", own.detail) : answer;
}
