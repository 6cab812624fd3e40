/* SPDX-License-Identifier: Apache-2.0
 *
 * series: see series.h.
 */
#include "store/series.h"

#include <stdlib.h>

static int copy_text(struct slice text, struct slice *out)
{
    *out = (struct slice){malloc(text.n + 1), text.n};
    if (out->p == NULL)
        return ERR_NO_MEMORY;
    memcpy((char *)out->p, text.p, text.n);
    return 0;
}

/* What a filter would have to say to find that cell again. Texts are copied. */
static int value_of(enum column column, const struct cell *cell, struct query_value *out)
{
    enum direction direction = DIRECTION_ABSENT;
    enum stage stage = STAGE_OTHER;
    int rc = 0;
    *out = (struct query_value){.absent = cell->type == CELL_NULL, .u64 = cell->u64, .ts = cell->ts};
    if (cell->type != CELL_TEXT)
        return 0;
    switch (event_columns[column].type) {
    case TYPE_IP:
        return ip_parse(cell->text, &out->ip);
    case TYPE_NETWORK:
        rc = ip_prefix_parse(cell->text, &out->prefix);
        out->ip = out->prefix.net;
        return rc;
    case TYPE_ID128:
        return text_from_hex(cell->text, out->id.b, sizeof out->id.b);
    case TYPE_STAGE:
        rc = event_stage_parse(cell->text, &stage);
        out->u64 = (uint64_t)stage;
        return rc;
    case TYPE_DIRECTION:
        rc = event_direction_parse(cell->text, &direction);
        out->u64 = (uint64_t)direction;
        return rc;
    default:
        return copy_text(cell->text, &out->text);
    }
}

int series_take(struct series *series, const struct query *query, const struct cell *cells)
{
    int rc = 0;
    *series = (struct series){0};
    for (size_t i = 0; rc == 0 && i < query->dimension_count; i++) {
        rc = value_of(query->dimensions[i], &cells[i], &series->values[i]);
        series->cells[i] = cells[i];
        series->cells[i].text = (struct slice){NULL, 0};
        if (rc == 0 && cells[i].type == CELL_TEXT)
            rc = copy_text(cells[i].text, &series->cells[i].text);
    }
    return rc;
}

void series_fini(struct series *series)
{
    for (size_t i = 0; i < QUERY_DIMENSIONS; i++) {
        free((char *)series->values[i].text.p);
        free((char *)series->cells[i].text.p);
    }
    *series = (struct series){0};
}

bool series_is(const struct series *series, const struct query *query, const struct cell *cells)
{
    bool same = true;
    for (size_t i = 0; same && i < query->dimension_count; i++) {
        const struct cell *a = &series->cells[i], *b = &cells[i];
        same = a->type == b->type &&
               (a->type == CELL_TEXT ? slice_equal(a->text, b->text) : a->u64 == b->u64 && a->ts == b->ts);
    }
    return same;
}

/* Of one column: it is one of the series'. */
static void add_list(const struct series *series, size_t count, const struct query *query, struct query *part)
{
    for (size_t i = 0; i < count; i++)
        part->values[part->value_count + i] = series[i].values[0];
    part->filters[part->filter_count++] = (struct query_filter){
        .column = query->dimensions[0], .op = OP_IN, .first_value = part->value_count, .value_count = count};
    part->value_count += count;
}

/* Of several: all of them are those of one series. */
static void add_any(const struct series *series, size_t count, const struct query *query, struct query *part)
{
    size_t columns = query->dimension_count;
    part->filters[part->filter_count++] =
        (struct query_filter){.kind = FILTER_OR, .span = count * (1 + columns)};
    for (size_t i = 0; i < count; i++) {
        part->filters[part->filter_count++] = (struct query_filter){.kind = FILTER_AND, .span = columns};
        for (size_t k = 0; k < columns; k++) {
            part->values[part->value_count] = series[i].values[k];
            part->filters[part->filter_count++] = (struct query_filter){.column = query->dimensions[k],
                                                                        .op = OP_EQ,
                                                                        .first_value = part->value_count++,
                                                                        .value_count = 1};
        }
    }
}

int series_filter(const struct series *series, size_t count, const struct query *query, bool none,
                  struct query *part)
{
    size_t columns = query->dimension_count, at = part->filter_count;
    struct query_value *values = calloc(query->value_count + count * columns + 1, sizeof *values);
    if (values == NULL)
        return ERR_NO_MEMORY;
    if (query->value_count > 0)
        memcpy(values, query->values, query->value_count * sizeof *values);
    part->values = values;
    part->filter_count += none;
    if (columns == 1)
        add_list(series, count, query, part);
    else
        add_any(series, count, query, part);
    if (none)
        part->filters[at] = (struct query_filter){.kind = FILTER_NOT, .span = part->filter_count - at - 1};
    return 0;
}
