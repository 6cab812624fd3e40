/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: see schema.h. Enum columns list the names of event.h in their order, so that DuckDB's number of a
 * stage is enum stage, and of a direction enum direction less one (absent is NULL).
 */
#include "store/duckdb/schema.h"

#include "base/buf.h"
#include "store/duckdb/fault.h"

#include <assert.h>
#include <endian.h>

duckdb_uhugeint schema_from_bytes(const uint8_t bytes[16])
{
    uint64_t half[2];
    memcpy(half, bytes, sizeof half);
    return (duckdb_uhugeint){.upper = be64toh(half[0]), .lower = be64toh(half[1])};
}

void schema_to_bytes(duckdb_uhugeint value, uint8_t bytes[16])
{
    uint64_t half[2] = {htobe64(value.upper), htobe64(value.lower)};
    memcpy(bytes, half, sizeof half);
}

static int add_enum(struct buf *sql, enum column_type type)
{
    unsigned first = type == TYPE_DIRECTION ? DIRECTION_ABSENT + 1 : 0;
    unsigned count = type == TYPE_DIRECTION ? DIRECTION_COUNT : STAGE_COUNT;
    int rc = buf_addf(sql, "ENUM(");
    for (unsigned i = first; rc == 0 && i < count; i++)
        rc = buf_addf(sql, "%s'%s'", i > first ? ", " : "",
                      type == TYPE_DIRECTION ? event_direction_name(i) : event_stage_name(i));
    return rc != 0 ? rc : buf_addf(sql, ")");
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
        rc = add_enum(sql, column->type);
    else
        rc = buf_addf(sql, "%s", types[column->type]);
    return rc != 0 ? rc : buf_addf(sql, "%s", column->nullable ? "" : " NOT NULL");
}

static int create(duckdb_connection connection, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 16384);
    int rc = buf_addf(&sql, "BEGIN; CREATE TABLE events (");
    for (size_t i = 0; rc == 0 && i < COLUMN_COUNT; i++) {
        rc = i > 0 ? buf_addf(&sql, ", ") : 0;
        if (rc == 0)
            rc = add_column(&sql, &event_columns[i]);
    }
    if (rc == 0)
        rc = buf_addf(&sql,
                      "); CREATE TABLE loaded (version INTEGER NOT NULL, segment UBIGINT NOT NULL, "
                      "\"offset\" UBIGINT NOT NULL, skip UINTEGER NOT NULL, total UBIGINT NOT NULL); "
                      "INSERT INTO loaded VALUES (%d, 0, 0, 0, 0); COMMIT; CHECKPOINT;",
                      SCHEMA_VERSION);
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql.p, NULL, err);
    buf_fini(&sql);
    return rc;
}

/* The one value of the first row; fallback when there is none. */
static int read_number(duckdb_connection connection, const char *sql, int64_t fallback, int64_t *out,
                       struct err *err)
{
    duckdb_result result;
    int rc = 0;
    *out = fallback;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess) {
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    } else {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        if (chunk != NULL && duckdb_data_chunk_get_size(chunk) > 0)
            *out = *(int64_t *)duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

int schema_ensure(duckdb_connection connection, struct err *err)
{
    int64_t tables, version, columns;
    int rc = read_number(connection, "SELECT count(*) FROM duckdb_tables()", 0, &tables, err);
    if (rc == 0 && tables == 0)
        return create(connection, err);
    if (rc == 0)
        rc = read_number(connection, "SELECT version::BIGINT FROM loaded", 0, &version, err);
    if (rc == 0)
        rc = read_number(connection, "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'events'", 0,
                         &columns, err);
    if (rc == 0 && (version != SCHEMA_VERSION || columns != COLUMN_COUNT))
        return err_set(err, ERR_VERSION,
                       "the store has schema version %lld with %lld columns, this release knows version %d "
                       "with %d: run the "
                       "release that wrote it, or move the store's directory away (what the journal holds is "
                       "read again)",
                       (long long)version, (long long)columns, SCHEMA_VERSION, COLUMN_COUNT);
    return rc;
}
