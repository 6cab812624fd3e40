/* SPDX-License-Identifier: Apache-2.0
 *
 * compare: which earlier period a question's range is held against. Of the query room only. Pure.
 */
#ifndef QUERY_COMPARE_H
#define QUERY_COMPARE_H

#include "query/query.h"

/* what: "previous", "week", "year" or a time (query/when.h) at which the other period begins. Needs the
 * question's range, interval and zone; sets compares, before_from, before_to. ERR_INVALID. */
MUST_CHECK int compare_open(struct query *query, const char *what, int64_t now_us, struct err *err);

#endif
