/* SPDX-License-Identifier: Apache-2.0
 *
 * engine: DuckDB behind store.h: a set of files, one writer, a pool of connections that answer questions.
 * When DuckDB declares its database object dead (it does after some failed writes), all files are opened
 * again: the questions that run are cancelled, new ones wait, and the writer goes on from the stored cursor.
 */
#include "base/log.h"
#include "store/duckdb/answer.h"
#include "store/duckdb/kept.h"
#include "store/duckdb/list.h"
#include "store/duckdb/rewrite.h"
#include "store/duckdb/rolled.h"
#include "store/duckdb/roller.h"
#include "store/duckdb/sweep.h"
#include "store/duckdb/verify.h"
#include "store/duckdb/writer.h"
#include "store/engines.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* The loader fills a transaction so far only while there is a backlog. */
enum { RUSH_ROWS = 100000 };

struct store {
    const struct store_engine *engine;
    struct instance instance;
    struct parts parts;
    struct marks marks;
    duckdb_connection marking; /* writes marks */
    struct roller roller;
    struct place place; /* writer's thread: where rows go */
    struct writer writer;
    bool broken;           /* the files could not be opened again yet */
    unsigned held_off;     /* checkpoints in a row that questions did not let through */
    bool checkpoint_due;   /* of a part that was closed */
    struct pool pool;      /* opened with the store */
    pthread_mutex_t mutex; /* of the four below, which other threads may know of the writer */
    struct store_cursor cursor, checkpointed, until;
    bool gap;
    atomic_bool rewriting;
    struct kept kept; /* of whoever rewrites */
    atomic_bool lost; /* the roll-ups are not attached any more: the writer is to open everything again */
    atomic_uint_least64_t commits, rollbacks, queries, query_errors;
};

/* Where rows go may have changed. */
static void publish(struct store *store)
{
    struct store_cursor checkpointed;
    parts_place(&store->parts, &store->place);
    writer_turn(&store->writer, store->place.part);
    parts_checkpointed(&store->parts, &checkpointed);
    (void)pthread_mutex_lock(&store->mutex);
    store->cursor = store->place.part != NULL ? store->writer.after.end : store->place.begin;
    store->checkpointed = checkpointed;
    store->gap = store->place.is_gap;
    store->until = store->place.until;
    (void)pthread_mutex_unlock(&store->mutex);
}

static void shut_files(struct store *store, bool checkpoint)
{
    if (checkpoint && store->marking != NULL)
        rolled_checkpoint(store->marking);
    duckdb_disconnect(&store->marking);
    parts_shut(&store->parts, checkpoint);
}

/* The parts, and the roll-ups beside them. */
static int open_files(struct store *store, struct err *err)
{
    int rc;
    do {
        rc = parts_open(&store->parts, err);
        if (rc != 0)
            return rc;
        rc = instance_connect(&store->instance, &store->marking, err);
        if (rc == 0)
            rc = rolled_attach(&store->parts, store->marking, err);
        if (rc == 0)
            rc = marks_reset(&store->marks, store->marking, err);
        if (rc != 0)
            shut_files(store, false);
    } while (rc == ERR_MORE);
    return rc;
}

static int reopen(struct store *store, struct err *err)
{
    log_warning("store: %s is opened again after a fatal error", store->instance.dir);
    if (!store->broken) /* else it is paused already */
        pool_pause(&store->pool);
    writer_close(&store->writer);
    shut_files(store, false);
    store->broken = true;
    int rc = open_files(store, err);
    if (rc == 0)
        rc = writer_open(&store->writer, &store->instance, err);
    if (rc != 0)
        return rc; /* questions stay out; the writer's next call tries again */
    store->broken = false;
    publish(store);
    pool_resume(&store->pool);
    return 0;
}

/* Writing lacks memory. Folded, DuckDB has little: it gets all of it. Else questions have it: they go
 * first. */
static int make_room(struct store *store, struct err *err)
{
    struct err ignored;
    bool was_unfolded = instance_is_unfolded(&store->instance);
    if (!was_unfolded && instance_unfold(&store->instance, &ignored) == 0)
        return err_set(err, ERR_NO_MEMORY,
                       "duckdb had little memory for writing and has more now; try again");
    pool_interrupt(&store->pool);
    return err_set(err, ERR_NO_MEMORY,
                   "duckdb has no memory left for writing; running questions were cancelled "
                   "(give it more: store_memory)");
}

