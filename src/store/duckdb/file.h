/* SPDX-License-Identifier: Apache-2.0
 *
 * file: one database file of DuckDB and its opening order (DESIGN §5). Today there is one,
 * DIR/events-current.duckdb; partition files of closed months will stand beside it. Damage is set aside, the
 * WAL first, then the file, under their names with ".damaged-<time>"; then a new file begins with the cursor
 * at {0,0}.
 */
#ifndef STORE_DUCKDB_FILE_H
#define STORE_DUCKDB_FILE_H

#include "store/store.h"

#include <duckdb.h>
#include <limits.h>
#include <pthread.h>

struct file {
    duckdb_database database;
    char dir[PATH_MAX - 128];
    char path[PATH_MAX];
    uint64_t memory_bytes;
    uint32_t threads;
    pthread_mutex_t mutex; /* of unfolded */
    bool unfolded;
};

/* Opens, checks, shuts external access off. ERR_BUSY (another process), ERR_DENIED, ERR_FULL, ERR_VERSION,
 * ERR_LIMIT (path), ERR_ENGINE. */
MUST_CHECK int file_open(struct file *file, const struct store_options *options, struct err *err);
/* Again after file_shut, with the same options. */
MUST_CHECK int file_reopen(struct file *file, struct err *err);
void file_shut(struct file *file);
void file_close(struct file *file); /* shuts it for good */

/* A file opens folded: one thread and the least memory that writing needs, so that a hub that nobody asks
 * stays small. The first question, or a write that lacks memory, unfolds it to the options' size and locks
 * the configuration; the next calls do nothing. Any thread. ERR_ENGINE. */
MUST_CHECK int file_unfold(struct file *file, struct err *err);
bool file_is_unfolded(struct file *file);

MUST_CHECK int file_connect(struct file *file, duckdb_connection *out, struct err *err);
/* Is there nothing in the WAL, so that the file itself holds all that was committed? DuckDB empties the WAL
 * at the end of a checkpoint only. The writer's thread. */
bool file_is_whole(const struct file *file);
uint64_t file_bytes(const struct file *file); /* the file and its WAL on disk */

#endif
