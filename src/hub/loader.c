/* SPDX-License-Identifier: Apache-2.0
 *
 * loader: see loader.h. The make thread fills batches; the store thread appends and commits them, and has the
 * store make a checkpoint when that lets a segment of the journal go; between transactions it rests for
 * whoever wants the store to himself. After a failure it parks the other and recovers (loader_recover.c).
 */
#include "loader_impl.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CHECKPOINT_SHARE = 10,          /* of the time at most one part is spent on checkpoints */
    ONE_JOURNAL_SEGMENTS = 1000000, /* numbers further apart are of two journals, begun a second apart */
};
static const int64_t idle_us = US_PER_SECOND / 5;
static const int64_t retry_us = US_PER_SECOND, pause_min_us = US_PER_SECOND;

/* What the statistics are told. */

static void note_commit(struct loader *l, size_t rows, struct store_cursor cursor, int64_t next_waiting_us)
{
    (void)pthread_mutex_lock(&l->mutex);
    l->stats.commits++;
    l->stats.events += rows;
    l->stats.pos = cursor.pos;
    if (l->stats.stalled)
        log_info("loader: the store takes events again");
    l->stats.stalled = false;
    l->stats.error[0] = '\0';
    l->waiting_since_us = next_waiting_us;
    (void)pthread_mutex_unlock(&l->mutex);
}

static void note_waiting(struct loader *l, const struct part *part)
{
    (void)pthread_mutex_lock(&l->mutex);
    if (l->waiting_since_us == 0 && event_batch_count(part->batch) > 0)
        l->waiting_since_us = event_batch_rows(part->batch)[0].hub_ts;
    l->stats.parse_errors = maker_parse_errors(l->maker);
    l->stats.erased = maker_erased(l->maker);
    (void)pthread_mutex_unlock(&l->mutex);
}

/* The journal's end was reached and everything before it is stored. */
static void note_end(struct loader *l)
{
    int64_t waiting_us = exchange_oldest(&l->exchange);
    (void)pthread_mutex_lock(&l->mutex);
    l->waiting_since_us = waiting_us;
    (void)pthread_mutex_unlock(&l->mutex);
}

void loader_note_error(struct loader *l, int rc, const struct err *err)
{
    const char *text = err->detail[0] != '\0' ? err->detail : err_text(rc);
    (void)pthread_mutex_lock(&l->mutex);
    l->stats.store_errors++;
    (void)snprintf(l->stats.error, sizeof l->stats.error, "%s", text);
    (void)pthread_mutex_unlock(&l->mutex);
}

void loader_note_stall(struct loader *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    if (!l->stats.stalled)
        log_warning("loader: the store takes no events, trying again; receiving goes on [%s]",
                    l->stats.error);
    l->stats.stalled = true;
    (void)pthread_mutex_unlock(&l->mutex);
}

/* The make thread. */

void loader_rebuild(struct loader *l)
{
    struct store_cursor cursor;
    struct err err = {0};
    int64_t wait_us = LOADER_BACKOFF_MIN_US;
    do {
        int rc = store_cursor(l->options.store, &cursor, &err);
        if (rc == 0)
            rc = maker_rebuild(l->maker, cursor, l->scratch, &l->exchange.stopping, &err);
        if (rc == 0)
            return;
        loader_note_error(l, rc, &err);
        loader_note_stall(l);
        wait_us = wait_us * 2 < LOADER_BACKOFF_MAX_US ? wait_us * 2 : LOADER_BACKOFF_MAX_US;
    } while (exchange_pause(&l->exchange, wait_us));
}

/* Fills one part and passes it on; false when there was nothing. */
static bool make_part(struct loader *l, struct part *part)
{
    struct err err = {0};
    struct store_cursor before = maker_cursor(l->maker);
    int rc = maker_fill(l->maker, part->batch, l->part_rows, &part->after, &err);
    bool moved = store_cursor_compare(part->after, before) != 0;
    part->at_end = rc != 0;
    bool news =
        moved || (part->at_end && !l->told_end); /* the end alone is worth telling: it lets rows commit */
    l->told_end = part->at_end;
    if (news) {
        note_waiting(l, part);
        exchange_put_filled(&l->exchange, part);
    } else {
        exchange_put_empty(&l->exchange, part);
    }
    if (rc != 0 && rc != ERR_END) {
        log_error("loader: the journal can't be read, trying again [%s]", err_detail(&err));
        exchange_sleep(&l->exchange, retry_us);
    }
    return moved;
}

