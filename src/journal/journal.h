/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the durable queue, used twice: the edge's spool and the hub's commit log. A directory of
 * append-only segments; each record has a CRC32C (RFC 3720, B.4), a seq that counts from 1 within a random
 * 128-bit epoch, and a time stamp. Every open for writing begins a new epoch and a new segment; a segment
 * holds one epoch only.
 *
 * What survives what:
 *
 *   - kill -9 of the process: every record for which journal_append returned 0 (it is in the page cache).
 *   - Power cut, kernel crash: every record up to the last journal_sync that returned 0. Readers are shown
 *     only those, so nothing leaves this machine that a power cut could take back.
 *   - A torn or damaged tail: the valid prefix; what follows goes to DIR/quarantine/ and is counted.
 *   - A damaged record inside: the records before and after it; its bytes go to quarantine/ and are counted.
 *   - A full disk, or one without inodes: what was appended; journal_append answers ERR_FULL and nothing is
 *     half-written. Without inodes the present segment grows beyond segment_bytes rather than refuse.
 *   - fdatasync failing: the segment is never trusted beyond its last good sync. What was appended since is
 *     read back, checked and written to a new segment, under the same seqs; until that works, append and sync
 *     answer ERR_IO. What can't be read back is counted (journal_stats.dropped). With keep_unretired nothing
 *     is kept behind the first record that can't be read back: journal_take_lost tells which seqs are gone,
 *     so that their source can send them again in order, and they count as dropped nowhere.
 *   - Over max_bytes: the newest records. Whole oldest segments go, and the records in them that no reader
 *     had passed (journal_retire) are counted exactly, across restarts (journal_stats.dropped).
 *     With keep_unretired nothing unretired goes: journal_append answers ERR_FULL.
 *
 * Damage is looked for where it can be new: at open in segments that were not sealed, and whenever a segment
 * is read or compressed. Two processes never write one directory (flock on DIR/lock, ERR_BUSY).
 *
 * Threads: one writer thread calls open, append, sync, rotate, close. journal_maintain and journal_retire may
 * run on one other thread. Any number of reader threads, each with its own journal_reader. Statistics: any
 * thread.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/text.h"

enum {
    JOURNAL_EPOCH_BYTES = 16,
    JOURNAL_RECORD_BYTES = 16 * 1024 * 1024, /* the longest payload */
    JOURNAL_SEGMENTS = 8192,                 /* at most; beyond that as over max_bytes */
};

struct epoch {
    uint8_t b[JOURNAL_EPOCH_BYTES];
};

struct journal;
struct journal_reader;

struct journal_options {
    const char *dir;        /* made when missing, mode 0700; the string is copied */
    uint64_t max_bytes;     /* of all segments together, on disk */
    uint64_t segment_bytes; /* a segment is sealed at this size; 0: a sixteenth of max_bytes, 1 to 64 MiB;
                               never more than a quarter of max_bytes */
    bool keep_unretired;    /* over max_bytes: refuse the new (ERR_FULL) rather than drop the unread; what a
                               failed disk takes is told (journal_take_lost) */
    int compress_level; /* zstd level for sealed segments in journal_maintain; 0: leave them as they are */
};

/* A place between two records: the segment's number and the offset in its uncompressed bytes. Ordered. {0,0}
 * is before everything. Stays valid when its segment is compressed. */
struct journal_pos {
    uint64_t segment;
    uint64_t offset;
};

struct journal_record {
    struct epoch epoch;
    uint64_t seq;            /* from 1 within the epoch */
    int64_t ts_us;           /* as given to journal_append */
    uint16_t kind;           /* as given to journal_append; meaning is the caller's */
    struct slice payload;    /* valid until the next call on the reader */
    struct journal_pos pos;  /* of this record */
    struct journal_pos next; /* behind it: the cursor to store once it is dealt with */
};

struct journal_stats {
    uint64_t bytes; /* on disk */
    uint64_t segments;
    uint64_t appended;   /* records since open */
    uint64_t synced_seq; /* of the present epoch */
    uint64_t depth;      /* records not yet retired */
    uint64_t dropped; /* records dropped unretired (size bound, full disk, failed disk), ever (persistent) */
    uint64_t quarantined;       /* damaged stretches set aside, ever (persistent) */
    uint64_t quarantined_bytes; /* their bytes, ever */
    int64_t oldest_us;          /* ts of the oldest record not yet retired; 0 when there is none */
    uint64_t sync_count, sync_total_us, sync_max_us;
};

