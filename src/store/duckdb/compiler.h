/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler: what compile.c, list.c, fast_sql.c, condition.c and derived.c share while they write one
 * statement.
 */
#ifndef STORE_DUCKDB_COMPILER_H
#define STORE_DUCKDB_COMPILER_H

#include "store/duckdb/compile.h"

/* Text goes through add(): the first failure sticks in rc, later calls do nothing. */
struct compiler {
    const struct query *query;
    struct statement *out;
    int rc;
    bool has_bytes, distinct_bytes;
    size_t bytes; /* which measure, when there is one */
    size_t keys;  /* bucket and dimensions */
};

#define add(c, ...) ((c)->rc = (c)->rc != 0 ? (c)->rc : buf_addf(&(c)->out->sql, __VA_ARGS__))

/* Of a question whose text goes into a statement that was begun already (statement_init). */
struct compiler compiler_of(const struct query *query, struct statement *out);

/* "… AS b, " from a column u (microseconds). */
void compiler_bucket(struct compiler *c);
/* " ORDER BY … LIMIT …" of an answer's columns. */
void compiler_order(struct compiler *c);

/* Binds a value and writes its "$n". */
void compiler_param(struct compiler *c, struct param param);

/* Begins the statement's text; ends it, and answers as compile does. */
void compiler_begin(struct compiler *c);
MUST_CHECK int compiler_end(struct compiler *c, struct err *err);

/* "WITH events AS …": the rows of all those parts. First in a statement. */
void compiler_parts(struct compiler *c, const char *const *parts, size_t count);

/* " FROM … WHERE …": the one place that reads events, with the conditions of c->query. */
void compiler_events(struct compiler *c, enum query_rows rows);

/* A column as an expression. */
void compiler_column(struct compiler *c, enum column column);

/* " AND (…)": one condition of query_conditions. arg is the compiler; returns its rc. */
int compiler_condition(void *arg, const struct query_condition *condition);

#endif