/* After a failed write: the caller's error stays the one that is told. */
static int after_failure(struct store *store, int rc, struct err *err)
{
    struct err ignored;
    atomic_fetch_add(&store->rollbacks, 1);
    marks_drop(&store->marks);
    if (store->writer.fatal && reopen(store, &ignored) != 0)
        log_error("store: %s can't be opened again (%s); it is tried with the next write",
                  store->instance.dir, ignored.detail);
    else if (!store->broken)
        publish(store); /* a part may have been made or closed */
    return rc == ERR_LIMIT ? make_room(store, err) : rc;
}

/* Opens broken files again. When that cost commits the caller has to go back to the cursor first. */
static int mend(struct store *store, struct err *err)
{
    if (!atomic_exchange(&store->lost, false) && !store->broken)
        return 0;
    struct store_cursor before = store->cursor;
    int rc = reopen(store, err);
    if (rc == 0 && store_cursor_compare(store->cursor, before) != 0)
        rc = err_set(err, ERR_IO, "%s lost its last commits; go on from its cursor", store->instance.dir);
    return rc;
}

/* The present part's last commit. Its checkpoint may have to wait for questions. */
static int close_part(struct store *store, struct err *err)
{
    struct part *part = store->place.part;
    int rc = writer_commit(&store->writer, store->writer.after.end, true, err);
    if (rc != 0)
        return rc;
    parts_publish(&store->parts, part, &store->writer.after);
    store->checkpoint_due = true;
    publish(store);
    return 0;
}

/* A transaction begins: is there a part for it, and is it of the month of its first row? */
static int need_part(struct store *store, int64_t hub_ts, struct err *err)
{
    const struct part *part = store->place.part;
    int rc = 0;
    if (part != NULL && !store->place.is_gap && part->info.rows > 0 &&
        part_month_compare(&part->info, hub_ts) < 0)
        rc = close_part(store, err);
    if (rc == 0 && store->place.part == NULL)
        rc = parts_make(&store->parts, &store->place, hub_ts, &store->writer.fatal, err);
    if (rc == 0)
        writer_turn(&store->writer, store->place.part);
    return rc;
}

static int duck_append(struct store *store, const struct event *rows, size_t count, struct err *err)
{
    int rc = mend(store, err);
    if (rc != 0 || count == 0)
        return rc;
    if (!store->writer.in_transaction)
        rc = need_part(store, rows[0].hub_ts, err);
    if (rc == 0)
        rc = writer_append(&store->writer, rows, count, err);
    if (rc == 0 && marks_note(&store->marks, rows, count) != 0) {
        writer_rollback(&store->writer);
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    }
    if (rc == 0 && store->writer.pending >= RUSH_ROWS)
        pool_rush(&store->pool);
    return rc != 0 ? after_failure(store, rc, err) : 0;
}

/* The journal is read again from an earlier place. What was read from there on stays in the parts before. */
static int set_back(struct store *store, struct store_cursor cursor, struct err *err)
{
    if (store->writer.pending > 0 || store->place.is_gap) {
        writer_rollback(&store->writer);
        return err_set(err, ERR_INVALID, "the store's cursor goes back only by itself");
    }
    int rc = store->place.part != NULL && store->place.part->info.rows > 0 ? close_part(store, err) : 0;
    if (rc == 0 && store->place.part == NULL)
        store->place.begin = cursor;
    return rc;
}

/* A checkpoint of what was closed, as soon as questions let it through. */
static int tidy(struct store *store, struct err *err)
{
    int rc = parts_checkpoint(&store->parts, true, store->writer.connection, &store->writer.fatal, err);
    store->checkpoint_due = rc != 0;
    return store->writer.fatal ? rc : 0;
}

/* Marks, rows, and what others may know of them: a roller sees all of it or nothing. */
static int commit_marked(struct store *store, struct store_cursor cursor, bool done, struct err *err)
{
    int rc = marks_begin(&store->marks, &store->writer.fatal, err);
    if (rc == 0)
        rc = writer_commit(&store->writer, cursor, done, err);
    else
        writer_rollback(&store->writer);
    if (rc == 0)
        parts_publish(&store->parts, store->place.part, &store->writer.after);
    marks_end(&store->marks, rc == 0, clock_monotonic_us());
    return rc;
}

