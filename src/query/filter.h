/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: the "where" of a question: which operator fits which column, with how many values. Of the query
 * room only. Pure.
 */
#ifndef QUERY_FILTER_H
#define QUERY_FILTER_H

#include "query/value.h"

/* Reads the array "where" into query: tests {column, op, values} and groups {"and": […]}, {"or": […]},
 * {"not": filter} (values and text are allocated here; json_bytes bounds the texts).
 * ERR_INVALID, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int filter_parse_all(const json_t *where, size_t json_bytes, struct query *query, struct err *err);

/* All filters of a finished question: groups and their depth, operators, numbers of values and their bounds.
 * ERR_INVALID, ERR_LIMIT. */
MUST_CHECK int filter_check(const struct query *query, struct err *err);

/* The column that a JSON string names; the error (ERR_INVALID) names all columns. */
MUST_CHECK int filter_column(const json_t *json, const char *name, enum column *out, struct err *err);

#endif
