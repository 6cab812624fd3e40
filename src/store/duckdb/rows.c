/* SPDX-License-Identifier: Apache-2.0
 *
 * rows: see rows.h. One small function for each column type; which column has which comes from columns.def.
 */
#include "store/duckdb/rows.h"

#include "store/duckdb/layout.h"

#include <assert.h>

#define ROW_NUMBER(suffix, ctype)                                                                            \
    static void row_##suffix(const void *data, idx_t row, void *field)                                       \
    {                                                                                                        \
        memcpy(field, (const ctype *)data + row, sizeof(ctype));                                             \
    }
ROW_NUMBER(BOOL, bool)
ROW_NUMBER(U16, uint16_t)
ROW_NUMBER(U32, uint32_t)
ROW_NUMBER(U64, uint64_t)
ROW_NUMBER(TS, int64_t)
ROW_NUMBER(STAGE, uint8_t)

static void row_DIRECTION(const void *data, idx_t row, void *field)
{
    *(event_direction *)field = (event_direction)(((const uint8_t *)data)[row] + 1);
}

static void row_ID128(const void *data, idx_t row, void *field)
{
    layout_to_bytes(((const duckdb_uhugeint *)data)[row], field);
}

static void row_IP(const void *data, idx_t row, void *field)
{
    row_ID128(data, row, field);
}

static void row_TEXT(const void *data, idx_t row, void *field)
{
    duckdb_string_t *text = (duckdb_string_t *)data + row;
    *(struct slice *)field = (struct slice){duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

static void (*const readers[COLUMN_COUNT])(const void *data, idx_t row, void *field) = {
#define COLUMN(name, type, absent, source, doc) row_##type,
#include "event/columns.def"
#undef COLUMN
};

struct source {
    enum column column;
    const void *data;
    uint64_t *validity;
};

static size_t open_sources(duckdb_data_chunk chunk, uint64_t columns, struct source *sources)
{
    size_t count = 0;
    for (unsigned column = 0; column < COLUMN_COUNT; column++) {
        if ((columns & UINT64_C(1) << column) == 0)
            continue;
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, count);
        sources[count++] = (struct source){.column = column,
                                           .data = duckdb_vector_get_data(vector),
                                           .validity = duckdb_vector_get_validity(vector)};
    }
    assert(count == duckdb_data_chunk_get_column_count(chunk));
    return count;
}

int rows_each(duckdb_data_chunk chunk, uint64_t columns, int (*each)(void *arg, const struct event *event),
              void *arg)
{
    struct source sources[COLUMN_COUNT];
    size_t count = open_sources(chunk, columns, sources);
    int rc = 0;
    for (idx_t row = 0; rc == 0 && row < duckdb_data_chunk_get_size(chunk); row++) {
        struct event event = {0};
        for (size_t i = 0; i < count; i++) {
            const struct source *source = &sources[i];
            if (source->validity == NULL || duckdb_validity_row_is_valid(source->validity, row))
                readers[source->column](source->data, row,
                                        (char *)&event + event_columns[source->column].offset);
        }
        rc = each(arg, &event);
    }
    return rc;
}
