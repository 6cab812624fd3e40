/* SPDX-License-Identifier: Apache-2.0
 *
 * loader: reads the hub's journal in order, makes events of it (maker.h) and stores them, a transaction at a
 * time together with its cursor. Two threads, so that making events and storing them overlap; a few batches
 * pass to and fro between them, so memory is bounded.
 *
 * A dead store stops the loader, never the receiving: it tries again with back-off (0.1 to 5 s) and says so
 * in its statistics. Rows that the store refuses (ERR_ENGINE) are found by halving, kept in quarantine_dir as
 * they came, counted, and passed; not before the store has shown, by committing nothing, that it is alive;
 * and when eight in a row were refused each further one waits for the back-off first. A record that can't be
 * read is counted as parse_errors, kept likewise, and passed. Rules are fetched again when account_generation
 * rises. The journal retires behind the store's checkpoint (keeper.h), not behind its cursor: what a damaged
 * log of the store takes back is read again. What the store has lost in the middle (store_gap) is read again
 * before anything new, as far as the journal reaches.
 */
#ifndef HUB_LOADER_H
#define HUB_LOADER_H

#include "account/account.h"
#include "journal/journal.h"
#include "store/store.h"

/* Two row groups of DuckDB. It compresses and writes them before the COMMIT when there is more than one; one
 * alone stays in memory, and is written whole to the WAL, for as long as questions keep checkpoints away. */
enum { LOADER_BATCH_ROWS = 2 * 122880 };

struct loader;

/* Strings are needed during loader_start only. */
struct loader_options {
    struct journal *journal; /* borrowed, read through a reader of its own */
    struct store *store;     /* borrowed; this is its only writer */
    const char *account_path;
    const char *quarantine_dir;
    int64_t commit_interval_us; /* the longest an event waits for its commit, when the store keeps up */
    size_t batch_rows;          /* a commit at this many rows at the latest; 0: LOADER_BATCH_ROWS */
    int64_t journal_keep_us;    /* checkpointed segments stay for so long (journal_maintain) */
    /* Hears each event once, before it is stored, on one of the loader's threads; must not block. May be
     * NULL. */
    void (*publish)(void *arg, const struct event *rows, size_t count);
    void *publish_arg;
};

struct loader_stats {
    uint64_t events, commits, store_errors, quarantined, parse_errors, erased; /* since start */
    struct journal_pos pos;                                                    /* durable in the store */
    int64_t lag_us; /* age of the oldest record in the journal that is not in the store; 0: none */
    bool stalled;   /* the store refuses; error says why */
    char error[ERR_DETAIL_BYTES];
};

/* Once a process, after journal_open and before the first loader_start. A store whose cursor lies behind
 * journal_opened_at has read another journal, or this one before it was wiped or restored from an older copy:
 * what is appended now would pass for stored. Its cursor is set back, with one warning: of a restored journal
 * all that was there at open is stored and what follows is read; another journal is read from its beginning.
 * Errors of store_cursor and store_commit. */
MUST_CHECK int loader_settle(struct journal *journal, struct store *store, struct err *err);

/* Opens what it needs (errors of account_open, the quarantine's directory, ERR_NO_MEMORY) and starts both
 * threads; the state of consolidate is rebuilt on one of them before the first event. */
MUST_CHECK int loader_start(struct loader **out, const struct loader_options *options, struct err *err);
void loader_stop(struct loader **loader); /* stores what it has made, when the store takes it at once */
void loader_wake(struct loader *loader);  /* from journal_on_sync; any thread, never blocks for long */
/* Calls fn on the thread that writes the store, between transactions: everything that was made by then is
 * stored, and whatever is made later is made by the rules and tombstones of now. Waits for it; one call at a
 * time. Any thread but the loader's. What fn answers, or ERR_CANCELLED: the loader stops. */
MUST_CHECK int loader_at_rest(struct loader *loader,
                              int (*fn)(void *arg, struct store *store, struct err *err), void *arg,
                              struct err *err);
/* While it is held, nothing of the journal is retired. Any thread. */
void loader_hold_journal(struct loader *loader, bool held);
void loader_get_stats(struct loader *loader, struct loader_stats *out);

#endif
