/* SPDX-License-Identifier: Apache-2.0
 *
 * loader: reads the hub's journal in order, makes events of it (parse, classify, consolidate) and stores
 * them, a batch at a time in one transaction with its cursor. A dead store stops the loader, never the
 * receiving: it tries again with back-off. A record that the store can't take is found by bisection, kept in
 * DIR/quarantine, counted, and passed. Two threads, so that making events and storing them overlap. Rules are
 * fetched again when account_generation rises.
 */
#ifndef HUB_LOADER_H
#define HUB_LOADER_H

#include "account/account.h"
#include "journal/journal.h"
#include "store/store.h"

struct loader;

struct loader_options {
    struct journal *journal; /* borrowed, read through a reader of its own */
    struct store *store;     /* borrowed; this is its only writer */
    const char *account_path;
    const char *quarantine_dir;
    int64_t commit_interval_us; /* the longest an event waits for its commit, when the store keeps up */
    size_t batch_rows;          /* a commit at this many rows at the latest */
    int64_t journal_keep_us;    /* it retires what is durably stored (journal_retire) and keeps the journal in
                                   order between commits (journal_maintain with this) */
};

struct loader_stats {
    uint64_t events, commits, store_errors, quarantined, parse_errors;
    struct journal_pos pos; /* durable in the store */
    int64_t lag_us;         /* age of the oldest record in the journal that is not in the store; 0: none */
    bool stalled;           /* the store refuses; error says why */
    char error[256];
};

MUST_CHECK int loader_start(struct loader **out, const struct loader_options *options, struct err *err);
void loader_stop(struct loader **loader); /* commits what it has */
void loader_wake(struct loader *loader);  /* from journal_on_sync; any thread, never blocks */
void loader_get_stats(struct loader *loader, struct loader_stats *out);

#endif
