/* SPDX-License-Identifier: Apache-2.0
 *
 * fill: events → one data chunk, column by column, with the texts lent to DuckDB (its appender copies them).
 */
#ifndef STORE_DUCKDB_FILL_H
#define STORE_DUCKDB_FILL_H

#include "event/event.h"

#include <duckdb.h>

enum { FILL_ROWS = 2048 }; /* DuckDB's vector size */

/* A chunk of the appender's column types. */
MUST_CHECK int fill_create(duckdb_appender appender, duckdb_data_chunk *out, struct err *err);

/* Replaces the chunk's rows by count (≤ FILL_ROWS) events; the rows must live until the chunk was appended.
 * ERR_ENGINE: a text is not UTF-8, or an enum has no such member. */
MUST_CHECK int fill_rows(duckdb_data_chunk chunk, const struct event *rows, size_t count, struct err *err);

#endif
