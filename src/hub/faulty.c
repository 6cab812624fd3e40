/* SPDX-License-Identifier: Apache-2.0
 *
 * faulty: see faulty.h.
 */
#include "faulty.h"

#include <stdlib.h>

struct list {
    struct seen *rows;
    size_t count, room;
};

struct store {
    const struct store_engine *engine;
    struct store *inner;
    atomic_int mode;
    atomic_uint mended;
    bool poisoned; /* the open transaction holds one */
    struct list pending;
    pthread_mutex_t mutex; /* of committed, largest */
    struct list committed;
    size_t largest;
};

static void add(struct list *list, const struct seen *rows, size_t count)
{
    if (list->count + count > list->room) {
        list->room = (list->count + count) * 2;
        list->rows = realloc(list->rows, list->room * sizeof *rows);
        if (list->rows == NULL)
            abort();
    }
    if (count > 0)
        memcpy(list->rows + list->count, rows, count * sizeof *rows);
    list->count += count;
}

static int refuse(struct store *s, int code, struct err *err, const char *text)
{
    s->pending.count = 0;
    s->poisoned = false;
    (void)!store_rollback(s->inner, NULL);
    return err_set(err, code, "%s", text);
}

static int check_alive(struct store *s, struct err *err)
{
    int mode = atomic_load(&s->mode);
    if (mode == FAULT_DEAD_ENGINE)
        return refuse(s, ERR_ENGINE, err, "the engine is dead");
    return mode == FAULT_DEAD_IO || mode == FAULT_NO_CURSOR ? refuse(s, ERR_IO, err, "the disk is dead") : 0;
}

static int faulty_append(struct store *s, const struct event *rows, size_t count, struct err *err)
{
    int mode = atomic_load(&s->mode), rc = check_alive(s, err);
    atomic_fetch_add(&s->mended, count == 0);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct event *e = &rows[i];
        struct seen seen = {e->epoch.b[0], e->seq,        e->ts,           e->first_of_message,
                            e->retry_of,   e->recipients, e->rule_version, e->direction};
        add(&s->pending, &seen, 1);
        bool poison = slice_equal(e->helo_name, SLICE("poison"));
        if (poison && mode == FAULT_POISON_APPEND)
            return refuse(s, ERR_ENGINE, err, "poison at append");
        s->poisoned |= poison;
    }
    return rc == 0 ? store_append(s->inner, rows, count, err) : rc;
}

static int faulty_commit(struct store *s, struct store_cursor cursor, struct err *err)
{
    int rc = check_alive(s, err);
    if (rc == 0 && s->poisoned && atomic_load(&s->mode) == FAULT_POISON_COMMIT)
        return refuse(s, ERR_ENGINE, err, "poison at commit");
    if (rc == 0)
        rc = store_commit(s->inner, cursor, err);
    if (rc == 0) {
        (void)pthread_mutex_lock(&s->mutex);
        add(&s->committed, s->pending.rows, s->pending.count);
        s->largest = s->pending.count > s->largest ? s->pending.count : s->largest;
        (void)pthread_mutex_unlock(&s->mutex);
    }
    s->pending.count = 0;
    s->poisoned = false;
    return rc;
}

static int faulty_rollback(struct store *s, struct err *err)
{
    s->pending.count = 0;
    s->poisoned = false;
    return store_rollback(s->inner, err);
}

static int faulty_cursor(struct store *s, struct store_cursor *out, struct err *err)
{
    if (atomic_load(&s->mode) == FAULT_NO_CURSOR)
        return err_set(err, ERR_IO, "the cursor can't be read");
    return store_cursor(s->inner, out, err);
}

static int faulty_checkpointed(struct store *s, struct store_cursor *out, struct err *err)
{
    return store_checkpointed(s->inner, out, err);
}

static int faulty_checkpoint(struct store *s, struct err *err)
{
    int rc = check_alive(s, err);
    if (rc == 0 && atomic_load(&s->mode) == FAULT_NO_CHECKPOINT)
        rc = refuse(s, ERR_IO, err, "no checkpoint");
    return rc == 0 ? store_checkpoint(s->inner, err) : rc;
}

