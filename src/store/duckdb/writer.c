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
#include "store/duckdb/layout.h"

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
    if (duckdb_appender_create_ext(writer->connection, writer->part->name, NULL, "events",
                                   &writer->appender) != DuckDBSuccess) {
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
    if (writer->part != NULL)
        writer->after = writer->part->info;
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

static void widen(int64_t *least, int64_t *most, int64_t ts, bool first)
{
    *least = first || ts < *least ? ts : *least;
    *most = first || ts > *most ? ts : *most;
}

static void note_rows(struct store_part *part, const struct event *rows, size_t count)
{
    if (part->rows == 0)
        part_month(rows[0].hub_ts, &part->year, &part->month);
    for (size_t i = 0; i < count; i++) {
        bool first = part->rows == 0 && i == 0;
        widen(&part->min_ts, &part->max_ts, rows[i].ts, first);
        widen(&part->min_hub_ts, &part->max_hub_ts, rows[i].hub_ts, first);
    }
    part->rows += count;
}

int writer_append(struct writer *writer, const struct event *rows, size_t count, struct err *err)
{
    int rc = begin(writer, err);
    for (size_t done = 0; rc == 0 && done < count;) {
        size_t some = count - done < FILL_ROWS ? count - done : FILL_ROWS;
        rc = append_some(writer, rows + done, some, err);
        done += some;
    }
    if (rc != 0)
        return failed(writer, rc);
    if (count > 0)
        note_rows(&writer->after, rows, count);
    return 0;
}

int writer_commit(struct writer *writer, struct store_cursor cursor, bool close, struct err *err)
{
    struct store_part *after = &writer->after;
    int rc = begin(writer, err);
    if (rc == 0)
        rc = flush(writer, err);
    after->end = cursor;
    after->open = !close;
    if (after->rows == 0 && store_cursor_compare(cursor, after->begin) < 0)
        after->begin = cursor;
    if (rc == 0)
        rc = layout_write(writer->connection, writer->part->name, after, &writer->fatal, err);
    if (rc == 0 && (rc = fault_run(writer->connection, "COMMIT", NULL, err)) != 0)
        writer->fatal = true;
    if (rc != 0)
        return failed(writer, rc);
    writer->in_transaction = false;
    writer->pending = 0;
    return 0;
}

void writer_turn(struct writer *writer, struct part *part)
{
    assert(!writer->in_transaction);
    if (writer->part != part)
        (void)duckdb_appender_destroy(&writer->appender);
    writer->part = part;
    writer->after = part != NULL ? part->info : (struct store_part){.id = 0};
}

int writer_open(struct writer *writer, struct instance *instance, struct err *err)
{
    *writer = (struct writer){0};
    return instance_connect(instance, &writer->connection, err);
}

void writer_close(struct writer *writer)
{
    if (writer->connection != NULL)
        writer_rollback(writer);
    (void)duckdb_appender_destroy(&writer->appender);
    duckdb_destroy_data_chunk(&writer->chunk);
    duckdb_disconnect(&writer->connection);
}
