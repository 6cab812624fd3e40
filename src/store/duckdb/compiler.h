/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler: what compile.c, condition.c and derived.c share while they write one statement.
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

/* Binds a value and writes its "$n". */
void compiler_param(struct compiler *c, struct param param);

/* A column as an expression. */
void compiler_column(struct compiler *c, enum column column);

/* " AND (…)": one condition of query_conditions. arg is the compiler; returns its rc. */
int compiler_condition(void *arg, const struct query_condition *condition);

#endif
