/* SPDX-License-Identifier: Apache-2.0
 *
 * parquet: events as an Apache Parquet file, for programs that read tables. The rows come from whoever has
 * them, piece by piece; DuckDB writes them, by an instance of its own that may touch the one directory and
 * has bounded memory. Values are those of the columns (query/derive.h): numbers, booleans, microseconds of
 * UTC, and texts for all else; absent ones are null.
 */
#ifndef STORE_PARQUET_H
#define STORE_PARQUET_H

#include "query/query.h"

enum {
    PARQUET_AT_ONCE = 2,     /* in one process */
    PARQUET_MEMORY_MB = 256, /* of each; nothing is spilled */
};

typedef int (*parquet_row)(void *row_arg, const struct event *event);

/* Key/value metadata of the file. name: letters, digits, '_' and '.'; both at most PARQUET_NOTE_BYTES. */
enum { PARQUET_NOTE_BYTES = 4096 };
struct parquet_note {
    const char *name, *value;
};

struct parquet_source {
    const char *dir; /* made when missing, for nothing else; no quote in it */
    const struct query *query;
    const enum column *columns;
    size_t count;
    const struct parquet_note *notes;
    size_t note_count;
    /* Hands the next rows to row(), at most so many; none: that was all. An error ends the file. */
    int (*next)(void *arg, uint32_t most, parquet_row row, void *row_arg, struct err *err);
    void *arg;
};

/* Writes the file and opens it: *fd is the caller's, *bytes its size. It has no name any more: its blocks go
 * with the descriptor, whatever happens. Any thread; takes as long as the rows take. ERR_BUSY:
 * PARQUET_AT_ONCE are being written. ERR_FULL, ERR_LIMIT (memory), ERR_DENIED, ERR_ENGINE, or what next()
 * answered. */
MUST_CHECK int parquet_write(const struct parquet_source *source, int *fd, uint64_t *bytes, struct err *err);

/* Removes what a kill has left in dir; nobody may be writing there. */
void parquet_sweep(const char *dir);

#endif