/* Opens for writing: recovers what is there (sets damage aside), begins a new epoch. ERR_BUSY, ERR_DENIED,
 * ERR_FULL, ERR_IO, ERR_VERSION (written by a newer release). */
MUST_CHECK int journal_open(struct journal **out, const struct journal_options *options, struct err *err);

/* Closes after a last sync; nulls *journal. Safe on NULL. */
void journal_close(struct journal **journal);

void journal_epoch(const struct journal *journal, struct epoch *out);
/* Behind all that was there at open, before all that is appended since. Segments of a directory without
 * history are numbered from the clock in µs, so that those of two journals lie far apart. */
struct journal_pos journal_opened_at(const struct journal *journal);

/* Appends one record; its seq is returned in *seq (may be NULL). One write(2). ERR_FULL, ERR_IO, ERR_LIMIT.
 */
MUST_CHECK int journal_append(struct journal *journal, uint16_t kind, int64_t ts_us, struct slice payload,
                              uint64_t *seq, struct err *err);

/* Makes everything appended durable (fdatasync) and visible to readers. ERR_IO, ERR_FULL. */
MUST_CHECK int journal_sync(struct journal *journal, struct err *err);

/* The same, and seals the segment being written when it holds a record: what is appended from now on goes to
 * another. ERR_IO, ERR_FULL. */
MUST_CHECK int journal_rotate(struct journal *journal, struct err *err);

/* With keep_unretired: the unsynced records that a failed disk took, *first to *last of the present epoch,
 * all that was appended from *first on. Told once; until then append and sync answer ERR_IO, so it is enough
 * to ask when one of them failed. False: none. Writer thread. */
bool journal_take_lost(struct journal *journal, uint64_t *first, uint64_t *last);

/* Everything before pos was dealt with by all who need it; whole segments before it may go. Records before
 * pos never count as dropped. Durable lazily: after a crash some may be read again. */
MUST_CHECK int journal_retire(struct journal *journal, struct journal_pos pos, struct err *err);
/* The last retired position, as recovered at open. */
struct journal_pos journal_retired(const struct journal *journal);

/* Background work in small steps (each may take as long as one segment takes to compress): compresses one
 * sealed segment, or removes a retired one whose newest record is older than keep_us, by its own time stamp
 * or by that of a segment behind it (so that a clock that was ahead keeps nothing for ever). *worked says
 * whether there was anything to do. */
MUST_CHECK int journal_maintain(struct journal *journal, int64_t now_us, int64_t keep_us, bool *worked,
                                struct err *err);

void journal_get_stats(const struct journal *journal, struct journal_stats *out);

/* Called on the writer thread after each journal_sync that returned 0 (to wake readers). May be NULL. */
void journal_on_sync(struct journal *journal, void (*synced)(void *arg), void *arg);

/* Closed before the journal. A reader from pos on; when that segment is gone, from the next one there is.
 * With journal == NULL it reads dir without lock or recovery, every valid record there is (tools, tests). */
MUST_CHECK int journal_reader_open(struct journal_reader **out, struct journal *journal, const char *dir,
                                   struct journal_pos pos, struct err *err);
void journal_reader_close(struct journal_reader **reader);

/* The next durable record in order. ERR_END: none at present (call again after a sync). Damage is skipped
 * (the open for writing has set it aside) and counted in the reader. ERR_IO. */
MUST_CHECK int journal_reader_next(struct journal_reader *reader, struct journal_record *out,
                                   struct err *err);
MUST_CHECK int journal_reader_seek(struct journal_reader *reader, struct journal_pos pos, struct err *err);
uint64_t journal_reader_skipped(const struct journal_reader *reader); /* damaged stretches met */
/* For a reader whose positions come from strangers: at a made-up one everything looks damaged, so what it
 * meets is passed, counted in the reader, and set aside by nobody. */
void journal_reader_distrust(struct journal_reader *reader);
/* The numbers of the oldest segment (0: none is there) and of the one that is made next: no position can lie
 * there yet. Segments go from the oldest on, so while one is there, so are all behind it. Any thread. */
void journal_span(struct journal *journal, uint64_t *oldest, uint64_t *next);
/* The epoch of the segment with that number; false: it isn't there. Any thread. */
bool journal_segment_epoch(struct journal *journal, uint64_t number, struct epoch *out);

static inline int journal_pos_compare(struct journal_pos a, struct journal_pos b)
{
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    return a.offset < b.offset ? -1 : a.offset > b.offset;
}

#endif
