/* SPDX-License-Identifier: Apache-2.0
 *
 * null: the engine that keeps nothing but how far it came: DIR/cursor, one line of text, replaced by rename
 * after fsync. For hubs that only forward, and for measuring everything but the store. Questions get
 * ERR_UNSUPPORTED.
 */
#include "store/engines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CURSOR_FORMAT "mail-analytics-null 1 %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu64 "\n"
#define CURSOR_SCAN   "mail-analytics-null 1 %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64

struct store {
    const struct store_engine *engine;
    char *path;            /* of the directory */
    int dir, lock;         /* descriptors */
    pthread_mutex_t mutex; /* of cursor and rows */
    struct store_cursor cursor;
    uint64_t rows, pending;
    atomic_uint_least64_t commits, rollbacks, queries;
};

static int read_cursor(struct store *store, struct err *err)
{
    char line[160];
    int fd = openat(store->dir, "cursor", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (n < 0)
        return err_errno(err, error, "the null store's cursor can't be read");
    line[n] = '\0';
    struct store_cursor *cursor = &store->cursor;
    if (sscanf(line, CURSOR_SCAN, &cursor->pos.segment, &cursor->pos.offset, &cursor->skip, &store->rows) !=
        4)
        return err_set(err, ERR_CORRUPT,
                       "the null store's cursor is damaged; remove the file 'cursor' to begin anew");
    return 0;
}

static int write_all(int fd, const char *line, size_t n)
{
    ssize_t written = write(fd, line, n);
    if (written >= 0 && (size_t)written < n)
        errno = ENOSPC;
    return written == (ssize_t)n ? fsync(fd) : -1;
}

static int write_cursor(struct store *store, struct store_cursor cursor, uint64_t rows, struct err *err)
{
    char line[160];
    int n =
        snprintf(line, sizeof line, CURSOR_FORMAT, cursor.pos.segment, cursor.pos.offset, cursor.skip, rows);
    int fd = openat(store->dir, "cursor.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -1 : write_all(fd, line, (size_t)n);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (rc == 0 &&
        (renameat(store->dir, "cursor.new", store->dir, "cursor") != 0 || fsync(store->dir) != 0)) {
        rc = -1;
        error = errno;
    }
    return rc != 0 ? err_errno(err, error, "the null store's cursor can't be written") : 0;
}

static int null_append(struct store *store, const struct event *rows, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < COLUMN_COUNT; k++) {
            const char *field = (const char *)&rows[i] + event_columns[k].offset;
            if (event_columns[k].type == TYPE_TEXT &&
                !text_is_utf8(*(const struct slice *)(const void *)field)) {
                store->pending = 0;
                atomic_fetch_add(&store->rollbacks, 1);
                return err_set(err, ERR_ENGINE, "%s of row %zu is not UTF-8", event_columns[k].name, i);
            }
        }
    store->pending += count;
    return 0;
}

static int null_commit(struct store *store, struct store_cursor cursor, struct err *err)
{
    uint64_t rows = store->rows + store->pending;
    store->pending = 0;
    int rc = write_cursor(store, cursor, rows, err);
    if (rc != 0) {
        atomic_fetch_add(&store->rollbacks, 1);
        return rc;
    }
    (void)pthread_mutex_lock(&store->mutex);
    store->cursor = cursor;
    store->rows = rows;
    (void)pthread_mutex_unlock(&store->mutex);
    atomic_fetch_add(&store->commits, 1);
    return 0;
}

static int null_rollback(struct store *store, struct err *err)
{
    (void)err;
    store->pending = 0;
    atomic_fetch_add(&store->rollbacks, 1);
    return 0;
}

static int null_cursor(struct store *store, struct store_cursor *out, struct err *err)
{
    (void)err;
    (void)pthread_mutex_lock(&store->mutex);
    *out = store->cursor;
    (void)pthread_mutex_unlock(&store->mutex);
    return 0;
}

/* Each commit is a checkpoint. */
static int null_checkpoint(struct store *store, struct err *err)
{
    (void)store;
    (void)err;
    return 0;
}

static bool null_gap(struct store *store, struct store_cursor *until)
{
    (void)store;
    (void)until;
    return false;
}

static int null_close_part(struct store *store, struct err *err)
{
    (void)store;
    (void)err;
    return 0;
}

/* What keeps no rows has no parts. */
static int null_parts(struct store *store, int (*each)(void *arg, const struct store_part *part), void *arg,
                      struct err *err)
{
    (void)store;
    (void)each;
    (void)arg;
    (void)err;
    return 0;
}

static int null_rewrite_part(struct store *store, uint64_t id, const struct store_rewrite *how,
                             const atomic_bool *cancelled,
                             void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg,
                             struct err *err)
{
    (void)store;
    (void)how;
    (void)cancelled;
    (void)progress;
    (void)arg;
    return err_set(err, ERR_NOT_FOUND, "the store has no part %" PRIu64, id);
}

