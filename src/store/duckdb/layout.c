/* SPDX-License-Identifier: Apache-2.0
 *
 * layout: see layout.h. Enum columns list the names of event.h in their order, so that DuckDB's number of a
 * stage is enum stage, and of a direction enum direction less one (absent is NULL).
 */
#include "store/duckdb/layout.h"

#include "store/duckdb/fault.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>

duckdb_uhugeint layout_from_bytes(const uint8_t bytes[16])
{
    uint64_t half[2];
    memcpy(half, bytes, sizeof half);
    return (duckdb_uhugeint){.upper = be64toh(half[0]), .lower = be64toh(half[1])};
}

void layout_to_bytes(duckdb_uhugeint value, uint8_t bytes[16])
{
    uint64_t half[2] = {htobe64(value.upper), htobe64(value.lower)};
    memcpy(bytes, half, sizeof half);
}

int layout_add_enum(struct buf *sql, enum column_type type)
{
    unsigned first = type == TYPE_DIRECTION ? DIRECTION_ABSENT + 1 : 0;
    unsigned count = type == TYPE_DIRECTION ? DIRECTION_COUNT : STAGE_COUNT;
    int rc = buf_addf(sql, "ENUM(");
    for (unsigned i = first; rc == 0 && i < count; i++)
        rc = buf_addf(sql, "%s'%s'", i > first ? ", " : "",
                      type == TYPE_DIRECTION ? event_direction_name(i) : event_stage_name(i));
    return rc != 0 ? rc : buf_addf(sql, ")");
}

/* Left to itself, DuckDB packs 128-bit numbers into bits and needs some 0.4 µs to unpack each: forty times
 * what the other columns take. As runs they cost a few bytes more: a message's requests follow each other.
 * Nobody asks by server_address often enough to pay for it. */
static bool is_of_runs(const struct column_info *column)
{
    return (column->type == TYPE_IP || column->type == TYPE_ID128) &&
           column != &event_columns[COLUMN_server_address];
}

static int add_column(struct buf *sql, const struct column_info *column)
{
    static const char *const types[] = {
        [TYPE_U8] = "UTINYINT",  [TYPE_U16] = "USMALLINT", [TYPE_U32] = "UINTEGER",
        [TYPE_U64] = "UBIGINT",  [TYPE_BOOL] = "BOOLEAN",  [TYPE_TS] = "TIMESTAMP",
        [TYPE_TEXT] = "VARCHAR", [TYPE_IP] = "UHUGEINT",   [TYPE_ID128] = "UHUGEINT",
    };
    int rc = buf_addf(sql, "%s ", column->name);
    if (rc != 0)
        return rc;
    if (column->type == TYPE_DIRECTION || column->type == TYPE_STAGE)
        rc = layout_add_enum(sql, column->type);
    else
        rc = buf_addf(sql, "%s%s", types[column->type], is_of_runs(column) ? " USING COMPRESSION rle" : "");
    return rc != 0 ? rc : buf_addf(sql, "%s", column->nullable ? "" : " NOT NULL");
}

/* The row of `part`: column, and where it stands in struct store_part. All are BIGINT. */
#define PART_ROW(X)                                                                                          \
    X(id, id)                                                                                                \
    X(last_id, last_id)                                                                                      \
    X(generation, generation)                                                                                \
    X(year, year)                                                                                            \
    X(month, month)                                                                                          \
    X(open, open)                                                                                            \
    X(ordered, ordered)                                                                                      \
    X(begin_segment, begin.pos.segment)                                                                      \
    X(begin_offset, begin.pos.offset)                                                                        \
    X(begin_skip, begin.skip)                                                                                \
    X(end_segment, end.pos.segment)                                                                          \
    X(end_offset, end.pos.offset)                                                                            \
    X(end_skip, end.skip)                                                                                    \
    X(total, rows)                                                                                           \
    X(min_ts, min_ts)                                                                                        \
    X(max_ts, max_ts)                                                                                        \
    X(min_hub_ts, min_hub_ts)                                                                                \
    X(max_hub_ts, max_hub_ts)

static int add_part_table(struct buf *sql, const char *name)
{
    int rc = buf_addf(sql, "CREATE TABLE %s.part (version BIGINT NOT NULL", name);
#define X(column, field) rc = rc != 0 ? rc : buf_addf(sql, ", " #column " BIGINT NOT NULL");
    PART_ROW(X)
#undef X
    return rc != 0 ? rc : buf_addf(sql, "); ");
}

