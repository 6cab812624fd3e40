/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: the one connection that writes. Rows go through data chunks of 2,048 into an appender; commit
 * flushes it, checks, moves the cursor and commits, all in one transaction. After any error the transaction
 * is gone. One thread.
 */
#ifndef STORE_DUCKDB_WRITER_H
#define STORE_DUCKDB_WRITER_H

#include "store/duckdb/file.h"

struct writer {
    duckdb_connection connection;
    duckdb_appender appender;
    duckdb_data_chunk chunk;
    duckdb_prepared_statement move; /* the cursor */
    bool in_transaction;
    bool fatal;                 /* the database object is of no use any more: open the file again */
    size_t unflushed;           /* rows in the appender */
    uint64_t pending;           /* rows of this transaction */
    uint64_t rows;              /* committed, ever */
    struct store_cursor cursor; /* committed */
};

MUST_CHECK int writer_open(struct writer *writer, struct file *file, struct err *err);
void writer_close(struct writer *writer); /* an open transaction is rolled back; safe on zeroed memory */

/* ERR_ENGINE (also for a text that is not UTF-8), ERR_FULL, ERR_LIMIT: the transaction is rolled back. */
MUST_CHECK int writer_append(struct writer *writer, const struct event *rows, size_t count, struct err *err);
MUST_CHECK int writer_commit(struct writer *writer, struct store_cursor cursor, struct err *err);
void writer_rollback(struct writer *writer);
/* Between transactions. ERR_BUSY: a question was running. The commits stand, whatever this answers. */
MUST_CHECK int writer_checkpoint(struct writer *writer, struct err *err);

#endif