static int null_sweep(struct store *store, const struct store_rewrite *how, const atomic_bool *cancelled,
                      struct err *err)
{
    (void)store;
    (void)how;
    (void)cancelled;
    (void)err;
    return 0;
}

static int null_files(struct store *store, int (*each)(void *arg, const char *path, struct err *err),
                      void *arg, struct err *err)
{
    char path[PATH_MAX];
    if (faccessat(store->dir, "cursor", F_OK, 0) != 0)
        return 0; /* nothing was committed yet */
    int n = snprintf(path, sizeof path, "%s/cursor", store->path);
    return n < (int)sizeof path ? each(arg, path, err)
                                : err_set(err, ERR_LIMIT, "the null store's path is too long");
}

static int null_rollups(struct store *store, const atomic_bool *cancelled,
                        int (*each)(void *arg, const char *path, struct err *err), void *arg, struct err *err)
{
    (void)store;
    (void)cancelled;
    (void)each;
    (void)arg;
    (void)err;
    return 0;
}

static int null_verify(struct store *store,
                       int (*found)(void *arg, const char *part, const char *what, bool good), void *arg,
                       struct err *err)
{
    (void)store;
    (void)err;
    return found(arg, "cursor", "this engine keeps no rows", true);
}

static int null_query(struct store *store, const struct query *query, struct query_sink *sink,
                      struct err *err)
{
    (void)query;
    (void)sink;
    atomic_fetch_add(&store->queries, 1);
    return err_set(err, ERR_UNSUPPORTED,
                   "the null store keeps no events; set store = duckdb to ask questions");
}

static int null_scan(struct store *store, const struct store_scan *scan,
                     int (*row)(void *arg, const struct event *event), void *arg, struct err *err)
{
    (void)row;
    (void)arg;
    return null_query(store, scan->query, NULL, err);
}

static int null_roll(struct store *store, int64_t now_us, const atomic_bool *cancelled, struct err *err)
{
    (void)cancelled;
    (void)store;
    (void)now_us;
    (void)err;
    return 0;
}

static void null_cancel(struct store *store)
{
    (void)store; /* no question ever runs */
}

static void null_stats(struct store *store, struct store_stats *out)
{
    struct stat status;
    uint64_t queries = atomic_load(&store->queries);
    *out = (struct store_stats){.commits = atomic_load(&store->commits),
                                .rollbacks = atomic_load(&store->rollbacks),
                                .queries = queries,
                                .query_errors = queries};
    if (fstatat(store->dir, "cursor", &status, 0) == 0)
        out->bytes = (uint64_t)status.st_size;
    (void)pthread_mutex_lock(&store->mutex);
    out->rows = store->rows;
    (void)pthread_mutex_unlock(&store->mutex);
}

static void null_close(struct store **handle)
{
    struct store *store = *handle;
    if (store->lock >= 0)
        (void)close(store->lock);
    if (store->dir >= 0)
        (void)close(store->dir);
    (void)pthread_mutex_destroy(&store->mutex);
    free(store->path);
    free(store);
    *handle = NULL;
}

static int open_directory(struct store *store, const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "the store's directory %s can't be made", path);
    store->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->dir < 0)
        return err_errno(err, errno, "the store's directory %s can't be opened", path);
    store->lock = openat(store->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock < 0)
        return err_errno(err, errno, "%s/lock can't be opened", path);
    if (flock(store->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, ERR_BUSY, "%s is in use by another process; stop that first", path);
    return 0;
}

static int null_open(struct store **out, const struct store_options *options, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    store->engine = &null_engine;
    store->dir = store->lock = -1;
    (void)pthread_mutex_init(&store->mutex, NULL);
    store->path = strdup(options->dir);
    int rc = store->path == NULL ? err_set(err, ERR_NO_MEMORY, "out of memory")
                                 : open_directory(store, options->dir, err);
    if (rc == 0)
        rc = read_cursor(store, err);
    if (rc != 0)
        null_close(&store);
    *out = store;
    return rc;
}

const struct store_engine null_engine = {
    .name = "null",
    .open = null_open,
    .close = null_close,
    .cursor = null_cursor,
    .checkpointed = null_cursor,
    .append = null_append,
    .commit = null_commit,
    .rollback = null_rollback,
    .checkpoint = null_checkpoint,
    .gap = null_gap,
    .close_part = null_close_part,
    .parts = null_parts,
    .rewrite_part = null_rewrite_part,
    .sweep = null_sweep,
    .files = null_files,
    .rollups = null_rollups,
    .verify = null_verify,
    .query = null_query,
    .scan = null_scan,
    .roll = null_roll,
    .cancel = null_cancel,
    .stats = null_stats,
};
