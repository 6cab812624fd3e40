/* SPDX-License-Identifier: Apache-2.0
 *
 * spool: a journal behind a ring in shared memory, so that keeping a record can never wait for a disk.
 * spool_append copies the record into the ring (a file on a tmpfs, mapped; no system call, no lock, no
 * allocation) and returns; a thread of the spool's own carries the ring into the journal, a stretch at a time
 * with one write, and runs the group fdatasync. The ring outlives the process: after kill -9 the next open
 * finds in it what the thread had not written and puts it into the journal under its own epoch and seq,
 * exactly once.
 *
 * What survives what, beyond journal.h:
 *
 *   - kill -9 of the process: every record for which spool_append returned 0.
 *   - Power cut: all but the last sync_interval_us plus what the disk was late (interval), or every record up
 *     to spool_synced_seq (always). The ring is lost then.
 *   - A disk that hangs: ring_bytes worth of records wait (unwritten); then spool_append answers ERR_FULL and
 *     the record is counted in lost_ring_full. It uses up a seq, so that whoever reads sees the gap.
 *   - A full disk, or one without inodes: first the oldest segments go (journal.h: dropped), then as with a
 * disk that hangs.
 *
 * When ring_dir is no tmpfs, a hung disk may reach the ring's pages: spool_open warns.
 *
 * The ring's name is made of the spool directory's device, inode and time of birth, so that a copied
 * directory, and one made anew in the place of another, get a ring of its own (ringdir.h); it is removed when
 * spool_close left it empty. A ring whose owner lives is locked.
 */
#ifndef JOURNAL_SPOOL_H
#define JOURNAL_SPOOL_H

#include "standin.h"

struct spool;

enum { SPOOL_RING_DIRS = 3 };
enum spool_sync { SPOOL_SYNC_INTERVAL, SPOOL_SYNC_ALWAYS };

struct spool_options {
    struct journal_options journal;
    const char *ring_dir; /* a tmpfs where the ring is made; NULL or "": the first of ring_dirs that serves */
    /* Where rings may lie, in order of preference, NULL behind the last; what an earlier run left in a ring
     * there is found, whatever ring_dir says now. */
    const char *ring_dirs[SPOOL_RING_DIRS + 1];
    size_t ring_bytes; /* power of two, 256 KiB to 256 MiB */
    enum spool_sync sync;
    int64_t sync_interval_us; /* interval mode: the longest time between a write and its fdatasync */
};

struct spool_stats {
    struct journal_stats journal;
    uint64_t accepted;       /* records for which spool_append returned 0, since open */
    uint64_t unwritten;      /* of those, still in the ring only (answered_unwritten) */
    uint64_t lost_ring_full; /* refused with ERR_FULL since open */
    uint64_t recovered;      /* records found in the ring at open */
    uint64_t write_errors;   /* failed writes (each is tried again) */
    int64_t stalled_us; /* how long the thread has been inside one write or fdatasync; 0 when it is not */
};

/* Recovers ring and journal, starts the thread. May wait for the disk. Errors as journal_open. */
MUST_CHECK int spool_open(struct spool **out, const struct spool_options *options, struct err *err);

/* All readers are closed before. Empties the ring into the journal and syncs, waiting at most timeout_us;
 * what could not be written by then stays in the ring for the next open (ERR_TIMEOUT, and the memory is left
 * to the process's end). Nulls *spool. */
MUST_CHECK int spool_close(struct spool **spool, int64_t timeout_us, struct err *err);

/* Keeps one record; its seq in *seq (may be NULL). One producer thread. Never blocks. ERR_FULL; ERR_LIMIT:
 * longer than the ring or JOURNAL_RECORD_BYTES. */
MUST_CHECK int spool_append(struct spool *spool, uint16_t kind, int64_t ts_us, struct slice payload,
                            uint64_t *seq);

/* The highest seq of the present epoch that a power cut can't take back. Any thread, one atomic load. */
uint64_t spool_synced_seq(const struct spool *spool);

/* Called on the spool's thread after each successful sync; must not block (uv_async_send, eventfd). Any
 * number up to 4 listeners; register before the first append. */
MUST_CHECK int spool_on_sync(struct spool *spool, void (*synced)(void *arg), void *arg);

/* Seals the segment being written once all that was accepted by now stands in it, so that it can go when that
 * is retired, and not only when it is full. Any thread, returns at once. */
void spool_seal(struct spool *spool);
/* What was accepted before the last spool_seal stands in segments before this number; 0: that is still to be
 * done. Any thread. */
uint64_t spool_sealed_before(const struct spool *spool);

/* Records come so fast that work which can wait should. Any thread. */
bool spool_loaded(const struct spool *spool);

/* The journal inside, for readers, retire and maintain (journal.h names the threads). Never append or sync
 * it. */
struct journal *spool_journal(struct spool *spool);

/* What the uplink must know of the names of epochs, from one uplink on this spool to the next. Its thread. */
struct spool_shipped {
    uint64_t sent;            /* the highest seq of the present epoch's name that went out */
    bool renaming;            /* what is sent next of the present epoch begins a new name: */
    struct epoch fresh;       /* random; the first such record adds it to standins */
    struct standins standins; /* as they are on the disk */
};
struct spool_shipped *spool_shipped(struct spool *spool);
/* The first record under the fresh name is `seq`: stores the name, durably. Errors as standins_add. */
MUST_CHECK int spool_rename(struct spool *spool, uint64_t seq, struct err *err);

void spool_get_stats(const struct spool *spool, struct spool_stats *out); /* any thread */

#endif
