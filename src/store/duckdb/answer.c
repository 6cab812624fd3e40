/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: see answer.h. The result is complete in memory (limit bounds it) before the first row goes to the
 * sink: a slow reader must not hold a transaction open, which would keep the writer from checkpointing.
 */
#include "store/duckdb/answer.h"

#include "query/derive.h"
#include "store/duckdb/fast.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"
#include "store/duckdb/run.h"

#include <assert.h>

enum { CELLS = 1 + QUERY_DIMENSIONS + QUERY_MEASURES };

/* One column of the chunk at hand. */
struct source {
    const void *data;
    uint64_t *validity;
    enum column column;
    enum column_type type;       /* TYPE_TS also for the bucket, TYPE_U64 for measures */
    char text[QUERY_CELL_BYTES]; /* of addresses and ids */
};

static struct cell text_cell(const char *text)
{
    return (struct cell){.type = CELL_TEXT, .text = slice_of(text)};
}

static struct cell bytes_cell(struct source *source, idx_t row)
{
    struct query_value value = {0};
    layout_to_bytes(((const duckdb_uhugeint *)source->data)[row], value.ip.b);
    memcpy(value.id.b, value.ip.b, sizeof value.id.b);
    return query_cell(source->column, &value, source->text);
}

static struct cell cell_of(struct source *source, idx_t row)
{
    const void *data = source->data;
    if (source->validity != NULL && !duckdb_validity_row_is_valid(source->validity, row))
        return (struct cell){.type = CELL_NULL};
    switch (source->type) {
    case TYPE_U8:
        return (struct cell){.type = CELL_U64, .u64 = ((const uint8_t *)data)[row]};
    case TYPE_U16:
        return (struct cell){.type = CELL_U64, .u64 = ((const uint16_t *)data)[row]};
    case TYPE_U32:
        return (struct cell){.type = CELL_U64, .u64 = ((const uint32_t *)data)[row]};
    case TYPE_U64:
        return (struct cell){.type = CELL_U64, .u64 = ((const uint64_t *)data)[row]};
    case TYPE_BOOL:
        return (struct cell){.type = CELL_BOOL, .u64 = ((const bool *)data)[row]};
    case TYPE_TS:
        return (struct cell){.type = CELL_TS, .ts = ((const int64_t *)data)[row]};
    case TYPE_STAGE:
        return text_cell(event_stage_name((enum stage)((const uint8_t *)data)[row]));
    case TYPE_DIRECTION:
        return text_cell(event_direction_name((enum direction)(((const uint8_t *)data)[row] + 1)));
    case TYPE_TEXT: {
        duckdb_string_t *text = (duckdb_string_t *)data + row;
        return (struct cell){.type = CELL_TEXT,
                             .text = {duckdb_string_t_data(text), duckdb_string_t_length(*text)}};
    }
    default:
        return bytes_cell(source, row);
    }
}

static size_t open_sources(const struct query *query, duckdb_data_chunk chunk, struct source *sources)
{
    size_t count = 0;
    if (query->interval_us > 0)
        sources[count++].type = TYPE_TS;
    for (size_t i = 0; i < query->dimension_count; i++) {
        sources[count].column = query->dimensions[i];
        sources[count++].type = event_columns[query->dimensions[i]].type;
    }
    for (size_t i = 0; i < query->measure_count; i++)
        sources[count++].type = TYPE_U64;
    assert(count == duckdb_data_chunk_get_column_count(chunk));
    for (size_t i = 0; i < count; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
        sources[i].data = duckdb_vector_get_data(vector);
        sources[i].validity = duckdb_vector_get_validity(vector);
    }
    return count;
}

struct handing {
    const struct query *query;
    struct query_sink *sink;
    uint32_t rows;
};

static int compile_question(void *arg, const char *const *parts, size_t count, struct statement *out,
                            struct err *err)
{
    const struct handing *handing = arg;
    return compile(handing->query, parts, count, out, err);
}

static int hand_chunk(void *arg, duckdb_data_chunk chunk)
{
    struct handing *handing = arg;
    struct source sources[CELLS];
    struct cell cells[CELLS];
    size_t count = open_sources(handing->query, chunk, sources);
    int rc = 0;
    for (idx_t row = 0; rc == 0 && row < duckdb_data_chunk_get_size(chunk); row++) {
        if (handing->rows == handing->query->limit) {
            handing->sink->truncated = true;
            break;
        }
        for (size_t i = 0; i < count; i++)
            cells[i] = cell_of(&sources[i], row);
        rc = handing->sink->row(handing->sink->arg, cells, count);
        handing->rows++;
    }
    return rc;
}

