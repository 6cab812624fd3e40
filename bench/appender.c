/* SPDX-License-Identifier: Apache-2.0
 *
 * appender: the least that storing can cost, to measure the hub's drain against: made-up events, already
 * parsed and classified, go row by row into DuckDB's appender, one transaction for each 122,880 rows. Making
 * the events is not in the measured time.
 *
 *   appender --dir DIR [--rows 1000000] [--seed 1]      makes DIR/bench.duckdb; prints one line of JSON
 */
#include "bench.h"

#include "base/clock.h"
#include "cli/traffic.h"
#include "store/duckdb/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { BATCH_ROWS = 122880, BATCH_TEXT_BYTES = 128 << 20 };

struct source {
    struct traffic *traffic;
    struct traffic_message message;
    unsigned next;
    int64_t ts_us;
    uint64_t seq;
    struct event_batch *batch;
};

static void check(bool good, const char *what)
{
    if (!good)
        bench_die("%s failed", what);
}

static void make_event(struct source *source)
{
    char bytes[TRAFFIC_REQUEST_BYTES];
    struct policy_request request;
    struct event *event;
    if (source->next == traffic_request_count(&source->message)) {
        source->ts_us = traffic_next_us(source->traffic, source->ts_us, 1e6);
        traffic_draw(source->traffic, source->ts_us, &source->message);
        source->next = 0;
    }
    size_t n = traffic_request(&source->message, source->next, bytes);
    int64_t ts_us = traffic_request_us(&source->message, source->next++);
    struct event_origin origin = {
        .tenant = 1, .edge = SLICE("bench"), .seq = ++source->seq, .edge_ts = ts_us, .hub_ts = ts_us};
    check(policy_parse((struct slice){bytes, n}, &request, NULL) == 0, "parsing");
    check(event_from_request(source->batch, &origin, &request, &event) == 0, "making an event");
    event->direction = (uint8_t)(DIRECTION_IN + source->message.direction);
    event->first_of_message = source->next == 1;
    event->recipients = event->stage == STAGE_RCPT;
}

static void make_batch(struct source *source, size_t rows)
{
    event_batch_clear(source->batch);
    for (size_t i = 0; i < rows; i++)
        make_event(source);
}

static duckdb_state append_text(duckdb_appender appender, struct slice text, bool nullable)
{
    return nullable && text.n == 0 ? duckdb_append_null(appender)
                                   : duckdb_append_varchar_length(appender, text.p, text.n);
}

static duckdb_state append_number(duckdb_appender appender, uint64_t value, bool nullable, unsigned bits)
{
    if (nullable && value == 0)
        return duckdb_append_null(appender);
    return bits == 8    ? duckdb_append_uint8(appender, (uint8_t)value)
           : bits == 16 ? duckdb_append_uint16(appender, (uint16_t)value)
           : bits == 32 ? duckdb_append_uint32(appender, (uint32_t)value)
                        : duckdb_append_uint64(appender, value);
}

static duckdb_state append_bytes(duckdb_appender appender, const uint8_t bytes[16], bool nullable)
{
    duckdb_uhugeint value = layout_from_bytes(bytes);
    return nullable && value.upper == 0 && value.lower == 0 ? duckdb_append_null(appender)
                                                            : duckdb_append_uhugeint(appender, value);
}

#define ROW_U8(v, nullable)        append_number(appender, v, nullable, 8)
#define ROW_U16(v, nullable)       append_number(appender, v, nullable, 16)
#define ROW_U32(v, nullable)       append_number(appender, v, nullable, 32)
#define ROW_U64(v, nullable)       append_number(appender, v, nullable, 64)
#define ROW_BOOL(v, nullable)      duckdb_append_bool(appender, v)
#define ROW_TS(v, nullable)        duckdb_append_timestamp(appender, (duckdb_timestamp){v})
#define ROW_TEXT(v, nullable)      append_text(appender, v, nullable)
#define ROW_IP(v, nullable)        append_bytes(appender, (v).b, nullable)
#define ROW_ID128(v, nullable)     append_bytes(appender, (v).b, nullable)
#define ROW_STAGE(v, nullable)     append_text(appender, slice_of(event_stage_name(v)), nullable)
#define ROW_DIRECTION(v, nullable) append_text(appender, slice_of(event_direction_name(v)), nullable)
#define ABSENT_NEVER               false
#define ABSENT_NULLABLE            true

static void append_row(duckdb_appender appender, const struct event *row)
{
    int failed = 0;
#define COLUMN(name, type, absent, source, doc) failed |= (int)ROW_##type(row->name, ABSENT_##absent);
#include "event/columns.def"
#undef COLUMN
    failed |= (int)duckdb_appender_end_row(appender);
    if (failed != 0)
        bench_die("appending a row failed: %s", duckdb_appender_error(appender));
}

static void store_batch(duckdb_connection connection, duckdb_appender appender, struct event_batch *batch)
{
    const struct event *rows = event_batch_rows(batch);
    check(duckdb_query(connection, "BEGIN", NULL) == DuckDBSuccess, "BEGIN");
    for (size_t i = 0; i < event_batch_count(batch); i++)
        append_row(appender, &rows[i]);
    check(duckdb_appender_flush(appender) == DuckDBSuccess, "flush");
    check(duckdb_query(connection, "COMMIT", NULL) == DuckDBSuccess, "COMMIT");
}

int main(int argc, char **argv)
{
    const char *dir = bench_option(argc, argv, "--dir", NULL);
    size_t rows = (size_t)bench_number(argc, argv, "--rows", 1000000);
    char path[4096];
    duckdb_database database;
    duckdb_connection connection;
    duckdb_appender appender;
    struct source source = {.ts_us = clock_real_us()};
    struct err err = {0};
    if (dir == NULL)
        bench_die("usage: appender --dir DIR [--rows N] [--seed N]");
    snprintf(path, sizeof path, "%s/bench.duckdb", dir);
    check(traffic_create(&source.traffic, (uint64_t)bench_number(argc, argv, "--seed", 1), 0) == 0,
          "traffic");
    check(event_batch_create(&source.batch, BATCH_ROWS, BATCH_TEXT_BYTES) == 0, "memory");
    check(duckdb_open(path, &database) == DuckDBSuccess, "duckdb_open");
    check(duckdb_connect(database, &connection) == DuckDBSuccess, "duckdb_connect");
    if (layout_create(connection, "bench", &(struct store_part){.id = 1}, &err) != 0)
        bench_die("%s", err_detail(&err));
    check(duckdb_appender_create(connection, NULL, "events", &appender) == DuckDBSuccess,
          "duckdb_appender_create");
    int64_t spent_ns = 0;
    for (size_t done = 0; done < rows;) {
        size_t some = rows - done < BATCH_ROWS ? rows - done : BATCH_ROWS;
        make_batch(&source, some);
        int64_t began_ns = bench_now_ns();
        store_batch(connection, appender, source.batch);
        spent_ns += bench_now_ns() - began_ns;
        done += some;
    }
    duckdb_appender_destroy(&appender);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    struct stat status;
    check(stat(path, &status) == 0, "stat");
    printf("{\"rows\":%zu,\"seconds\":%.3f,\"rows_per_s\":%.0f,\"bytes_per_row\":%.1f}\n", rows,
           (double)spent_ns / 1e9, (double)rows / ((double)spent_ns / 1e9),
           (double)status.st_size / (double)rows);
    event_batch_destroy(&source.batch);
    traffic_destroy(&source.traffic);
    return 0;
}
