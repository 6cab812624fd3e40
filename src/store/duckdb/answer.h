/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: runs one compiled question on a connection of the pool and hands its rows to the sink. Any thread.
 */
#ifndef STORE_DUCKDB_ANSWER_H
#define STORE_DUCKDB_ANSWER_H

#include "store/duckdb/parts.h"
#include "store/duckdb/pool.h"

/* ERR_TIMEOUT, ERR_CANCELLED, ERR_BUSY, ERR_LIMIT (memory), ERR_ENGINE, or what the sink returned. */
MUST_CHECK int answer(struct pool *pool, struct parts *parts, const struct query *query,
                      struct query_sink *sink, struct err *err);

#endif
