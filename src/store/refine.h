/* SPDX-License-Identifier: Apache-2.0
 *
 * refine: what an answer has beyond groups and measures: shares, rates, totals, empty buckets, the largest
 * values of a column and the rest. Done here once, over plain questions to whichever engine, so that all
 * engines answer alike.
 */
#ifndef STORE_REFINE_H
#define STORE_REFINE_H

#include "store/store.h"

/* As store_query, for a checked question. Asks the engine one to four questions, which share the time limit;
 * what is stored between them may make totals larger than their parts. */
MUST_CHECK int refine(struct store *store, const struct store_engine *engine, const struct query *query,
                      struct query_sink *sink, struct err *err);

#endif
