/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket: what parse and the last check need of the buckets. Of the query room only.
 */
#ifndef QUERY_BUCKET_H
#define QUERY_BUCKET_H

#include "query/query.h"
#include "query/zone.h"

/* Makes the pieces of a question with a zone, once its range and interval are known. ERR_LIMIT,
 * ERR_NO_MEMORY. */
MUST_CHECK int bucket_open(struct query *query, struct err *err);

/* Interval, first day and how many buckets there are. ERR_INVALID, ERR_LIMIT. */
MUST_CHECK int bucket_check(const struct query *query, struct err *err);

#endif