static void *make_events(void *arg)
{
    struct loader *l = arg;
    struct part *part;
    loader_rebuild(l);
    while ((part = exchange_take_empty(&l->exchange)) != NULL) {
        maker_refresh_rules(l->maker);
        if (!make_part(l, part))
            exchange_sleep(&l->exchange, idle_us);
    }
    exchange_end(&l->exchange);
    return NULL;
}

/* The store thread. */

/* The engine makes checkpoints by itself too. */
static void note_checkpoint(struct loader *l)
{
    if (store_checkpointed(l->options.store, &l->checkpointed, NULL) != 0)
        l->checkpointed = (struct store_cursor){{0, 0}, 0};
}

int loader_commit(struct loader *l, size_t rows, struct store_cursor cursor, int64_t next_waiting_us,
                  struct err *err)
{
    int rc = store_commit(l->options.store, cursor, err);
    if (rc == 0) {
        if (store_cursor(l->options.store, &l->stored, NULL) != 0) /* at the end of a gap it jumps */
            l->stored = cursor;
        note_checkpoint(l);
        note_commit(l, rows, l->stored, next_waiting_us);
    }
    return rc;
}

static int append_part(struct loader *l, struct part *part, struct err *err)
{
    struct pending *pending = &l->pending;
    size_t count = event_batch_count(part->batch);
    if (count == 0 && !pending->dirty && store_cursor_compare(part->after, l->stored) == 0) {
        note_end(l);
        return 0;
    }
    if (!pending->dirty)
        *pending = (struct pending){.dirty = true, .since_us = clock_monotonic_us()};
    pending->rows += count;
    pending->after = part->after;
    pending->at_end = part->at_end;
    if (count == 0)
        return 0;
    pending->last_hub_us = event_batch_rows(part->batch)[count - 1].hub_ts;
    return store_append(l->options.store, event_batch_rows(part->batch), count, err);
}

/* While there is backlog transactions are of full size; else an event waits no longer than the interval. */
static int64_t commit_deadline(const struct loader *l)
{
    if (!l->pending.dirty)
        return INT64_MAX;
    if (l->pending.rows + l->part_rows > l->options.batch_rows || atomic_load(&l->exchange.stopping))
        return 0;
    return l->pending.at_end ? l->pending.since_us + l->options.commit_interval_us : INT64_MAX;
}

static int commit_pending(struct loader *l, struct err *err)
{
    int64_t waiting_us = exchange_oldest(&l->exchange);
    if (waiting_us == 0 && !l->pending.at_end)
        waiting_us = l->pending.last_hub_us; /* there is more, and not much older */
    int rc = loader_commit(l, l->pending.rows, l->pending.after, waiting_us, err);
    if (rc == 0)
        l->pending = (struct pending){.rows = 0};
    return rc;
}

/* A checkpoint is due when a whole segment of the journal could go but for it. */
static int64_t checkpoint_deadline(const struct loader *l)
{
    bool due = !l->pending.dirty && l->stored.pos.segment > l->checkpointed.pos.segment;
    return due ? l->checkpoint_at_us : INT64_MAX;
}

/* Between transactions. */
static void checkpoint(struct loader *l)
{
    struct err err = {0};
    int64_t begun_us = clock_monotonic_us();
    int rc = store_checkpoint(l->options.store, &err);
    int64_t ended_us = clock_monotonic_us(), pause_us = CHECKPOINT_SHARE * (ended_us - begun_us);
    bool failed = rc != 0 && rc != ERR_BUSY;
    if (failed && !l->checkpoint_failed)
        log_warning("loader: the store makes no checkpoint, the journal keeps its segments [%s]",
                    err_detail(&err));
    l->checkpoint_failed = failed;
    if (rc != 0)
        pause_us = failed ? LOADER_BACKOFF_MAX_US : LOADER_BACKOFF_MIN_US;
    else if (pause_us < pause_min_us)
        pause_us = pause_min_us;
    l->checkpoint_at_us = ended_us + pause_us;
    note_checkpoint(l);
    loader_recover_lost(l, rc, &err);
}