static int duck_commit(struct store *store, struct store_cursor cursor, struct err *err)
{
    int rc = mend(store, err);
    if (rc != 0)
        return rc;
    bool done = store->place.is_gap && store_cursor_compare(cursor, store->place.until) >= 0;
    if (store_cursor_compare(cursor, store->cursor) < 0)
        rc = set_back(store, cursor, err);
    if (rc == 0 && !store->writer.in_transaction)
        rc = need_part(store, clock_real_us(), err);
    if (rc == 0)
        rc = commit_marked(store, done ? store->place.until : cursor, done, err);
    if (rc != 0)
        return after_failure(store, rc, err);
    atomic_fetch_add(&store->commits, 1);
    store->checkpoint_due = store->checkpoint_due || done;
    rc = store->checkpoint_due ? tidy(store, err) : 0;
    if (rc != 0)
        return after_failure(store, rc, err); /* the commit stands: the cursor tells */
    publish(store);
    return 0;
}

static int duck_rollback(struct store *store, struct err *err)
{
    (void)err;
    if (!store->broken)
        writer_rollback(&store->writer);
    marks_drop(&store->marks);
    atomic_fetch_add(&store->rollbacks, 1);
    return 0;
}

/* Questions that follow each other without a break would keep every checkpoint away, and the hub's journal
 * grows until there is one: when that happened often enough, questions wait. */
static int checkpoint_alone(struct store *store, struct err *err)
{
    pool_drain(&store->pool);
    int rc = parts_checkpoint(&store->parts, false, store->writer.connection, &store->writer.fatal, err);
    pool_resume(&store->pool);
    return rc;
}

static int duck_checkpoint(struct store *store, struct err *err)
{
    enum { HELD_OFF_MAX = 100 };
    int rc = mend(store, err);
    if (rc != 0)
        return rc;
    rc = parts_checkpoint(&store->parts, false, store->writer.connection, &store->writer.fatal, err);
    if (rc == ERR_BUSY && ++store->held_off >= HELD_OFF_MAX)
        rc = checkpoint_alone(store, err);
    if (rc == ERR_BUSY)
        return rc;
    store->held_off = 0;
    if (rc != 0)
        return after_failure(store, rc, err);
    publish(store);
    return 0;
}

static bool duck_gap(struct store *store, struct store_cursor *until)
{
    (void)pthread_mutex_lock(&store->mutex);
    bool gap = store->gap;
    *until = store->until;
    (void)pthread_mutex_unlock(&store->mutex);
    return gap;
}

/* Whoever asks for this wants to rewrite the part, for which it must be whole: questions wait for a moment.
 */
static int duck_close_part(struct store *store, struct err *err)
{
    int rc = mend(store, err);
    if (rc != 0 || store->place.is_gap || store->place.part == NULL || store->place.part->info.rows == 0)
        return rc;
    rc = close_part(store, err);
    if (rc == 0)
        rc = parts_checkpoint(&store->parts, false, store->writer.connection, &store->writer.fatal, err);
    if (rc == ERR_BUSY)
        rc = checkpoint_alone(store, err);
    if (rc != 0)
        return after_failure(store, rc, err);
    publish(store);
    return 0;
}

/* No file is replaced meanwhile. */
static int duck_files(struct store *store, int (*each)(void *arg, const char *path, struct err *err),
                      void *arg, struct err *err)
{
    int rc = duck_close_part(store, err);
    if (rc != 0)
        return rc;
    if (store->place.is_gap)
        return err_set(err, ERR_BUSY, "the store is being rebuilt from the journal");
    (void)pthread_mutex_lock(&store->parts.change);
    for (size_t i = 0; rc == 0 && i < store->parts.count; i++) {
        const struct part *part = store->parts.list[i];
        if (part->info.rows == 0)
            continue;
        rc = part_is_whole(part->path) ? each(arg, part->path, err)
                                       : err_set(err, ERR_BUSY, "%s has yet to be checkpointed", part->path);
    }
    (void)pthread_mutex_unlock(&store->parts.change);
    return rc;
}

