/* SPDX-License-Identifier: Apache-2.0
 *
 * inside: the journal's state and what its files call of each other. For this room only.
 *
 * Three locks. state guards what statistics and readers look at and is never held over I/O, so that asking
 * can't hang with a disk. files is held while names change or the cursor is stored; it is taken before state.
 * rewriting is held while one sealed segment is written anew (compressed, scrubbed); it is taken before both,
 * and never by the writer.
 */
#ifndef JOURNAL_INSIDE_H
#define JOURNAL_INSIDE_H

#include "cursor.h"
#include "source.h"

#include <pthread.h>
#include <sys/uio.h>

struct segment {
    uint64_t number;
    struct epoch epoch;
    struct segment_summary summary; /* of all that was written */
    uint64_t synced;                /* readers are shown what stands before this offset */
    uint64_t file_bytes;            /* on disk, with a footer even before there is one */
    bool sealed, packed, unpackable;
};

struct journal {
    /* fixed after open */
    char *dir;
    int dir_fd, lock_fd, cursor_fd;
    uint64_t max_bytes, segment_bytes;
    int compress_level;
    bool keep_unretired;
    struct epoch epoch;
    uint64_t opened_at; /* the lowest number that a segment made since open may have */
    void (*on_sync)(void *arg);
    void *on_sync_arg;

    pthread_mutex_t rewriting;

    pthread_mutex_t files;
    uint64_t cursor_generation;
    int64_t warned_us; /* last warning about a drop */

    pthread_mutex_t state;
    struct segment *segments; /* ascending; the last may be unsealed: the one being written */
    size_t n, capacity;
    uint64_t bytes; /* of all segments */
    struct cursor cursor;
    uint64_t retired_before; /* records of cursor.retired.segment before its offset */
    int64_t retired_ts;      /* of the record at cursor.retired, when there is one */
    uint64_t appended, synced_seq;
    uint64_t sync_count, sync_total_us, sync_max_us;

    /* writer thread */
    int fd;           /* of the segment being written; -1: none */
    bool listed;      /* it has its header and a record, and is the last of segments */
    bool name_synced; /* its directory entry is durable */
    bool suspect;     /* an fdatasync failed: what it holds beyond synced must be written again */
    uint64_t lost_first,
        lost_last;         /* what that could not bring back and the owner was not told; 0: nothing */
    struct segment active; /* copy of what is in the list */
    struct segment_summary synced_summary; /* its summary at the last good sync */
    int spare_fd;                          /* an empty file for the next segment; -1: none */
    uint64_t spare_number;
    uint64_t allocated; /* blocks of the segment being written that are on disk ahead; UINT64_MAX: none to be
                           had */
    uint64_t begun;     /* bytes of it that the disk was asked to begin writing, or that are synced */
    _Atomic uint64_t next_number; /* read by the thread that retires */
    uint64_t next_seq;

    /* the thread that retires */
    struct source walk;
    uint64_t walk_number;
};

/* active.c: the segment being written. Writer thread. */

/* Appends n parts, bytes long together: whole records of one epoch, summed up in *what (end is ignored). */
MUST_CHECK int active_append(struct journal *journal, const struct epoch *epoch, const struct iovec *parts,
                             int n, uint64_t bytes, const struct segment_summary *what, struct err *err);
MUST_CHECK int active_sync(struct journal *journal, struct err *err);
/* Seals it when it holds a record; what is appended next goes to another. */
MUST_CHECK int active_rotate(struct journal *journal, struct err *err);
/* A full disk: drops the oldest segment; when it is the only one, the one being written. ERR_FULL: nothing
 * left. */
MUST_CHECK int active_free_space(struct journal *journal, struct err *err);
/* Seals and forgets it, as far as the disk allows. */
void active_close(struct journal *journal);

/* retire.c */

/* Drops the oldest sealed segment and counts. ERR_FULL: there is none that may go. Writer thread. */
MUST_CHECK int journal_drop_oldest(struct journal *journal, struct err *err);
/* Stores cursor as it is now. Takes both locks; files_held: the caller has files. */
MUST_CHECK int journal_store_cursor(struct journal *journal, bool durable, bool files_held, struct err *err);

/* quarantine.c: copies bytes of segment number at file_at in fd to DIR/quarantine/ and counts them, once for
 * each place. *name of a whole file moves it there. Any thread; must not hold a lock. */
void quarantine_stretch(struct journal *journal, int fd, uint64_t number, uint64_t file_at, uint64_t bytes);
void quarantine_file(struct journal *journal, const char *name, uint64_t bytes);

/* recover.c: fills segments from the directory. */
MUST_CHECK int journal_recover(struct journal *journal, struct err *err);
/* The names in dir_fd: calls each(number, suffix) for what looks like a segment's file. */
MUST_CHECK int segment_names(int dir_fd, int (*each)(void *arg, uint64_t number, const char *suffix),
                             void *arg, struct err *err);

/* journal.c: the list, all with state held. */
struct segment *segment_find(struct journal *journal, uint64_t number);  /* NULL: not there */
struct segment *segment_after(struct journal *journal, uint64_t number); /* the next with a higher number */
MUST_CHECK int segment_reserve(struct journal *journal);                 /* room for one more */
void segment_remove(struct journal *journal, struct segment *segment);
uint64_t segment_unretired(const struct journal *journal, const struct segment *segment);

/* For the spool, on the writer thread. */

/* Appends ready-made records (see active_append), of this or an earlier epoch. */
MUST_CHECK int journal_append_stretch(struct journal *journal, const struct epoch *epoch,
                                      const struct iovec *parts, int n, uint64_t bytes,
                                      const struct segment_summary *what, struct err *err);
uint64_t journal_synced_seq(struct journal *journal); /* of the present epoch */
uint64_t journal_behind_all(struct journal *journal); /* one more than the newest segment's number */
/* The highest seq of an epoch that stands in the journal; 0: none. */
uint64_t journal_last_seq(struct journal *journal, const struct epoch *epoch);

static inline bool epoch_equal(const struct epoch *a, const struct epoch *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

#endif
