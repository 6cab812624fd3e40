/* SPDX-License-Identifier: Apache-2.0
 *
 * engine: DuckDB behind store.h: one file, one writer, a pool of connections that answer questions. When
 * DuckDB declares its database object dead (it does after some failed writes), the file is opened again: the
 * questions that run are cancelled, new ones wait, and the writer goes on from the stored cursor.
 */
#include "base/log.h"
#include "store/duckdb/answer.h"
#include "store/duckdb/writer.h"
#include "store/engines.h"

#include <stdatomic.h>
#include <stdlib.h>

struct store {
    const struct store_engine *engine;
    struct file file;
    struct writer writer;
    bool broken;           /* the file could not be opened again yet */
    unsigned held_off;     /* checkpoints in a row that questions did not let through */
    struct pool pool;      /* opened with the store */
    pthread_mutex_t mutex; /* of the three below */
    struct store_cursor cursor, checkpointed;
    uint64_t rows;
    atomic_uint_least64_t commits, rollbacks, queries, query_errors;
};

/* What other threads may know of the writer. A cursor that was set back leaves no checkpoint before it. */
static void publish(struct store *store)
{
    bool whole = file_is_whole(&store->file);
    (void)pthread_mutex_lock(&store->mutex);
    store->cursor = store->writer.cursor;
    store->rows = store->writer.rows;
    if (whole)
        store->checkpointed = store->cursor;
    else if (store_cursor_compare(store->cursor, store->checkpointed) < 0)
        store->checkpointed = (struct store_cursor){{0, 0}, 0};
    (void)pthread_mutex_unlock(&store->mutex);
}

static int reopen(struct store *store, struct err *err)
{
    log_warning("store: %s is opened again after a fatal error", store->file.path);
    pool_pause(&store->pool);
    writer_close(&store->writer);
    file_shut(&store->file);
    store->broken = true;
    int rc = file_reopen(&store->file, err);
    if (rc == 0)
        rc = writer_open(&store->writer, &store->file, err);
    if (rc != 0)
        return rc; /* questions stay out; the writer's next call tries again */
    store->broken = false;
    publish(store);
    pool_resume(&store->pool);
    return 0;
}

/* Writing lacks memory. Folded, the file has little: it gets all of it. Else questions have it: they go
 * first. */
static int make_room(struct store *store, struct err *err)
{
    struct err ignored;
    bool was_unfolded = file_is_unfolded(&store->file);
    if (!was_unfolded && file_unfold(&store->file, &ignored) == 0)
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
    if (store->writer.fatal && reopen(store, &ignored) != 0)
        log_error("store: %s can't be opened again (%s); it is tried with the next write", store->file.path,
                  ignored.detail);
    return rc == ERR_LIMIT ? make_room(store, err) : rc;
}

/* Opens a broken file again. When that cost commits the caller has to go back to the cursor first. */
static int mend(struct store *store, struct err *err)
{
    if (!store->broken)
        return 0;
    struct store_cursor before = store->cursor;
    int rc = reopen(store, err);
    if (rc == 0 && store_cursor_compare(store->cursor, before) != 0)
        rc = err_set(err, ERR_IO, "%s lost its last commits; go on from its cursor", store->file.path);
    return rc;
}

static int duck_append(struct store *store, const struct event *rows, size_t count, struct err *err)
{
    int rc = mend(store, err);
    if (rc != 0)
        return rc;
    rc = writer_append(&store->writer, rows, count, err);
    return rc != 0 ? after_failure(store, rc, err) : 0;
}

static int duck_commit(struct store *store, struct store_cursor cursor, struct err *err)
{
    int rc = mend(store, err);
    if (rc != 0)
        return rc;
    rc = writer_commit(&store->writer, cursor, err);
    if (rc != 0)
        return after_failure(store, rc, err);
    atomic_fetch_add(&store->commits, 1);
    publish(store);
    return 0;
}

static int duck_rollback(struct store *store, struct err *err)
{
    (void)err;
    if (!store->broken)
        writer_rollback(&store->writer);
    atomic_fetch_add(&store->rollbacks, 1);
    return 0;
}

/* Questions that follow each other without a break would keep every checkpoint away, and the hub's journal
 * grows until there is one: when that happened often enough, questions wait. */
static int checkpoint_alone(struct store *store, struct err *err)
{
    pool_drain(&store->pool);
    int rc = writer_checkpoint(&store->writer, err);
    pool_resume(&store->pool);
    return rc;
}

static int duck_checkpoint(struct store *store, struct err *err)
{
    enum { HELD_OFF_MAX = 100 };
    int rc = mend(store, err);
    if (rc != 0)
        return rc;
    rc = writer_checkpoint(&store->writer, err);
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
    int rc = answer(&store->pool, query, sink, err);
    if (rc != 0)
        atomic_fetch_add(&store->query_errors, 1);
    return rc;
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
        .bytes = file_bytes(&store->file),
    };
    (void)pthread_mutex_lock(&store->mutex);
    out->rows = store->rows;
    (void)pthread_mutex_unlock(&store->mutex);
}

static void duck_close(struct store **handle)
{
    struct store *store = *handle;
    pool_pause(&store->pool);
    pool_close(&store->pool);
    writer_close(&store->writer);
    file_close(&store->file);
    (void)pthread_mutex_destroy(&store->mutex);
    free(store);
    *handle = NULL;
}

static int duck_open(struct store **out, const struct store_options *options, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    store->engine = &duckdb_engine;
    int rc = file_open(&store->file, options, err);
    if (rc != 0)
        goto free_store;
    rc = writer_open(&store->writer, &store->file, err);
    if (rc != 0)
        goto close_file;
    rc = pool_open(&store->pool, &store->file, options->query_threads, err);
    if (rc != 0)
        goto close_writer;
    (void)pthread_mutex_init(&store->mutex, NULL);
    publish(store);
    *out = store;
    return 0;
close_writer:
    writer_close(&store->writer);
close_file:
    file_close(&store->file);
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
    .query = duck_query,
    .cancel = duck_cancel,
    .stats = duck_stats,
};
