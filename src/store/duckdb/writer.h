/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: the one connection that writes. Rows go through data chunks of 2,048 into an appender of the
 * present part; commit flushes it, checks, writes the part's row with the new cursor and commits, all in one
 * transaction. After any error the transaction is gone. One thread.
 */
#ifndef STORE_DUCKDB_WRITER_H
#define STORE_DUCKDB_WRITER_H

#include "store/duckdb/instance.h"
#include "store/duckdb/part.h"

struct writer {
    duckdb_connection connection;
    duckdb_appender appender;
    duckdb_data_chunk chunk;
    struct part *part; /* borrowed; NULL: none yet */
    bool in_transaction;
    bool fatal;              /* the database object is of no use any more: open everything again */
    size_t unflushed;        /* rows in the appender */
    uint64_t pending;        /* rows of this transaction */
    struct store_part after; /* what the part will be with them; what it is, between transactions */
};

MUST_CHECK int writer_open(struct writer *writer, struct instance *instance, struct err *err);
void writer_close(struct writer *writer); /* an open transaction is rolled back; safe on zeroed memory */

/* Between transactions: what follows goes into that part. */
void writer_turn(struct writer *writer, struct part *part);

/* There is a part. ERR_ENGINE (also for a text that is not UTF-8), ERR_FULL, ERR_LIMIT: the transaction is
 * rolled back. commit writes `after` with that cursor as its end; with close it is the part's last. */
MUST_CHECK int writer_append(struct writer *writer, const struct event *rows, size_t count, struct err *err);
MUST_CHECK int writer_commit(struct writer *writer, struct store_cursor cursor, bool close, struct err *err);
void writer_rollback(struct writer *writer);

#endif
