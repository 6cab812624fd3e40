/* SPDX-License-Identifier: Apache-2.0
 *
 * writer: see writer.h. Three things that DuckDB 1.4 does and this file is built around: COMMIT answers
 * success after a failed flush (so the flush is checked first); destroying an appender flushes what is in it
 * (so that happens before ROLLBACK, inside the transaction that is thrown away); and a COMMIT that fails
 * takes the rows back but leaves their texts in the segment, so that the next row's texts would begin in them
 * (so the database is opened again).
 */
#include "store/duckdb/writer.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/fill.h"

#include <assert.h>

enum { FLUSH_ROWS = 32 * 1024 }; /* rows that wait in the appender at most: bounds its memory */

static int from_appender(struct writer *writer, struct err *err)
{
    duckdb_error_data data = duckdb_appender_error_data(writer->appender);
    duckdb_error_type type = duckdb_error_data_error_type(data);
    const char *text = duckdb_error_data_message(data);
    if (fault_is_fatal(type, text))
        writer->fatal = true;
    int rc = fault_set(err, type, "duckdb append", text);
    duckdb_destroy_error_data(&data);
    return rc;
}

static int open_appender(struct writer *writer, struct err *err)
{
    if (writer->appender != NULL)
        return 0;
    if (duckdb_appender_create(writer->connection, NULL, "events", &writer->appender) != DuckDBSuccess) {
        int rc = from_appender(writer, err);
        (void)duckdb_appender_destroy(&writer->appender);
        return rc;
    }
    return writer->chunk != NULL ? 0 : fill_create(writer->appender, &writer->chunk, err);
}

void writer_rollback(struct writer *writer)
{
    if (writer->unflushed > 0 || writer->pending > 0)
        (void)duckdb_appender_destroy(&writer->appender);
    if (writer->in_transaction && fault_run(writer->connection, "ROLLBACK", &writer->fatal, NULL) != 0)
        writer->in_transaction = false; /* DuckDB had ended it itself */
    writer->in_transaction = false;
    writer->unflushed = 0;
    writer->pending = 0;
}

static int failed(struct writer *writer, int rc)
{
    writer_rollback(writer);
    return rc;
}

static int begin(struct writer *writer, struct err *err)
{
    if (writer->in_transaction)
        return 0;
    int rc = fault_run(writer->connection, "BEGIN", &writer->fatal, err);
    writer->in_transaction = rc == 0;
    return rc != 0 ? rc : open_appender(writer, err);
}

static int flush(struct writer *writer, struct err *err)
{
    if (writer->unflushed == 0)
        return 0;
    if (duckdb_appender_flush(writer->appender) != DuckDBSuccess)
        return from_appender(writer, err);
    writer->unflushed = 0;
    return 0;
}

static int append_some(struct writer *writer, const struct event *rows, size_t count, struct err *err)
{
    int rc = fill_rows(writer->chunk, rows, count, err);
    if (rc != 0)
        return rc;
    writer->unflushed += count;
    writer->pending += count;
    if (duckdb_append_data_chunk(writer->appender, writer->chunk) != DuckDBSuccess)
        return from_appender(writer, err);
    return writer->unflushed >= FLUSH_ROWS ? flush(writer, err) : 0;
}

int writer_append(struct writer *writer, const struct event *rows, size_t count, struct err *err)
{
    int rc = begin(writer, err);
    for (size_t done = 0; rc == 0 && done < count;) {
        size_t some = count - done < FILL_ROWS ? count - done : FILL_ROWS;
        rc = append_some(writer, rows + done, some, err);
        done += some;
    }
    return rc != 0 ? failed(writer, rc) : 0;
}

