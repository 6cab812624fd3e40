/* SPDX-License-Identifier: Apache-2.0
 *
 * list: one stretch of a scan as a statement, and its rows. See store/scan.h.
 */
#ifndef STORE_DUCKDB_LIST_H
#define STORE_DUCKDB_LIST_H

#include "store/duckdb/compile.h"
#include "store/duckdb/parts.h"
#include "store/duckdb/pool.h"
#include "store/scan.h"

/* The statement answers with the columns of list_columns, in the order of enum column. Errors as compile.
 * Pure. */
MUST_CHECK int list_compile(const struct store_scan *scan, const char *const *parts, size_t part_count,
                            struct statement *out, struct err *err);
uint64_t list_columns(const struct store_scan *scan); /* as asked for, and those of the key */

/* Any thread. Errors as answer. */
MUST_CHECK int list_run(struct pool *pool, struct parts *parts, const struct store_scan *scan,
                        int (*row)(void *arg, const struct event *event), void *arg, struct err *err);

#endif
