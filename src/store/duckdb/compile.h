/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: struct query → one SQL statement with bound parameters. Every name in the text comes from our own
 * tables (columns.def, measures.def); what came from outside goes into params only. Each read of events takes
 * its conditions from query_conditions, the tenant's first. Pure.
 */
#ifndef STORE_DUCKDB_COMPILE_H
#define STORE_DUCKDB_COMPILE_H

#include "query/query.h"

/* A value for $1, $2, …; by type: u64 for numbers and BOOL, ts, bytes for IP and ID128, text for TEXT and
 * enums. */
struct param {
    enum column_type type;
    uint64_t u64;
    int64_t ts;
    uint8_t bytes[16];
    struct slice text; /* the query's, or static */
};

struct statement {
    struct buf sql;       /* NUL-terminated */
    struct param *params; /* owned */
    size_t param_count, param_room;
};

/* A checked question about the rows of the parts that are attached under these names. The statement answers
 * with time (BIGINT, when there are buckets), dimensions, measures (UBIGINT), at most limit + 1 rows.
 * ERR_DENIED (no scope), ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int compile(const struct query *query, const char *const *parts, size_t part_count,
                       struct statement *out, struct err *err);
/* The same as a part of a larger statement, which has begun with compiler_parts: appends "(WITH … SELECT …)"
 * with all groups, and no order among them. The columns: b, d0 …, m0 …. ERR_DENIED, ERR_LIMIT, ERR_NO_MEMORY.
 */
MUST_CHECK int compile_groups(const struct query *query, struct statement *out);
/* Likewise the different values that the one measure counts: b, d0 …, v0. */
MUST_CHECK int compile_values(const struct query *query, struct statement *out);
/* Likewise the messages that each group counts, with their sizes: b, d0 …, message_id, size. Measures:
 * messages, bytes. */
MUST_CHECK int compile_messages(const struct query *query, struct statement *out);

void statement_init(struct statement *statement);
MUST_CHECK int statement_end(struct statement *statement); /* the NUL */
void statement_fini(struct statement *statement);          /* safe on zeroed memory */

#endif