static int duck_parts(struct store *store, int (*each)(void *arg, const struct store_part *part), void *arg,
                      struct err *err)
{
    struct store_part *copies;
    size_t count;
    int rc = parts_copy(&store->parts, &copies, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = each(arg, &copies[i]);
    free(copies);
    return rc;
}

/* What was rolled of rows that a rewriting takes away or changes is rolled again. What goes because it is old
 * stays in the roll-ups (kept.h). */
static int mark_rewritten(struct store *store, uint64_t id, const struct store_rewrite *how, struct err *err)
{
    struct store_part *parts;
    struct pool_slot *slot;
    size_t count;
    int rc = parts_copy(&store->parts, &parts, &count, err);
    if (rc != 0)
        return rc;
    rc = pool_take(&store->pool, 0, 60 * US_PER_SECOND, NULL, &slot, err);
    if (rc != 0)
        goto out;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct part named;
        if (parts[i].id != id || parts[i].open)
            continue;
        part_init(&named, store->instance.dir, &parts[i]);
        rc = rolled_mark(slot->connection, named.name, how, err);
    }
    pool_give(&store->pool, slot);
out:
    free(parts);
    return rc;
}

static int duck_rewrite_part(struct store *store, uint64_t id, const struct store_rewrite *how,
                             const atomic_bool *cancelled,
                             void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg,
                             struct err *err)
{
    bool marks = how != NULL && (how->erasure_count > 0 || how->reclassify_tenant != 0);
    bool held = false, lost = false;
    int rc = 0;
    if (atomic_exchange(&store->rewriting, true))
        return err_set(err, ERR_BUSY, "another part is being rewritten; try again");
    if (kept_concerns(how))
        rc = kept_begin(&store->kept, &store->roller, id, how, cancelled, &lost, err);
    if (rc == 0 && marks) {
        held = true;
        roller_hold(&store->roller);
        rc = mark_rewritten(store, id, how, err);
    }
    if (rc == 0)
        rc = rewrite(&store->parts, store->instance.memory_bytes, id, how, cancelled, progress, arg, err);
    if (held)
        roller_release(&store->roller);
    if (lost)
        atomic_store(&store->lost, true);
    atomic_store(&store->rewriting, false);
    return rc;
}

static int duck_sweep(struct store *store, const struct store_rewrite *how, const atomic_bool *cancelled,
                      struct err *err)
{
    bool lost = false;
    if (atomic_exchange(&store->rewriting, true))
        return err_set(err, ERR_BUSY, "a part is being rewritten; try again");
    kept_forget(&store->kept);
    int rc = sweep(&store->roller, how, cancelled, &lost, err);
    if (lost)
        atomic_store(&store->lost, true);
    atomic_store(&store->rewriting, false);
    return rc;
}

static int duck_rollups(struct store *store, const atomic_bool *cancelled,
                        int (*each)(void *arg, const char *path, struct err *err), void *arg, struct err *err)
{
    bool lost = false;
    if (atomic_exchange(&store->rewriting, true))
        return err_set(err, ERR_BUSY, "a part is being rewritten; try again");
    int rc = sweep_save(&store->roller, cancelled, each, arg, &lost, err);
    if (lost)
        atomic_store(&store->lost, true);
    atomic_store(&store->rewriting, false);
    return rc;
}

static int duck_verify(struct store *store,
                       int (*found)(void *arg, const char *part, const char *what, bool good), void *arg,
                       struct err *err)
{
    if (atomic_exchange(&store->rewriting, true))
        return err_set(err, ERR_BUSY, "a part is being rewritten or looked at; try again");
    int rc = verify(&store->parts, &store->pool, found, arg, err);
    atomic_store(&store->rewriting, false);
    return rc;
}

static int duck_checkpointed(struct store *store, struct store_cursor *out, struct err *err)
{
    (void)err;
    (void)pthread_mutex_lock(&store->mutex);
    *out = store->checkpointed;
    (void)pthread_mutex_unlock(&store->mutex);
    return 0;
}

static int duck_cursor(struct store *store, struct store_cursor *out, struct err *err)
{
    (void)err;
    (void)pthread_mutex_lock(&store->mutex);
    *out = store->cursor;
    (void)pthread_mutex_unlock(&store->mutex);
    return 0;
}

