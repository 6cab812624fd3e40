/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: runs one compiled question on a connection of the pool and hands its rows to the sink. Any thread.
 */
#ifndef STORE_DUCKDB_ANSWER_H
#define STORE_DUCKDB_ANSWER_H

#include "store/duckdb/compile.h"
#include "store/duckdb/parts.h"
#include "store/duckdb/pool.h"

/* ERR_TIMEOUT, ERR_CANCELLED, ERR_BUSY, ERR_LIMIT (memory), ERR_ENGINE, or what the sink returned. */
MUST_CHECK int answer(struct pool *pool, struct parts *parts, const struct query *query,
                      struct query_sink *sink, struct err *err);

/* A statement of one's own, about the rows of the parts around the question's range: its text, and each chunk
 * of its result; what chunk returns ends it. The question gives its time limit and may be cancelled. */
struct asking {
    const struct query *query;
    int (*compile)(void *arg, const char *const *parts, size_t part_count, struct statement *out,
                   struct err *err);
    /* Instead of compile, or NULL: looks at the database first, in one transaction with the statement. */
    int (*compile_within)(void *arg, duckdb_connection connection, const char *const *parts,
                          size_t part_count, struct statement *out, struct err *err);
    int (*chunk)(void *arg, duckdb_data_chunk chunk);
    void *arg;
};
MUST_CHECK int answer_statement(struct pool *pool, struct parts *parts, const struct asking *asking,
                                struct err *err);

#endif
