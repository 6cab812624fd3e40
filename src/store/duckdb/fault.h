/* SPDX-License-Identifier: Apache-2.0
 *
 * fault: what DuckDB says went wrong → an error code of ours. Pure.
 */
#ifndef STORE_DUCKDB_FAULT_H
#define STORE_DUCKDB_FAULT_H

#include "base/err.h"

#include <duckdb.h>

/* Fills *err (may be NULL) from type and text (may be NULL; one line of it is kept) and returns the code:
 * ERR_FULL (disk), ERR_LIMIT (memory), ERR_CANCELLED (interrupted), ERR_BUSY (another process has the file),
 * ERR_DENIED, ERR_VERSION (written by a newer DuckDB), else ERR_ENGINE. */
int fault_set(struct err *err, duckdb_error_type type, const char *what, const char *text);

/* True when the database object refuses everything from now on and has to be opened again. */
bool fault_is_fatal(duckdb_error_type type, const char *text);

/* Of an error that was ERR_ENGINE: is it that bytes of a file are not those that were written? DuckDB has a
 * checksum for each block. */
bool fault_is_damage(const struct err *err);

/* Whatever transaction there is ends. */
void fault_rollback(duckdb_connection connection);

/* Runs one statement without result. */
MUST_CHECK int fault_run(duckdb_connection connection, const char *sql, bool *fatal, struct err *err);

#endif
