/* SPDX-License-Identifier: Apache-2.0
 *
 * series: one of the largest groups of a question, by its columns: told apart from others, asked for again,
 * and told apart from the rest. Pure.
 */
#ifndef STORE_SERIES_H
#define STORE_SERIES_H

#include "query/query.h"

struct series {
    struct query_value values[QUERY_DIMENSIONS]; /* for filters; texts are owned */
    struct cell cells[QUERY_DIMENSIONS];         /* for rows; likewise */
    uint64_t measures[QUERY_MEASURES];           /* of the bucket at hand */
};

/* From the cells of the question's columns. Texts are copied. Needs series_fini whatever it answers.
 * ERR_NO_MEMORY. */
MUST_CHECK int series_take(struct series *series, const struct query *query, const struct cell *cells);
void series_fini(struct series *series);

bool series_is(const struct series *series, const struct query *query, const struct cell *cells);

/* Adds one more filter to part, a copy of query or of what is left of it: the columns are those of one of the
 * series, or of none. part->values is malloc'd anew, its texts stay the series'. ERR_NO_MEMORY. */
MUST_CHECK int series_filter(const struct series *series, size_t count, const struct query *query, bool none,
                             struct query *part);

#endif