static int add_events_table(struct buf *sql, const char *name)
{
    int rc = buf_addf(sql, "CREATE TABLE %s.events (", name);
    for (size_t i = 0; rc == 0 && i < COLUMN_COUNT; i++) {
        rc = i > 0 ? buf_addf(sql, ", ") : 0;
        if (rc == 0)
            rc = add_column(sql, &event_columns[i]);
    }
    return rc != 0 ? rc : buf_addf(sql, "); ");
}

/* Runs what stands in sql, unless it could not be written (rc). */
static int run(duckdb_connection connection, struct buf *sql, int rc, bool *fatal, struct err *err)
{
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql->p, fatal, err);
    buf_fini(sql);
    return rc;
}

/* In one transaction, and all of it taken back when it fails. */
static int run_alone(duckdb_connection connection, struct buf *sql, int rc, struct err *err)
{
    rc = rc != 0 ? rc : buf_addf(sql, "COMMIT");
    rc = run(connection, sql, rc, NULL, err);
    if (rc != 0)
        (void)!fault_run(connection, "ROLLBACK", NULL, NULL); /* it may be over already */
    return rc;
}

int layout_create(duckdb_connection connection, const char *name, const struct store_part *part,
                  struct err *err)
{
    struct buf sql;
    buf_init(&sql, 16384);
    int rc = buf_addf(&sql, "BEGIN; ");
    rc = rc != 0 ? rc : add_events_table(&sql, name);
    rc = rc != 0 ? rc : add_part_table(&sql, name);
    rc = rc != 0 ? rc : buf_addf(&sql, "INSERT INTO %s.part VALUES (%d", name, LAYOUT_VERSION);
#define X(column, field) rc = rc != 0 ? rc : buf_addf(&sql, ", %lld", (long long)part->field);
    PART_ROW(X)
#undef X
    rc = rc != 0 ? rc : buf_addf(&sql, "); ");
    return run_alone(connection, &sql, rc, err);
}

int layout_write(duckdb_connection connection, const char *name, const struct store_part *part, bool *fatal,
                 struct err *err)
{
    struct buf sql;
    buf_init(&sql, 4096);
    int rc = buf_addf(&sql, "UPDATE %s.part SET version = %d", name, LAYOUT_VERSION);
#define X(column, field) rc = rc != 0 ? rc : buf_addf(&sql, ", " #column " = %lld", (long long)part->field);
    PART_ROW(X)
#undef X
    return run(connection, &sql, rc, fatal, err);
}

/* The numbers of the first row, at most count; *found how many there are, 0 without a row. */
static int read_numbers(duckdb_connection connection, const char *sql, int64_t *numbers, size_t count,
                        size_t *found, struct err *err)
{
    duckdb_result result;
    int rc = 0;
    *found = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess) {
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    } else {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        size_t columns = chunk != NULL ? duckdb_data_chunk_get_column_count(chunk) : 0;
        for (; chunk != NULL && duckdb_data_chunk_get_size(chunk) > 0 && *found < count && *found < columns;
             ++*found)
            numbers[*found] = *(int64_t *)duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, *found));
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

int layout_count(duckdb_connection connection, const char *name, struct store_part *out, struct err *err)
{
    char sql[320];
    int64_t numbers[5] = {0};
    size_t found;
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*), coalesce(epoch_us(min(ts)), 0), coalesce(epoch_us(max(ts)), 0), "
                   "coalesce(epoch_us(min(hub_ts)), 0), coalesce(epoch_us(max(hub_ts)), 0) FROM %s.events",
                   name);
    int rc = read_numbers(connection, sql, numbers, 5, &found, err);
    out->rows = (uint64_t)numbers[0];
    out->min_ts = numbers[1];
    out->max_ts = numbers[2];
    out->min_hub_ts = numbers[3];
    out->max_hub_ts = numbers[4];
    return rc;
}

static int has_table(duckdb_connection connection, const char *name, const char *table, bool *has,
                     struct err *err)
{
    char sql[256];
    int64_t count = 0;
    size_t found;
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM duckdb_tables() WHERE database_name = '%s' AND table_name = '%s'",
                   name, table);
    int rc = read_numbers(connection, sql, &count, 1, &found, err);
    *has = rc == 0 && count > 0;
    return rc;
}

