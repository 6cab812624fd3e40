/* SPDX-License-Identifier: Apache-2.0
 *
 * loader_recover: how the loader gets over a failure of the store, and over what the store has lost. The
 * store thread parks the make thread and works alone, from the store's cursor on: a stretch at a time, in
 * ever smaller transactions while the engine refuses, until the row that it refuses is alone, which is kept
 * in quarantine and passed; while the store is dead, with longer and longer waits.
 */
#include "loader_impl.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { REFUSED_IN_A_ROW = 8 };

static void note_quarantined(struct loader *l, const char *reason)
{
    (void)pthread_mutex_lock(&l->mutex);
    uint64_t count = ++l->stats.quarantined;
    l->stats.parse_errors = maker_parse_errors(l->maker);
    if ((count & (count - 1)) == 0)
        log_warning("loader: the store refused %" PRIu64 " events, they are kept in %s [%s]", count,
                    l->quarantine.dir, reason);
    (void)pthread_mutex_unlock(&l->mutex);
}

/* One try at the stretch that begins at the stored cursor: at most `limit` rows in one transaction. Within a
 * gap of the store it ends where the gap does, also when the journal holds nothing of that any more. */
static int try_stretch(struct loader *l, struct store_cursor at, size_t limit, size_t *rows, struct err *err)
{
    struct store_cursor after = at, until;
    bool gap = store_gap(l->options.store, &until);
    maker_bound(l->maker, gap ? &until : NULL);
    *rows = 0;
    int rc = maker_seek(l->maker, at, err);
    while (rc == 0 && *rows < limit) {
        size_t room = limit - *rows < l->part_rows ? limit - *rows : l->part_rows;
        event_batch_clear(l->scratch);
        int filled = maker_fill(l->maker, l->scratch, room, &after, err);
        size_t count = event_batch_count(l->scratch);
        if (filled != 0 && filled != ERR_END)
            return filled;
        if (count > 0)
            rc = store_append(l->options.store, event_batch_rows(l->scratch), count, err);
        *rows += count;
        if (filled != ERR_END)
            continue;
        if (gap && store_cursor_compare(after, until) < 0)
            after = until;
        break;
    }
    rc = rc == 0 ? loader_commit(l, *rows, after, 0, err) : rc;
    if (rc == 0 && gap && store_cursor_compare(after, until) >= 0)
        loader_rebuild(l); /* the cursor has jumped */
    return rc;
}

/* Waits; longer each time until something succeeds. */
static bool back_off(struct loader *l)
{
    loader_note_stall(l);
    int64_t wait_us = l->backoff_us;
    l->backoff_us = wait_us * 2 < LOADER_BACKOFF_MAX_US ? wait_us * 2 : LOADER_BACKOFF_MAX_US;
    return exchange_pause(&l->exchange, wait_us);
}

/* The one row at the cursor was refused: is it the row's fault? Then it is kept and passed. */
static int pass_refused(struct loader *l, struct store_cursor at, struct err *err)
{
    char reason[ERR_DETAIL_BYTES];
    struct store_cursor after;
    (void)snprintf(reason, sizeof reason, "%s", err_detail(err));
    int rc = store_commit(l->options.store, at, err); /* nothing: is the store alive? */
    if (rc != 0)
        return rc;
    if (l->refused_in_a_row >= REFUSED_IN_A_ROW && !back_off(l))
        return ERR_CANCELLED;
    event_batch_clear(l->scratch);
    rc = maker_seek(l->maker, at, err);
    if (rc == 0)
        rc = maker_fill(l->maker, l->scratch, 1, &after, err);
    if (rc != 0)
        return rc;
    maker_quarantine_last(l->maker, reason);
    rc = loader_commit(l, 0, after, 0, err);
    if (rc == 0) {
        l->refused_in_a_row++;
        note_quarantined(l, reason);
    }
    return rc;
}

/* One round of the recovery: a stretch stored, a smaller one to be tried next, a row passed, or a wait. */
static void recover_round(struct loader *l, struct store_cursor at, size_t *limit)
{
    struct err err = {0};
    size_t rows = 0, full = l->options.batch_rows;
    int rc = try_stretch(l, at, *limit, &rows, &err);
    if (rc == 0) {
        l->backoff_us = LOADER_BACKOFF_MIN_US;
        l->refused_in_a_row = 0;
        return;
    }
    loader_note_error(l, rc, &err);
    (void)!store_rollback(l->options.store, NULL);
    if (rc == ERR_ENGINE && rows > 1) {
        *limit = rows / 2;
        return;
    }
    if (rc == ERR_ENGINE && rows == 1) {
        rc = pass_refused(l, at, &err);
        *limit = full; /* refused: what follows may be good; dead: all of it must be tried again */
        if (rc == 0 || rc == ERR_CANCELLED)
            return;
        loader_note_error(l, rc, &err);
        (void)!store_rollback(l->options.store, NULL);
    }
    (void)back_off(l);
}

/* Works through all gaps, and through everything else up to `end`, with the maker parked. */
static void work_through(struct loader *l, size_t limit, struct store_cursor end)
{
    struct store_cursor at = {{0, 0}, 0}, until;
    while (!atomic_load(&l->exchange.stopping)) {
        struct err err = {0};
        int rc = store_cursor(l->options.store, &at, &err);
        if (rc == 0 && !store_gap(l->options.store, &until) && store_cursor_compare(at, end) >= 0)
            break;
        if (rc == 0) {
            recover_round(l, at, &limit);
        } else {
            loader_note_error(l, rc, &err);
            (void)back_off(l);
        }
    }
    maker_bound(l->maker, NULL);
    if (!atomic_load(&l->exchange.stopping))
        (void)!maker_seek(l->maker, at, NULL); /* it only notes the place */
    l->pending = (struct pending){.rows = 0};
}

void loader_recover(struct loader *l, int rc, const struct err *err)
{
    size_t limit = rc == ERR_ENGINE && l->pending.rows > 1 ? l->pending.rows / 2 : l->options.batch_rows;
    loader_note_error(l, rc, err);
    (void)!store_rollback(l->options.store, NULL);
    exchange_park(&l->exchange);
    l->backoff_us = LOADER_BACKOFF_MIN_US;
    l->refused_in_a_row = 0;
    if (rc != ERR_ENGINE)
        (void)back_off(l);
    work_through(l, limit, l->pending.after);
    exchange_unpark(&l->exchange);
}

void loader_fill_gaps(struct loader *l)
{
    struct store_cursor until;
    struct err err = {0};
    if (!store_gap(l->options.store, &until))
        return;
    log_info("loader: the store has lost a part; what the journal still holds of it is read again first");
    exchange_park(&l->exchange);
    work_through(l, l->options.batch_rows, (struct store_cursor){{0, 0}, 0});
    if (!atomic_load(&l->exchange.stopping) && loader_settle(l->options.journal, l->options.store, &err) != 0)
        log_warning("loader: the store's cursor can't be set [%s]", err_detail(&err));
    loader_rebuild(l); /* settling may have moved it */
    exchange_unpark(&l->exchange);
}

void loader_recover_lost(struct loader *l, int rc, const struct err *err)
{
    struct store_cursor at;
    if (rc == 0 ||
        (store_cursor(l->options.store, &at, NULL) == 0 && store_cursor_compare(at, l->stored) == 0))
        return;
    l->pending.after = l->stored;
    loader_recover(l, rc, err);
}
