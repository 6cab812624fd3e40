/* SPDX-License-Identifier: Apache-2.0
 *
 * figures: see figures.h.
 */
#include "store/figures.h"

static double as_double(const struct cell *cell)
{
    return cell->type == CELL_F64 ? cell->f64 : (double)cell->u64;
}

static struct cell figure_of(const struct query_figure *figure, const struct figures *of)
{
    static const double per[] = {[FIGURE_PER_SECOND] = 1, [FIGURE_PER_MINUTE] = 60, [FIGURE_PER_HOUR] = 3600};
    struct cell cell = {.type = CELL_F64};
    if (of->values == NULL)
        return (struct cell){.type = CELL_NULL};
    uint64_t value = of->values[figure->measure], total = of->totals[figure->measure];
    if (figure->kind == FIGURE_PLAIN)
        return (struct cell){.type = CELL_U64, .u64 = value};
    if (figure->kind == FIGURE_SHARE)
        cell.f64 = total > 0 ? (double)value / (double)total : 0;
    else
        cell.f64 = of->seconds > 0 ? (double)value * per[figure->kind] / of->seconds : 0;
    return cell;
}

/* By which part of what it was it grew; nothing can be said of what was nothing. */
static struct cell change_of(const struct cell *now, const struct cell *before)
{
    double was = as_double(before);
    if (now->type == CELL_NULL || before->type == CELL_NULL || was == 0)
        return (struct cell){.type = CELL_NULL};
    return (struct cell){.type = CELL_F64, .f64 = (as_double(now) - was) / was};
}

size_t figures_write(const struct query *query, const struct figures *now, const struct figures *before,
                     struct cell *out)
{
    size_t n = 0;
    for (size_t i = 0; i < query->figure_count; i++) {
        struct cell is = figure_of(&query->figures[i], now), was;
        out[n++] = is;
        if (!query->compares)
            continue;
        was = figure_of(&query->figures[i], before);
        out[n++] = was;
        out[n++] = change_of(&is, &was);
    }
    return n;
}
