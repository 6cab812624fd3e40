/* SPDX-License-Identifier: Apache-2.0
 *
 * part: one file of the store, DIR/events-<year>-<month>.<id>.g<generation>.duckdb, and how it comes to be:
 * under a name with ".tmp" behind it, complete and on the disk before it gets its own. The name's month is
 * that of the first row (of the making, when there was none yet).
 */
#ifndef STORE_DUCKDB_PART_H
#define STORE_DUCKDB_PART_H

#include "store/store.h"

#include <duckdb.h>
#include <limits.h>

enum { PART_NAME_BYTES = 48 };

/* Who may touch what: parts.h. */
struct part {
    struct store_part info;
    struct store_cursor checkpointed; /* what stands before it is in the file, and not only in its WAL */
    char path[PATH_MAX];
    char name[PART_NAME_BYTES]; /* it is attached under: p<id>g<generation> */
    unsigned readers;
    bool replaced; /* by another file; goes with its last reader */
};

/* Sets name and path from info. */
void part_init(struct part *part, const char *dir, const struct store_part *info);
/* A file's name (without directory) → id, generation, year and month. False when it is none of ours. *rest:
 * what stands behind (".damaged-…", ".wal", ".tmp"), "" for the file itself. */
bool part_parse(const char *file, struct store_part *out, const char **rest);
/* From hub_ts; -1, 0, 1. */
void part_month(int64_t hub_ts, int *year, int *month);
int part_month_compare(const struct store_part *part, int64_t hub_ts);

/* ERR_BUSY (another process), ERR_DENIED, ERR_FULL, ERR_VERSION, ERR_IO, ERR_ENGINE (damage). With read_only
 * nothing can write it. */
MUST_CHECK int part_attach(const char *path, const char *name, bool read_only, duckdb_connection connection,
                           bool *fatal, struct err *err);
MUST_CHECK int part_detach(const char *name, duckdb_connection connection, struct err *err);

/* Makes the file of part->info, without rows, and attaches it. Errors of part_attach. */
MUST_CHECK int part_make(struct part *part, duckdb_connection connection, bool *fatal, struct err *err);
/* DIR/….tmp, complete and closed, becomes path for good. ERR_IO, ERR_FULL. */
MUST_CHECK int part_install(const char *temporary, const char *path, struct err *err);
MUST_CHECK int part_sync(const char *path, struct err *err);
/* The file and its WAL; when they are there. */
void part_unlink(const char *path);

/* Makes the last commit the checkpoint. ERR_BUSY: questions run on it. */
MUST_CHECK int part_checkpoint(struct part *part, duckdb_connection connection, bool *fatal, struct err *err);
/* Is there nothing in the WAL, so that the file itself holds all that was committed? DuckDB empties the WAL
 * at the end of a checkpoint only. */
bool part_is_whole(const char *path);
uint64_t part_bytes(const char *path); /* the file and its WAL on disk */

/* Renames path to path.damaged-<time>; false when there was nothing to rename or it could not be. then: what
 * comes of what it held. */
bool part_set_aside(const char *path, const char *then, const struct err *reason);

#endif