static bool faulty_gap(struct store *s, struct store_cursor *until)
{
    return store_gap(s->inner, until);
}

static int faulty_close_part(struct store *s, struct err *err)
{
    return store_close_part(s->inner, err);
}

static int faulty_files(struct store *s, int (*each)(void *arg, const char *path, struct err *err), void *arg,
                        struct err *err)
{
    return store_files(s->inner, each, arg, err);
}

static int faulty_rollups(struct store *s, const atomic_bool *cancelled,
                          int (*each)(void *arg, const char *path, struct err *err), void *arg,
                          struct err *err)
{
    return store_rollups(s->inner, cancelled, each, arg, err);
}

static int faulty_parts(struct store *s, int (*each)(void *arg, const struct store_part *part), void *arg,
                        struct err *err)
{
    return store_parts(s->inner, each, arg, err);
}

static int faulty_rewrite_part(struct store *s, uint64_t id, const struct store_rewrite *how,
                               const atomic_bool *cancelled,
                               void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg,
                               struct err *err)
{
    return store_rewrite_part(s->inner, id, how, cancelled, progress, arg, err);
}

static int faulty_sweep(struct store *s, const struct store_rewrite *how, const atomic_bool *cancelled,
                        struct err *err)
{
    return store_sweep(s->inner, how, cancelled, err);
}

static int faulty_verify(struct store *s,
                         int (*found)(void *arg, const char *part, const char *what, bool good), void *arg,
                         struct err *err)
{
    return store_verify(s->inner, found, arg, err);
}

static int faulty_query(struct store *s, const struct query *query, struct query_sink *sink, struct err *err)
{
    return store_query(s->inner, query, sink, err);
}

static int faulty_roll(struct store *s, int64_t now_us, const atomic_bool *cancelled, struct err *err)
{
    return store_roll(s->inner, now_us, cancelled, err);
}

static void faulty_cancel(struct store *s)
{
    (void)s; /* nobody asks it */
}

static void faulty_stats(struct store *s, struct store_stats *out)
{
    store_get_stats(s->inner, out);
}

static void faulty_close(struct store **store)
{
    struct store *s = *store;
    store_close(&s->inner);
    free(s->pending.rows);
    free(s->committed.rows);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
    *store = NULL;
}

static const struct store_engine faulty_engine = {
    .name = "faulty",
    .close = faulty_close,
    .cursor = faulty_cursor,
    .checkpointed = faulty_checkpointed,
    .append = faulty_append,
    .commit = faulty_commit,
    .rollback = faulty_rollback,
    .checkpoint = faulty_checkpoint,
    .gap = faulty_gap,
    .close_part = faulty_close_part,
    .parts = faulty_parts,
    .rewrite_part = faulty_rewrite_part,
    .sweep = faulty_sweep,
    .files = faulty_files,
    .rollups = faulty_rollups,
    .verify = faulty_verify,
    .query = faulty_query,
    .roll = faulty_roll,
    .cancel = faulty_cancel,
    .stats = faulty_stats,
};

struct store *faulty_wrap(struct store *inner)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->engine = &faulty_engine;
    s->inner = inner;
    (void)pthread_mutex_init(&s->mutex, NULL);
    return s;
}

void faulty_set(struct store *s, enum fault_mode mode)
{
    atomic_store(&s->mode, mode);
}

struct seen *faulty_seen(struct store *s, size_t *count)
{
    (void)pthread_mutex_lock(&s->mutex);
    struct seen *copy = malloc((s->committed.count + 1) * sizeof *copy);
    if (copy == NULL)
        abort();
    if (s->committed.count > 0)
        memcpy(copy, s->committed.rows, s->committed.count * sizeof *copy);
    *count = s->committed.count;
    (void)pthread_mutex_unlock(&s->mutex);
    return copy;
}

size_t faulty_largest(struct store *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    size_t largest = s->largest;
    (void)pthread_mutex_unlock(&s->mutex);
    return largest;
}

unsigned faulty_mended(struct store *s)
{
    return atomic_load(&s->mended);
}
