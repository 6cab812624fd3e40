/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: the tables of a database file, made from columns.def. `events` has the columns of struct event in
 * their order; `loaded` has one row: the cursor and the number of rows stored, written in the rows'
 * transaction.
 */
#ifndef STORE_DUCKDB_SCHEMA_H
#define STORE_DUCKDB_SCHEMA_H

#include "event/event.h"

#include <duckdb.h>

enum { SCHEMA_VERSION = 1 };

/* Makes the tables in a new file; in an old one checks that they are those of this release (ERR_VERSION). */
MUST_CHECK int schema_ensure(duckdb_connection connection, struct err *err);

/* 128-bit values keep their byte order as numbers, so that networks are ranges. */
duckdb_uhugeint schema_from_bytes(const uint8_t bytes[16]);
void schema_to_bytes(duckdb_uhugeint value, uint8_t bytes[16]);

#endif
