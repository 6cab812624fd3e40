/* SPDX-License-Identifier: Apache-2.0
 *
 * rollup: see rollup.h.
 */
#include "store/rollup.h"

#define HOURLY true
#define BUSY   false

static const struct rollup_cube_info cubes[] = {
    [CUBE_all] = {COLUMN_COUNT, true, true},
    [CUBE_recipients] = {COLUMN_COUNT, true, true},
    [CUBE_events] = {COLUMN_COUNT, true, false},
#define ROLLUP(id, column, when)                                                                             \
    [CUBE_##column] = {COLUMN_##column, when, COLUMN_##column == COLUMN_direction},
#define ROLLUP_DISTINCT(measure)
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
};
_Static_assert(sizeof cubes / sizeof *cubes == ROLLUP_CUBES, "ROLLUP_CUBES is one more than the last id");

const enum measure rollup_distincts[ROLLUP_DISTINCTS] = {
#define ROLLUP(id, column, when)
#define ROLLUP_DISTINCT(measure) MEASURE_##measure,
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
};

const struct rollup_cube_info *rollup_cube_info(enum rollup_cube cube)
{
    return &cubes[cube];
}

struct query rollup_question(enum rollup_cube cube, uint32_t tenant, int64_t from, int64_t to)
{
    struct query query = {.scope = QUERY_SCOPE_TENANT,
                          .tenant = tenant,
                          .from = from,
                          .to = to,
                          .keeps_recipients = cube == CUBE_recipients,
                          .keeps_events = cube == CUBE_events,
                          .limit = QUERY_LIMIT,
                          .timeout_us = QUERY_DEFAULT_TIMEOUT_US};
    if (cubes[cube].column != COLUMN_COUNT)
        query.dimensions[query.dimension_count++] = cubes[cube].column;
    return query;
}

/* The one column that the question names; COLUMN_COUNT for none. False: there are several. */
static bool only_column(const struct query *query, enum column *out)
{
    *out = query->dimension_count > 0 ? query->dimensions[0] : COLUMN_COUNT;
    if (query->dimension_count > 1)
        return false;
    for (size_t i = 0; i < query->filter_count; i++) {
        const struct query_filter *filter = &query->filters[i];
        if (filter->kind != FILTER_TEST)
            continue;
        if (*out != COLUMN_COUNT && *out != filter->column)
            return false;
        *out = filter->column;
    }
    return true;
}

static bool cube_of(const struct query *query, enum rollup_cube *out)
{
    enum column column;
    if (!only_column(query, &column))
        return false;
    if (column == COLUMN_COUNT) {
        *out = query_about_events(query)       ? CUBE_events
               : query_about_recipients(query) ? CUBE_recipients
                                               : CUBE_all;
        return true;
    }
    for (unsigned i = CUBE_events + 1; i < ROLLUP_CUBES; i++)
        if (cubes[i].column == column) {
            struct query own = rollup_question(i, query->tenant, query->from, query->to);
            *out = i;
            return query_measure_counts(&own, MEASURE_messages) ==
                   query_measure_counts(query, MEASURE_messages);
        }
    return false;
}

/* What lies behind the top of a column has no value that a test could look at, but one that is none of those
 * listed. */
static bool filters_fit(const struct query *query)
{
    for (size_t i = 0; i < query->filter_count; i++)
        if (query->filters[i].kind == FILTER_TEST &&
            (query->filters[i].op == OP_CIDR || query->filters[i].op == OP_EMPTY))
            return false;
    return true;
}

static bool is_kept(enum measure measure)
{
    bool is = false;
    for (size_t i = 0; i < ROLLUP_DISTINCTS; i++)
        is = is || rollup_distincts[i] == measure;
    return is;
}

static bool measures_fit(const struct query *query, enum rollup_cube cube)
{
    bool bytes = false, messages = false;
    for (size_t i = 0; i < query->measure_count; i++) {
        bytes = bytes || query->measures[i] == MEASURE_bytes;
        messages = messages || query->measures[i] == MEASURE_messages;
        bool kept = cubes[cube].distinct && query->filter_count == 0 && is_kept(query->measures[i]);
        if (query->measures[i] > MEASURE_bytes && !kept)
            return false;
    }
    return query->measure_count + (bytes && !messages) <= QUERY_MEASURES;
}

/* Does every bucket consist of whole hours of UTC? */
static bool buckets_fit(const struct query *query)
{
    size_t count;
    const struct query_piece *pieces = query_pieces(query, &count);
    if (query->interval_us == 0)
        return true;
    if (query->interval_us % ROLLUP_HOUR_US != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (pieces[i].offset_us % ROLLUP_HOUR_US != 0 ||
            (i > 0 && (pieces[i].begin % ROLLUP_HOUR_US != 0 || pieces[i].first % ROLLUP_HOUR_US != 0)))
            return false;
    return true;
}

bool rollup_answers(const struct query *query, enum rollup_cube *cube)
{
    return query->scope == QUERY_SCOPE_TENANT && cube_of(query, cube) && filters_fit(query) &&
           measures_fit(query, *cube) && buckets_fit(query);
}

/* One value at most is asked for. */
static bool is_one_value(const struct query *query)
{
    const struct query_filter *filter = &query->filters[0];
    return query->filter_count == 1 && filter->kind == FILTER_TEST &&
           (filter->op == OP_EQ || filter->op == OP_IN) && filter->value_count == 1;
}

uint32_t rollup_overcounts(const struct query *query, enum rollup_cube cube)
{
    uint32_t measures = 0;
    if (cubes[cube].column == COLUMN_COUNT || query->dimension_count > 0 || is_one_value(query) ||
        query_measure_counts(query, MEASURE_messages) == COUNTS_FIRST)
        return 0;
    for (size_t i = 0; i < query->measure_count; i++)
        if (query->measures[i] == MEASURE_messages || query->measures[i] == MEASURE_bytes)
            measures |= 1U << i;
    return measures;
}
