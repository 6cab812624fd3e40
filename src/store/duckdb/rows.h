/* SPDX-License-Identifier: Apache-2.0
 *
 * rows: one data chunk of columns of events → events, with the texts lent from DuckDB: fill's mirror image.
 */
#ifndef STORE_DUCKDB_ROWS_H
#define STORE_DUCKDB_ROWS_H

#include "event/event.h"

#include <duckdb.h>

/* The chunk's columns are those whose bit (1 << enum column) is set, in the order of enum column. each() gets
 * every row in turn, valid during the call; other fields are absent. Stops at its first non-zero answer and
 * returns it. */
MUST_CHECK int rows_each(duckdb_data_chunk chunk, uint64_t columns,
                         int (*each)(void *arg, const struct event *event), void *arg);

#endif
