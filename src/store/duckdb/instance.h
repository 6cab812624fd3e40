/* SPDX-License-Identifier: Apache-2.0
 *
 * instance: one database object of DuckDB and its opening order (DESIGN §5). Its own database is in memory
 * and stays empty; the files (part.h) are attached to it and share its memory and threads.
 */
#ifndef STORE_DUCKDB_INSTANCE_H
#define STORE_DUCKDB_INSTANCE_H

#include "base/text.h"

#include <duckdb.h>
#include <limits.h>
#include <pthread.h>

enum { INSTANCE_MEMORY_MIN_MB = 64 }; /* below it a checkpoint of all columns does not fit (measured) */

struct instance {
    duckdb_database database;
    char dir[PATH_MAX - 256];
    const char *temp; /* static; the name below dir of what it spills to */
    uint64_t memory_bytes;
    uint32_t threads;
    pthread_mutex_t mutex; /* of unfolded */
    bool unfolded;
};

/* Notes what it will be opened with. ERR_LIMIT (the directory's name). */
MUST_CHECK int instance_init(struct instance *instance, const char *dir, const char *temp,
                             uint64_t memory_bytes, uint32_t threads, struct err *err);
void instance_fini(struct instance *instance); /* shuts it for good */

/* Opens, and shuts all access off but to files below dir. Again after instance_shut. ERR_NO_MEMORY,
 * ERR_VERSION (another DuckDB), ERR_ENGINE. */
MUST_CHECK int instance_open(struct instance *instance, struct err *err);
void instance_shut(struct instance *instance);

/* It opens folded: one thread and the least memory that writing needs, so that a hub that nobody asks stays
 * small. The first question, or a write that lacks memory, unfolds it to its full size and locks the
 * configuration; the next calls do nothing. DuckDB's threads give way (nice.h), whoever asks for it. Any
 * thread. ERR_ENGINE, ERR_NO_MEMORY. */
MUST_CHECK int instance_unfold(struct instance *instance, struct err *err);
bool instance_is_unfolded(struct instance *instance);

MUST_CHECK int instance_connect(struct instance *instance, duckdb_connection *out, struct err *err);

#endif