static int move_cursor(struct writer *writer, struct store_cursor cursor, struct err *err)
{
    duckdb_result result = {0};
    duckdb_prepared_statement move = writer->move;
    int rc = 0;
    if (duckdb_bind_uint64(move, 1, cursor.pos.segment) != DuckDBSuccess ||
        duckdb_bind_uint64(move, 2, cursor.pos.offset) != DuckDBSuccess ||
        duckdb_bind_uint32(move, 3, cursor.skip) != DuckDBSuccess ||
        duckdb_bind_uint64(move, 4, writer->rows + writer->pending) != DuckDBSuccess)
        return err_set(err, ERR_ENGINE, "duckdb: the cursor can't be bound");
    if (duckdb_execute_prepared(move, &result) != DuckDBSuccess) {
        const char *text = duckdb_result_error(&result);
        if (fault_is_fatal(duckdb_result_error_type(&result), text))
            writer->fatal = true;
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb cursor", text);
    }
    duckdb_destroy_result(&result);
    return rc;
}

int writer_commit(struct writer *writer, struct store_cursor cursor, struct err *err)
{
    int rc = begin(writer, err);
    if (rc == 0)
        rc = flush(writer, err);
    if (rc == 0)
        rc = move_cursor(writer, cursor, err);
    if (rc == 0 && (rc = fault_run(writer->connection, "COMMIT", NULL, err)) != 0)
        writer->fatal = true;
    if (rc != 0)
        return failed(writer, rc);
    writer->in_transaction = false;
    writer->rows += writer->pending;
    writer->pending = 0;
    writer->cursor = cursor;
    return 0;
}

int writer_checkpoint(struct writer *writer, struct err *err)
{
    assert(!writer->in_transaction);
    int rc = fault_run(writer->connection, "CHECKPOINT", &writer->fatal, err);
    /* Not even begun (one that fails is fatal): a question has run since before the last commit, and DuckDB
     * keeps what it may still look at. */
    if (rc == ERR_ENGINE && !writer->fatal)
        rc = err_set(err, ERR_BUSY, "no checkpoint can be made while questions run");
    return rc;
}

static uint64_t cell_u64(duckdb_data_chunk chunk, idx_t column)
{
    return *(uint64_t *)duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, column));
}

static int read_cursor(struct writer *writer, struct err *err)
{
    duckdb_result result;
    int rc = 0;
    if (duckdb_query(writer->connection, "SELECT segment, \"offset\", skip::UBIGINT, total FROM loaded",
                     &result) != DuckDBSuccess) {
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb cursor", duckdb_result_error(&result));
        duckdb_destroy_result(&result);
        return rc;
    }
    duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
    if (chunk == NULL || duckdb_data_chunk_get_size(chunk) != 1) {
        rc = err_set(err, ERR_CORRUPT,
                     "the store's cursor is missing; move the store's file away, it is rebuilt");
    } else {
        writer->cursor.pos.segment = cell_u64(chunk, 0);
        writer->cursor.pos.offset = cell_u64(chunk, 1);
        writer->cursor.skip = (uint32_t)cell_u64(chunk, 2);
        writer->rows = cell_u64(chunk, 3);
    }
    duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    return rc;
}

int writer_open(struct writer *writer, struct file *file, struct err *err)
{
    *writer = (struct writer){0};
    int rc = file_connect(file, &writer->connection, err);
    if (rc == 0)
        rc = read_cursor(writer, err);
    if (rc == 0 && duckdb_prepare(writer->connection,
                                  "UPDATE loaded SET segment = $1, \"offset\" = $2, skip = $3, total = $4",
                                  &writer->move) != DuckDBSuccess)
        rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb cursor", duckdb_prepare_error(writer->move));
    if (rc != 0)
        writer_close(writer);
    return rc;
}

void writer_close(struct writer *writer)
{
    if (writer->connection != NULL)
        writer_rollback(writer);
    (void)duckdb_appender_destroy(&writer->appender);
    duckdb_destroy_data_chunk(&writer->chunk);
    duckdb_destroy_prepare(&writer->move);
    duckdb_disconnect(&writer->connection);
}
