/* SPDX-License-Identifier: Apache-2.0
 *
 * fill: see fill.h. One small function for each column type; which column has which comes from columns.def.
 */
#include "store/duckdb/fill.h"

#include "store/duckdb/layout.h"

#include <assert.h>

/* One column of the chunk being filled. */
struct target {
    void *data;
    uint64_t *validity; /* NULL for columns that are never absent */
    const char *name;
    struct err *err;
};

static void set_null(struct target *target, size_t row)
{
    target->validity[row / 64] &= ~(UINT64_C(1) << row % 64);
}

/* Numbers: copied as they are; 0 is NULL where the column can be absent. */
#define FILL_NUMBER(suffix, ctype)                                                                           \
    static int fill_##suffix(struct target *target, const char *field, size_t count)                         \
    {                                                                                                        \
        ctype *out = target->data;                                                                           \
        for (size_t i = 0; i < count; i++, field += sizeof(struct event)) {                                  \
            memcpy(&out[i], field, sizeof out[i]);                                                           \
            if (target->validity != NULL && out[i] == 0)                                                     \
                set_null(target, i);                                                                         \
        }                                                                                                    \
        return 0;                                                                                            \
    }
FILL_NUMBER(U16, uint16_t)
FILL_NUMBER(U32, uint32_t)
FILL_NUMBER(U64, uint64_t)
FILL_NUMBER(TS, int64_t)

static int fill_BOOL(struct target *target, const char *field, size_t count)
{
    bool *out = target->data;
    for (size_t i = 0; i < count; i++, field += sizeof(struct event))
        out[i] = *(const bool *)field;
    return 0;
}

static int fill_ID128(struct target *target, const char *field, size_t count)
{
    duckdb_uhugeint *out = target->data;
    for (size_t i = 0; i < count; i++, field += sizeof(struct event)) {
        out[i] = layout_from_bytes((const uint8_t *)field);
        if (target->validity != NULL && out[i].upper == 0 && out[i].lower == 0)
            set_null(target, i);
    }
    return 0;
}

static int fill_IP(struct target *target, const char *field, size_t count)
{
    return fill_ID128(target, field, count); /* both are 16 bytes in network order */
}

static int fill_enum(struct target *target, const char *field, size_t count, unsigned first, unsigned end)
{
    uint8_t *out = target->data;
    for (size_t i = 0; i < count; i++, field += sizeof(struct event)) {
        uint8_t value = *(const uint8_t *)field;
        if (value >= end)
            return err_set(target->err, ERR_ENGINE, "%s has no member %u", target->name, value);
        out[i] = (uint8_t)(value - first);
        if (value < first) {
            out[i] = 0;
            set_null(target, i);
        }
    }
    return 0;
}

static int fill_STAGE(struct target *target, const char *field, size_t count)
{
    return fill_enum(target, field, count, 0, STAGE_COUNT);
}

static int fill_DIRECTION(struct target *target, const char *field, size_t count)
{
    return fill_enum(target, field, count, 1, DIRECTION_COUNT);
}

static int fill_TEXT(struct target *target, const char *field, size_t count)
{
    duckdb_string_t *out = target->data;
    for (size_t i = 0; i < count; i++, field += sizeof(struct event)) {
        const struct slice *text = (const struct slice *)field;
        out[i] = (duckdb_string_t){0};
        if (text->n == 0 && target->validity != NULL) {
            set_null(target, i);
            continue;
        }
        if (!text_is_utf8(*text) || text->n > UINT32_MAX)
            return err_set(target->err, ERR_ENGINE, "%s of row %zu is not UTF-8", target->name, i);
        out[i].value.inlined.length = (uint32_t)text->n;
        if (text->n <= sizeof out[i].value.inlined.inlined) {
            memcpy(out[i].value.inlined.inlined, text->p, text->n);
        } else {
            memcpy(out[i].value.pointer.prefix, text->p, sizeof out[i].value.pointer.prefix);
            out[i].value.pointer.ptr = (char *)text->p;
        }
    }
    return 0;
}

static int (*const fillers[COLUMN_COUNT])(struct target *target, const char *field, size_t count) = {
#define COLUMN(name, type, absent, source, doc) fill_##type,
#include "event/columns.def"
#undef COLUMN
};

int fill_create(duckdb_appender appender, duckdb_data_chunk *out, struct err *err)
{
    duckdb_logical_type types[COLUMN_COUNT];
    assert(duckdb_vector_size() == FILL_ROWS);
    if (duckdb_appender_column_count(appender) != COLUMN_COUNT)
        return err_set(err, ERR_VERSION, "the store's table has other columns than this release");
    for (idx_t i = 0; i < COLUMN_COUNT; i++)
        types[i] = duckdb_appender_column_type(appender, i);
    *out = duckdb_create_data_chunk(types, COLUMN_COUNT);
    for (idx_t i = 0; i < COLUMN_COUNT; i++)
        duckdb_destroy_logical_type(&types[i]);
    return *out == NULL ? err_set(err, ERR_NO_MEMORY, "out of memory") : 0;
}

int fill_rows(duckdb_data_chunk chunk, const struct event *rows, size_t count, struct err *err)
{
    assert(count <= FILL_ROWS);
    duckdb_data_chunk_reset(chunk);
    for (idx_t i = 0; i < COLUMN_COUNT; i++) {
        const struct column_info *info = &event_columns[i];
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, i);
        struct target target = {duckdb_vector_get_data(vector), NULL, info->name, err};
        if (info->nullable) {
            duckdb_vector_ensure_validity_writable(vector);
            target.validity = duckdb_vector_get_validity(vector);
        }
        int rc = fillers[i](&target, (const char *)rows + info->offset, count);
        if (rc != 0)
            return rc;
    }
    duckdb_data_chunk_set_size(chunk, count);
    return 0;
}
