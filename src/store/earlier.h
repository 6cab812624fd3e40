/* SPDX-License-Identifier: Apache-2.0
 *
 * earlier: the groups of the earlier period of a comparison, found again by the number of their bucket and
 * their columns. Keeps measures only; groups are told apart by a 128-bit hash.
 */
#ifndef STORE_EARLIER_H
#define STORE_EARLIER_H

#include "query/query.h"

struct earlier;

/* Both questions live as long as it does. ERR_NO_MEMORY. */
MUST_CHECK int earlier_create(struct earlier **out, const struct query *now, const struct query *before,
                              struct err *err);
void earlier_destroy(struct earlier **earlier); /* safe on NULL */

/* A row as the engine answers before: bucket, columns, measures; is_rest: without columns. ERR_NO_MEMORY. */
MUST_CHECK int earlier_put(struct earlier *earlier, const struct cell *cells, bool is_rest);
/* The measures of the group that stands where that one of now does; NULL: there was none. */
const uint64_t *earlier_find(const struct earlier *earlier, const struct cell *keys, bool is_rest);
/* Seconds of the earlier bucket that stands where that one of now does, as far as the period reaches; of the
 * whole period without buckets. 0: there is none. */
double earlier_seconds(const struct earlier *earlier, const struct cell *keys);

#endif
