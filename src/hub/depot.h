/* SPDX-License-Identifier: Apache-2.0
 *
 * depot: a loader between a real journal, real control data and a real store (null or DuckDB) behind an
 * engine that fails when it is told to. A step that fails ends the test. For *_test.c only.
 */
#ifndef HUB_DEPOT_H
#define HUB_DEPOT_H

#include "hub/faulty.h"
#include "hub/loader.h"
#include "wire/batch.h"

struct depot {
    char *dir;
    char path[4][512]; /* journal, store, account, quarantine */
    struct journal *journal;
    struct store *store;
    struct account *account;
    struct loader *loader;
    struct batch_writer *writer;
    uint32_t tenant;
    uint64_t seq; /* of the next event */
    size_t batch_rows;
    int64_t keep_us;
    bool settled; /* for the journal as it is open now */
};

enum { DEPOT_JOURNAL, DEPOT_STORE, DEPOT_ACCOUNT, DEPOT_QUARANTINE };

void depot_open(struct depot *d, const char *engine);
/* In dir; not fresh: with what another process has left there. depot_close removes it. */
void depot_open_in(struct depot *d, const char *engine, char *dir, bool fresh);
void depot_close(struct depot *d);

/* The loader; before it, the journal and the store are settled once for each opening of the journal. */
void depot_start(struct depot *d);
/* As it was left; journal_close before. */
void depot_open_journal(struct depot *d);

/* The next event of a fixed traffic, messages of two recipients (one in ten asked for twice) and their end,
 * to the batch. */
void depot_add(struct depot *d, const char *helo);
void depot_send_batch(struct depot *d); /* to the journal, as the hub writes it */
/* One record of the journal, whatever it is. */
void depot_put(struct depot *d, uint16_t kind, struct slice bytes);
void depot_sync(struct depot *d);
/* count events in batches, synced; each poison_every-th has the helo_name "poison" (0: none). */
void depot_send(struct depot *d, size_t count, size_t batch, uint64_t poison_every);

struct loader_stats depot_stats(struct depot *d);
size_t depot_quarantined(struct depot *d); /* files in quarantine */
/* Until so many events are stored or in quarantine, and nothing is left. */
void depot_wait(struct depot *d, uint64_t stored, uint64_t quarantined);
void depot_wait_stalled(struct depot *d, const char *why);
/* Everything that was sent, in order, once, but for each poison_every-th; with the meaning it must have. */
void depot_check_rows(struct depot *d, uint64_t poison_every);

#endif
