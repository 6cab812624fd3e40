/* SPDX-License-Identifier: Apache-2.0
 *
 * rollup: which roll-ups there are, and which questions they can answer: the one place that decides it. A
 * cube holds, for each tenant and period (an hour, or a day of UTC), the measures by the values of one
 * column, or of everything together. What messages count depends on the columns that a question names
 * (query_measure_counts), so "everything" is there three times. Knows no engine. Pure.
 */
#ifndef STORE_ROLLUP_H
#define STORE_ROLLUP_H

#include "query/query.h"

#define ROLLUP_HOUR_US (3600 * US_PER_SECOND)
#define ROLLUP_DAY_US  (24 * ROLLUP_HOUR_US)

enum rollup_cube {
    CUBE_all = 0,        /* messages by their first event */
    CUBE_recipients = 1, /* by events that stand for a recipient */
    CUBE_events = 2,     /* by all events of the transaction */
#define ROLLUP(id, column, when) CUBE_##column = (id),
#define ROLLUP_DISTINCT(measure)
#include "store/rollup.def"
#undef ROLLUP
#undef ROLLUP_DISTINCT
};
enum { ROLLUP_CUBES = 15, ROLLUP_DISTINCTS = 6 };

extern const enum measure rollup_distincts[ROLLUP_DISTINCTS];

struct rollup_cube_info {
    enum column column; /* COLUMN_COUNT: of everything */
    bool hourly;        /* kept for each hour, not only for those with many events */
    bool distinct;      /* counts different values as well */
};
const struct rollup_cube_info *rollup_cube_info(enum rollup_cube cube);

/* The plain question (one tenant's, no figures looked at) that a cube's rows of [from, to) answer: by its
 * column, with the measures given. */
struct query rollup_question(enum rollup_cube cube, uint32_t tenant, int64_t from, int64_t to);

/* Can roll-ups answer that checked question? One tenant's; at most one column, which has a cube, grouped by
 * or filtered by for its value; whole hours for buckets. What counts different values: only without a column,
 * or by direction. */
bool rollup_answers(const struct query *query, enum rollup_cube *cube);

/* Which of the measures (bits) would be sums of what doesn't add up: messages that have recipients of several
 * of the values that are put together. */
uint32_t rollup_overcounts(const struct query *query, enum rollup_cube cube);

#endif