static int hand_over(struct pool *pool, struct pool_slot *slot, duckdb_result result,
                     const struct asking *asking, struct err *err)
{
    int rc = 0;
    while (rc == 0) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        if (chunk == NULL)
            break;
        rc = pool_verdict(pool, slot);
        if (rc == 0)
            rc = asking->chunk(asking->arg, chunk);
        duckdb_destroy_data_chunk(&chunk);
    }
    if (rc == ERR_TIMEOUT || rc == ERR_CANCELLED)
        (void)err_set(err, rc, "the question was stopped while its answer was read");
    return rc;
}

/* One transaction with the statement's execution, which ask() ends. */
static int compile_within(const struct asking *asking, duckdb_connection connection,
                          const struct snapshot *snapshot, struct statement *out, struct err *err)
{
    int rc = fault_run(connection, "BEGIN", NULL, err);
    return rc != 0
               ? rc
               : asking->compile_within(asking->arg, connection, snapshot->names, snapshot->count, out, err);
}

/* Between pool_take and pool_give. */
static int ask(struct pool *pool, struct pool_slot *slot, const struct snapshot *snapshot,
               const struct asking *asking, struct err *err)
{
    struct statement statement;
    duckdb_result result = {0};
    bool within = asking->compile_within != NULL;
    statement_init(&statement);
    int rc = within ? 0 : asking->compile(asking->arg, snapshot->names, snapshot->count, &statement, err);
    if (rc != 0)
        return rc;
    pool_begin(pool, slot);
    if (within)
        rc = compile_within(asking, slot->connection, snapshot, &statement, err);
    if (rc == 0)
        rc = run(slot->connection, &statement, &result, err);
    pool_end(pool, slot);
    if (within)
        fault_rollback(slot->connection);
    if (rc == 0)
        rc = hand_over(pool, slot, result, asking, err);
    else if (rc == ERR_CANCELLED && pool_verdict(pool, slot) == ERR_TIMEOUT)
        rc = err_set(err, ERR_TIMEOUT, "the question took longer than %lld ms; narrow its range or filters",
                     (long long)(asking->query->timeout_us / 1000));
    duckdb_destroy_result(&result);
    statement_fini(&statement);
    return rc;
}

int answer_statement(struct pool *pool, struct parts *parts, const struct asking *asking, struct err *err)
{
    const struct query *query = asking->query;
    struct pool_slot *slot;
    struct snapshot snapshot;
    uint32_t tenant = query->scope == QUERY_SCOPE_TENANT ? query->tenant : 0;
    int rc = pool_take(pool, tenant, query->timeout_us, query->cancelled, &slot, err);
    if (rc != 0)
        return rc;
    rc = parts_snapshot(parts, query->from - QUERY_MESSAGE_US, query->to + QUERY_MESSAGE_US, &snapshot, err);
    if (rc == 0) {
        rc = ask(pool, slot, &snapshot, asking, err);
        parts_release(parts, &snapshot);
    }
    pool_give(pool, slot);
    return rc;
}

/* A fast question looks at one moment: which periods are rolled, and their figures. */
static int compile_fast(void *arg, duckdb_connection connection, const char *const *parts, size_t part_count,
                        struct statement *out, struct err *err)
{
    struct handing *handing = arg;
    struct query_sink *sink = handing->sink;
    struct fast_plan plan;
    int rc = fast_compile(connection, parts, part_count, handing->query, out, &plan, &sink->fast, err);
    if (rc != 0)
        return rc;
    sink->approximate = sink->fast ? plan.approximate : 0;
    return sink->fast ? 0 : compile(handing->query, parts, part_count, out, err);
}

int answer(struct pool *pool, struct parts *parts, const struct query *query, struct query_sink *sink,
           struct err *err)
{
    struct handing handing = {.query = query, .sink = sink};
    const struct asking asking = {.query = query,
                                  .compile = compile_question,
                                  .compile_within = query->fast ? compile_fast : NULL,
                                  .chunk = hand_chunk,
                                  .arg = &handing};
    *sink = (struct query_sink){.row = sink->row, .arg = sink->arg, .totals = sink->totals};
    return answer_statement(pool, parts, &asking, err);
}