/* Between transactions, for whoever waits; when what is pending can't be committed, later. */
static void rest(struct loader *l)
{
    struct err err = {0};
    (void)pthread_mutex_lock(&l->mutex);
    struct rest *wanted = l->rest;
    (void)pthread_mutex_unlock(&l->mutex);
    if (wanted == NULL || wanted->done)
        return;
    int rc = l->pending.dirty ? commit_pending(l, &err) : 0;
    if (rc != 0) {
        loader_recover(l, rc, &err);
        exchange_nudge(&l->exchange);
        return;
    }
    exchange_park(&l->exchange); /* what is made and not appended is made again */
    maker_reread_rules(l->maker);
    wanted->rc = maker_seek(l->maker, l->stored, wanted->err);
    if (wanted->rc == 0)
        wanted->rc = wanted->fn(wanted->arg, l->options.store, wanted->err);
    exchange_unpark(&l->exchange);
    note_checkpoint(l);
    rc = wanted->rc;
    err = rc != 0 && wanted->err != NULL ? *wanted->err : err;
    (void)pthread_mutex_lock(&l->mutex);
    wanted->done = true;
    (void)pthread_cond_broadcast(&l->rested);
    (void)pthread_mutex_unlock(&l->mutex);
    loader_recover_lost(l, rc, &err);
}

/* Nobody will be waited for any more. */
static void rest_no_more(struct loader *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    l->over = true;
    (void)pthread_cond_broadcast(&l->rested);
    (void)pthread_mutex_unlock(&l->mutex);
}

int loader_at_rest(struct loader *l, int (*fn)(void *arg, struct store *store, struct err *err), void *arg,
                   struct err *err)
{
    struct rest wanted = {.fn = fn, .arg = arg, .err = err};
    (void)pthread_mutex_lock(&l->mutex);
    while (l->rest != NULL && !l->over)
        (void)pthread_cond_wait(&l->rested, &l->mutex);
    if (!l->over) {
        l->rest = &wanted;
        exchange_nudge(&l->exchange);
    }
    while (!wanted.done && !l->over)
        (void)pthread_cond_wait(&l->rested, &l->mutex);
    if (l->rest == &wanted)
        l->rest = NULL;
    (void)pthread_cond_broadcast(&l->rested);
    (void)pthread_mutex_unlock(&l->mutex);
    return wanted.done ? wanted.rc : err_set(err, ERR_CANCELLED, "the loader stops");
}

static void *store_events(void *arg)
{
    struct loader *l = arg;
    loader_fill_gaps(l);
    for (bool ended = false; !ended;) {
        struct err err = {0};
        int rc = 0;
        int64_t commit_us = commit_deadline(l), checkpoint_us = checkpoint_deadline(l);
        struct part *part =
            exchange_take_filled(&l->exchange, commit_us < checkpoint_us ? commit_us : checkpoint_us, &ended);
        if (part != NULL) {
            rc = append_part(l, part, &err);
            exchange_put_empty(&l->exchange, part);
        }
        if (rc == 0 && l->pending.dirty && (ended || clock_monotonic_us() >= commit_deadline(l)))
            rc = commit_pending(l, &err);
        if (rc != 0)
            loader_recover(l, rc, &err);
        else if (!ended && clock_monotonic_us() >= checkpoint_deadline(l))
            checkpoint(l);
        if (!ended)
            rest(l);
    }
    rest_no_more(l);
    if (store_cursor_compare(l->stored, l->checkpointed) != 0)
        (void)!store_checkpoint(l->options.store, NULL); /* so that the last segments retire now */
    return NULL;
}

/* Lifetime. */

static void free_loader(struct loader **loader)
{
    struct loader *l = *loader;
    maker_destroy(&l->maker);
    event_batch_destroy(&l->scratch);
    exchange_fini(&l->exchange);
    (void)pthread_cond_destroy(&l->rested);
    (void)pthread_mutex_destroy(&l->mutex);
    free(l);
    *loader = NULL;
}

