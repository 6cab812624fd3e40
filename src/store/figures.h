/* SPDX-License-Identifier: Apache-2.0
 *
 * figures: what an answer shows of measures: shares, rates, and the same of an earlier period beside. Pure.
 */
#ifndef STORE_FIGURES_H
#define STORE_FIGURES_H

#include "query/query.h"

/* One row's measures, or the totals', and what they are held against. */
struct figures {
    const uint64_t *values; /* NULL: not known */
    const uint64_t *totals;
    double seconds; /* of the bucket or the range */
};

/* The cells of all figures of the question, as its columns say; before only where it compares. Returns how
 * many. */
size_t figures_write(const struct query *query, const struct figures *now, const struct figures *before,
                     struct cell *out);

#endif