static int duck_query(struct store *store, const struct query *query, struct query_sink *sink,
                      struct err *err)
{
    atomic_fetch_add(&store->queries, 1);
    int rc = answer(&store->pool, &store->parts, query, sink, err);
    if (rc != 0)
        atomic_fetch_add(&store->query_errors, 1);
    return rc;
}

static int duck_scan(struct store *store, const struct store_scan *scan,
                     int (*row)(void *arg, const struct event *event), void *arg, struct err *err)
{
    atomic_fetch_add(&store->queries, 1);
    int rc = list_run(&store->pool, &store->parts, scan, row, arg, err);
    if (rc != 0)
        atomic_fetch_add(&store->query_errors, 1);
    return rc;
}

static int duck_roll(struct store *store, int64_t now_us, const atomic_bool *cancelled, struct err *err)
{
    return roller_run(&store->roller, now_us, INT64_MAX, cancelled, err);
}

static void duck_cancel(struct store *store)
{
    pool_look_again(&store->pool);
}

static void duck_stats(struct store *store, struct store_stats *out)
{
    *out = (struct store_stats){
        .commits = atomic_load(&store->commits),
        .rollbacks = atomic_load(&store->rollbacks),
        .queries = atomic_load(&store->queries),
        .query_errors = atomic_load(&store->query_errors),
        .queries_running = pool_running(&store->pool),
    };
    parts_sums(&store->parts, &out->rows, &out->bytes);
    out->bytes += rolled_bytes(&store->parts);
}

static void duck_close(struct store **handle)
{
    struct store *store = *handle;
    roller_close(&store->roller);
    pool_pause(&store->pool);
    pool_close(&store->pool);
    writer_close(&store->writer);
    shut_files(store, !store->broken);
    kept_forget(&store->kept);
    marks_fini(&store->marks);
    parts_fini(&store->parts);
    instance_fini(&store->instance);
    (void)pthread_mutex_destroy(&store->mutex);
    free(store);
    *handle = NULL;
}

static int open_store(struct store *store, const struct store_options *options, struct err *err)
{
    marks_init(&store->marks);
    int rc = open_files(store, err);
    if (rc != 0)
        goto fini_marks;
    rc = writer_open(&store->writer, &store->instance, err);
    if (rc != 0)
        goto shut_parts;
    rc = pool_open(&store->pool, &store->instance, options->query_threads, options->query_per_tenant, err);
    if (rc != 0)
        goto close_writer;
    rc = roller_open(&store->roller, &store->pool, &store->parts, &store->marks, err);
    if (rc != 0)
        goto close_pool;
    (void)pthread_mutex_init(&store->mutex, NULL);
    publish(store);
    return 0;
close_pool:
    pool_close(&store->pool);
close_writer:
    writer_close(&store->writer);
shut_parts:
    shut_files(store, false);
fini_marks:
    marks_fini(&store->marks);
    return rc;
}

static int duck_open(struct store **out, const struct store_options *options, struct err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    store->engine = &duckdb_engine;
    int rc = instance_init(&store->instance, options->dir, "tmp", options->memory_bytes,
                           cores < 1 ? 1 : (uint32_t)cores, err);
    if (rc != 0)
        goto free_store;
    rc = parts_init(&store->parts, &store->instance, err);
    if (rc != 0)
        goto fini_instance;
    rc = open_store(store, options, err);
    if (rc != 0)
        goto fini_parts;
    *out = store;
    return 0;
fini_parts:
    parts_fini(&store->parts);
fini_instance:
    instance_fini(&store->instance);
free_store:
    free(store);
    return rc;
}

const struct store_engine duckdb_engine = {
    .name = "duckdb",
    .open = duck_open,
    .close = duck_close,
    .cursor = duck_cursor,
    .checkpointed = duck_checkpointed,
    .append = duck_append,
    .commit = duck_commit,
    .rollback = duck_rollback,
    .checkpoint = duck_checkpoint,
    .gap = duck_gap,
    .close_part = duck_close_part,
    .parts = duck_parts,
    .rewrite_part = duck_rewrite_part,
    .sweep = duck_sweep,
    .files = duck_files,
    .rollups = duck_rollups,
    .verify = duck_verify,
    .query = duck_query,
    .scan = duck_scan,
    .roll = duck_roll,
    .cancel = duck_cancel,
    .stats = duck_stats,
};
