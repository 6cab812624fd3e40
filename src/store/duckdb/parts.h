/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: the set of files that make up the store: found and attached at open (damage is set aside, the WAL
 * first, then the file; older generations and unfinished files are removed), added to by the writer, replaced
 * by rewriting, lent to questions as snapshots. A file that was replaced is detached and unlinked with its
 * last reader.
 *
 * Two locks: `change` is held while files are attached, detached or renamed, `mutex` for moments only, for
 * the list and what is in struct part. Whoever needs both takes change first. Any thread, unless it says so.
 */
#ifndef STORE_DUCKDB_PARTS_H
#define STORE_DUCKDB_PARTS_H

#include "store/duckdb/instance.h"
#include "store/duckdb/part.h"

#include <stdatomic.h>

enum { PARTS_MAX = 512 }; /* each holds a descriptor and its metadata */

struct parts {
    struct instance *instance; /* borrowed; opened and shut with the files */
    int lock;                  /* descriptor of DIR/lock: one process owns the directory */
    bool opened;               /* once; what is unfinished is this process's from then on */
    bool rows_lost;            /* something of a part was set aside: it is to be read again */
    bool rollups_doubtful;     /* their WAL was set aside: what changed since their checkpoint is unknown */
    atomic_uint shut;          /* how often */
    duckdb_connection connection; /* of change */
    pthread_mutex_t change, mutex;
    struct part *list[PARTS_MAX]; /* by id; under mutex */
    size_t count;
};

/* Makes and locks the directory. ERR_BUSY (another process), ERR_DENIED, ERR_IO. */
MUST_CHECK int parts_init(struct parts *parts, struct instance *instance, struct err *err);
void parts_fini(struct parts *parts);

/* Opens the instance and attaches all files. A file of the release before is taken over. ERR_BUSY,
 * ERR_DENIED, ERR_FULL, ERR_VERSION, ERR_LIMIT (too many), ERR_EXISTS, ERR_IO, ERR_ENGINE. */
MUST_CHECK int parts_open(struct parts *parts, struct err *err);
/* Nobody reads or writes. With checkpoint the WALs are emptied first, where that works. */
void parts_shut(struct parts *parts, bool checkpoint);

/* Counts how often the files were shut: what was begun before another number is gone. */
unsigned parts_shuts(struct parts *parts);

/* Where what is read from the journal goes now. */
struct place {
    struct part *part; /* NULL: to be made (parts_make) */
    uint64_t id;       /* of the part, to be made or not */
    struct store_cursor begin;
    bool is_gap;
    struct store_cursor until; /* of a gap */
};
void parts_place(struct parts *parts, struct place *out);
/* Makes the part of a place, beginning at place->begin, with the month of hub_ts. Writer's thread. ERR_LIMIT
 * (too many), or as part_attach. */
MUST_CHECK int parts_make(struct parts *parts, struct place *place, int64_t hub_ts, bool *fatal,
                          struct err *err);

/* What the writer committed. */
void parts_publish(struct parts *parts, struct part *part, const struct store_part *info);
/* Tries to make a checkpoint of all that are not in their files, or of those that are closed. ERR_BUSY:
 * questions run on one. Writer's thread. */
MUST_CHECK int parts_checkpoint(struct parts *parts, bool closed_only, duckdb_connection connection,
                                bool *fatal, struct err *err);
/* What stands before it in the journal is in the files, where it was not lost. */
void parts_checkpointed(struct parts *parts, struct store_cursor *out);

void parts_sums(struct parts *parts, uint64_t *rows, uint64_t *bytes);
/* Copies of all, malloc'd. ERR_NO_MEMORY. */
MUST_CHECK int parts_copy(struct parts *parts, struct store_part **out, size_t *count, struct err *err);

/* The parts that may have rows with ts in [from, to). Released before the instance is shut. ERR_NO_MEMORY. */
struct snapshot {
    const char **names; /* that they are attached under */
    size_t count;
    struct part **parts;
};
MUST_CHECK int parts_snapshot(struct parts *parts, int64_t from, int64_t to, struct snapshot *out,
                              struct err *err);
void parts_release(struct parts *parts, struct snapshot *snapshot);

/* A part that may be rewritten, and what will replace it (name, path, generation). */
struct original {
    struct store_part info;
    char path[PATH_MAX];
    char before[PATH_MAX]; /* of the part in front of it; "": there is none */
};
/* ERR_NOT_FOUND, ERR_CONFLICT (open), ERR_BUSY (something is in a WAL only), ERR_LIMIT, ERR_IO. */
MUST_CHECK int parts_original(struct parts *parts, uint64_t id, struct original *out, struct part *next,
                              struct err *err);
/* The complete file at temporary becomes next, and takes the place of the part that info tells of; from here
 * on snapshots have the new one. The old file goes with its last reader. ERR_CONFLICT (it isn't there any
 * more), ERR_BUSY (the files are being opened again), ERR_IO, ERR_FULL, or as part_attach; then nothing has
 * changed, or the file takes its place at the next start. */
MUST_CHECK int parts_replace(struct parts *parts, const struct store_part *info, const struct part *next,
                             const char *temporary, struct err *err);

#endif