static int open_parts(struct loader *l, struct err *err)
{
    int rc = exchange_init(&l->exchange);
    if (rc == 0)
        rc = event_batch_create(&l->scratch, l->part_rows, PART_TEXT_BYTES);
    if (rc != 0)
        return err_set(err, rc, "loader: out of memory");
    rc = quarantine_open(&l->quarantine, l->options.quarantine_dir, err);
    if (rc == 0)
        rc = maker_create(&l->maker, l->options.journal, l->options.account_path, &l->quarantine, err);
    if (rc == 0)
        maker_publish_to(l->maker, l->options.publish, l->options.publish_arg);
    return rc;
}

static int start_threads(struct loader *l, struct err *err)
{
    int rc = pthread_create(&l->make_thread, NULL, make_events, l);
    if (rc != 0)
        return err_errno(err, rc, "the loader's thread can't be started");
    rc = pthread_create(&l->store_thread, NULL, store_events, l);
    if (rc == 0)
        return 0;
    exchange_stop(&l->exchange);
    (void)pthread_join(l->make_thread, NULL);
    return err_errno(err, rc, "the loader's thread can't be started");
}

int loader_settle(struct journal *journal, struct store *store, struct err *err)
{
    struct store_cursor cursor, until, back = {journal_opened_at(journal), 0};
    int rc = 0;
    while (rc == 0 && store_gap(store, &until) && store_cursor_compare(until, back) > 0)
        rc = store_commit(store, until, err); /* of another journal: nothing can fill it */
    if (rc == 0)
        rc = store_cursor(store, &cursor, err);
    if (rc != 0 || store_cursor_compare(cursor, back) <= 0)
        return rc;
    bool restored = cursor.pos.segment - back.pos.segment < ONE_JOURNAL_SEGMENTS;
    if (!restored)
        back.pos = (struct journal_pos){0, 0};
    log_warning("loader: the store has read beyond the journal's end: %s",
                restored ? "the journal was restored from an older copy, all that is new in it is read"
                         : "this is another journal, it is read from its beginning");
    return store_commit(store, back, err);
}

int loader_start(struct loader **out, const struct loader_options *options, struct err *err)
{
    struct store_cursor cursor;
    *out = NULL;
    struct loader *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, ERR_NO_MEMORY, "loader: out of memory");
    l->options = *options;
    if (l->options.batch_rows == 0)
        l->options.batch_rows = LOADER_BATCH_ROWS;
    l->part_rows = l->options.batch_rows < PART_ROWS ? l->options.batch_rows : PART_ROWS;
    l->backoff_us = LOADER_BACKOFF_MIN_US;
    (void)pthread_mutex_init(&l->mutex, NULL);
    (void)pthread_cond_init(&l->rested, NULL);
    int rc = open_parts(l, err);
    if (rc == 0)
        rc = store_cursor(options->store, &cursor, err);
    if (rc == 0) {
        l->stats.pos = cursor.pos;
        l->stored = cursor;
        note_checkpoint(l);
        rc = keeper_start(&l->keeper, options->journal, options->store, options->journal_keep_us, err);
    }
    if (rc == 0 && (rc = start_threads(l, err)) != 0)
        keeper_stop(&l->keeper);
    if (rc != 0)
        free_loader(&l);
    *out = l;
    return rc;
}

void loader_stop(struct loader **loader)
{
    struct loader *l = *loader;
    if (l == NULL)
        return;
    exchange_stop(&l->exchange);
    (void)pthread_join(l->make_thread, NULL);
    (void)pthread_join(l->store_thread, NULL);
    keeper_stop(&l->keeper);
    free_loader(loader);
}

void loader_wake(struct loader *loader)
{
    exchange_wake(&loader->exchange);
}

void loader_hold_journal(struct loader *loader, bool held)
{
    keeper_hold(loader->keeper, held);
}

void loader_get_stats(struct loader *loader, struct loader_stats *out)
{
    (void)pthread_mutex_lock(&loader->mutex);
    *out = loader->stats;
    int64_t since_us = loader->waiting_since_us;
    (void)pthread_mutex_unlock(&loader->mutex);
    int64_t lag_us = since_us != 0 ? clock_real_us() - since_us : 0;
    out->lag_us = lag_us > 0 ? lag_us : since_us != 0;
}
