/* SPDX-License-Identifier: Apache-2.0
 *
 * run: executes a compiled statement with its parameters bound.
 */
#ifndef STORE_DUCKDB_RUN_H
#define STORE_DUCKDB_RUN_H

#include "store/duckdb/compile.h"

#include <duckdb.h>

/* The result is complete in memory; duckdb_destroy_result in any case. The errors of fault_set. */
MUST_CHECK int run(duckdb_connection connection, const struct statement *statement, duckdb_result *result,
                   struct err *err);
/* Without looking at a result. */
MUST_CHECK int run_alone(duckdb_connection connection, const struct statement *statement, struct err *err);

#endif
