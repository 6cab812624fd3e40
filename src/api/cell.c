/* SPDX-License-Identifier: Apache-2.0
 *
 * cell: see cell.h.
 */
#include "cell.h"

#include "field.h"
#include "query/derive.h"

int cell_write(struct buf *out, const struct cell *cell)
{
    char time[CLOCK_TEXT_BYTES];
    switch (cell->type) {
    case CELL_U64:
        return buf_addf(out, "%llu", (unsigned long long)cell->u64);
    case CELL_F64:
        return buf_addf(out, "%.17g", cell->f64);
    case CELL_TS:
        clock_format(cell->ts, time);
        return buf_addf(out, "\"%s\"", time);
    case CELL_TEXT:
        return field_write(out, cell->text);
    case CELL_BOOL:
        return buf_addf(out, cell->u64 != 0 ? "true" : "false");
    default:
        return buf_addf(out, "null");
    }
}

int cell_write_event(struct buf *out, const struct query *query, const struct event *event,
                     const enum column *columns, size_t count, bool sparse)
{
    const char *before = "{";
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        char text[QUERY_CELL_BYTES];
        struct query_value value;
        query_value_of(query, event, columns[i], &value);
        if (sparse && value.absent)
            continue;
        struct cell cell = query_cell(columns[i], &value, text);
        rc = buf_addf(out, "%s\"%s\":", before, event_columns[columns[i]].name);
        if (rc == 0)
            rc = cell_write(out, &cell);
        before = ",";
    }
    return rc != 0 ? rc : buf_addf(out, before[0] == '{' ? "{}" : "}");
}