int layout_version(duckdb_connection connection, const char *name, int64_t *version, struct err *err)
{
    /* `loaded` is what version 1 had for `part`. */
    static const char *const tables[] = {"part", "loaded"};
    size_t found = 0;
    int rc = 0;
    *version = 0;
    for (size_t i = 0; rc == 0 && found == 0 && i < sizeof tables / sizeof *tables; i++) {
        char sql[128];
        bool has;
        (void)snprintf(sql, sizeof sql, "SELECT version::BIGINT FROM %s.%s", name, tables[i]);
        rc = has_table(connection, name, tables[i], &has, err);
        if (rc == 0 && has)
            rc = read_numbers(connection, sql, version, 1, &found, err);
    }
    return rc;
}

/* Version 1 was one file for all, and its table said only how far it had read. It becomes the first part. */
static int from_1_to_2(duckdb_connection connection, const char *name, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 8192);
    int rc = buf_addf(&sql, "BEGIN; ");
    rc = rc != 0 ? rc : add_part_table(&sql, name);
    rc =
        rc != 0
            ? rc
            : buf_addf(&sql,
                       "INSERT INTO %s.part SELECT 2, 1, 1, 1, year(latest), month(latest), 1, 0, "
                       "0, 0, 0, segment, \"offset\", skip, counted.total, min_ts, max_ts, min_hub_ts, "
                       "epoch_us(latest) "
                       "FROM %s.loaded, (SELECT count(*) AS total, coalesce(epoch_us(min(ts)), 0) AS min_ts, "
                       "coalesce(epoch_us(max(ts)), 0) AS max_ts, coalesce(epoch_us(min(hub_ts)), 0) AS "
                       "min_hub_ts, "
                       "coalesce(max(hub_ts), make_timestamp(0)) AS latest FROM %s.events) AS counted; "
                       "DROP TABLE %s.loaded; ",
                       name, name, name, name);
    return run_alone(connection, &sql, rc, err);
}

int layout_migrate(duckdb_connection connection, const char *name, int64_t version, struct err *err)
{
    static int (*const steps[])(duckdb_connection, const char *, struct err *) = {[1] = from_1_to_2};
    enum { STEPS = sizeof steps / sizeof *steps };
    static_assert((int)STEPS == (int)LAYOUT_VERSION, "each version has a step to the next");
    for (; version != LAYOUT_VERSION; version++) {
        if (version < 1 || version >= STEPS)
            return err_set(
                err, ERR_VERSION,
                "the store has schema version %lld, this release knows version %d: run the release "
                "that wrote it, or move the store's directory away (what the journal holds is read "
                "again)",
                (long long)version, LAYOUT_VERSION);
        struct err reason;
        int rc = steps[version](connection, name, &reason);
        if (rc == ERR_ENGINE) /* not set aside for it: the step itself may be wrong */
            rc = ERR_CORRUPT;
        if (rc != 0)
            return err_set(err, rc, "the store can't be brought from version %lld to %lld (%s)",
                           (long long)version, (long long)version + 1, reason.detail);
    }
    return 0;
}

/* Rows are appended column by column: they must be those of columns.def, in its order. */
static int check_columns(duckdb_connection connection, const char *name, struct err *err)
{
    char sql[128];
    duckdb_result result;
    int rc = 0;
    (void)snprintf(sql, sizeof sql, "SELECT * FROM %s.events LIMIT 0", name);
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    bool same = rc == 0 && duckdb_column_count(&result) == COLUMN_COUNT;
    for (idx_t i = 0; same && i < COLUMN_COUNT; i++)
        same = strcmp(duckdb_column_name(&result, i), event_columns[i].name) == 0;
    duckdb_destroy_result(&result);
    return rc != 0 || same ? rc
                           : err_set(err, ERR_VERSION,
                                     "a part of the store has other columns than this release knows: run the "
                                     "release that wrote it, or move the store's directory away (what the "
                                     "journal holds is read again)");
}

int layout_read(duckdb_connection connection, const char *name, struct store_part *out, struct err *err)
{
    char sql[512];
    enum {
#define X(column, field) AT_##column,
        PART_ROW(X)
#undef X
            NUMBERS
    };
    int64_t numbers[NUMBERS];
    size_t found;
    (void)snprintf(sql, sizeof sql, "SELECT * EXCLUDE (version) FROM %s.part", name);
    int rc = read_numbers(connection, sql, numbers, NUMBERS, &found, err);
    if (rc == 0 && found != NUMBERS)
        rc = err_set(err, ERR_ENGINE, "%s does not say what it is", name);
    if (rc != 0)
        return rc;
    *out = (struct store_part){0};
#define X(column, field) out->field = (__typeof__(out->field))numbers[AT_##column];
    PART_ROW(X)
#undef X
    return check_columns(connection, name, err);
}
