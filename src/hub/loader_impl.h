/* SPDX-License-Identifier: Apache-2.0
 *
 * loader_impl: what the files of the loader share. Not for others.
 */
#ifndef HUB_LOADER_IMPL_H
#define HUB_LOADER_IMPL_H

#include "hub/exchange.h"
#include "hub/keeper.h"
#include "hub/loader.h"
#include "hub/maker.h"

#include "base/clock.h"

enum { LOADER_BACKOFF_MIN_US = US_PER_SECOND / 10, LOADER_BACKOFF_MAX_US = 5 * US_PER_SECOND };

/* What was appended since the last commit. */
struct pending {
    bool dirty; /* there is something to commit, rows or only a cursor */
    bool at_end;
    size_t rows;
    int64_t since_us;    /* monotonic */
    int64_t last_hub_us; /* hub_ts of its last row */
    struct store_cursor after;
};

/* What somebody wants to be done between transactions. */
struct rest {
    int (*fn)(void *arg, struct store *store, struct err *err);
    void *arg;
    struct err *err;
    int rc;
    bool done;
};

struct loader {
    struct loader_options options;
    size_t part_rows;
    struct exchange exchange;
    struct quarantine quarantine;
    struct maker *maker;
    struct event_batch *scratch; /* of the thread that owns the maker while it rebuilds or recovers */
    pthread_t make_thread, store_thread;
    bool told_end;          /* make thread: the last part said that the journal had no more */
    struct pending pending; /* store thread */
    int64_t backoff_us;     /* store thread */
    unsigned refused_in_a_row;
    struct store_cursor stored; /* store thread: of the last commit */
    struct store_cursor checkpointed;
    int64_t checkpoint_at_us; /* monotonic; the next one not before */
    bool checkpoint_failed;
    struct keeper *keeper;

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t rested; /* one was done, or there will be none any more */
    struct rest *rest;     /* NULL: nothing is wanted */
    bool over;             /* the store thread has ended, or never began */
    struct loader_stats stats;
    int64_t waiting_since_us; /* hub_ts of the oldest row made and not stored; 0: none */
};

/* loader.c */

/* A failure of the store, for the statistics; stall: it takes nothing for now. Both threads. */
void loader_note_error(struct loader *l, int rc, const struct err *err);
void loader_note_stall(struct loader *l);
/* The state of consolidate, as of the store's cursor. The thread that owns the maker; tries until it works or
 * the loader stops. */
void loader_rebuild(struct loader *l);
/* What was appended, with the cursor behind it; next_waiting_us: hub_ts of the oldest row that is made and
 * waits on. Store thread. Errors of store_commit. */
MUST_CHECK int loader_commit(struct loader *l, size_t rows, struct store_cursor cursor,
                             int64_t next_waiting_us, struct err *err);

/* loader_recover.c. Store thread; each returns when it is done, or the loader stops. */

/* A transaction failed with rc: works through everything up to where it would have ended. */
void loader_recover(struct loader *l, int rc, const struct err *err);
/* The same when the engine failed between transactions and its cursor tells that it has lost commits. */
void loader_recover_lost(struct loader *l, int rc, const struct err *err);
/* What the store has lost in the middle comes first: the journal holds it no longer than it must. */
void loader_fill_gaps(struct loader *l);

#endif
