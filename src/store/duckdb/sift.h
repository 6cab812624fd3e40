/* SPDX-License-Identifier: Apache-2.0
 *
 * sift: what a rewriting leaves out of a part and what it changes, as SQL. `old` is the part, `before` the
 * one in front of it (if any), `scratch` a database of the rewriting's own.
 */
#ifndef STORE_DUCKDB_SIFT_H
#define STORE_DUCKDB_SIFT_H

#include "base/buf.h"
#include "store/store.h"

#include <duckdb.h>

/* Makes the tables that sift_add's text needs. Requests of `before` since hub_ts may belong to messages that
 * end in `old`. ERR_CANCELLED, or what classify answered. */
MUST_CHECK int sift_prepare(duckdb_connection connection, const struct store_rewrite *how, bool has_before,
                            int64_t since, const atomic_bool *cancelled, struct err *err);

/* "SELECT … FROM …": the rows of old.events from rowid first to before end that are left, as they will be.
 * ERR_NO_MEMORY. */
MUST_CHECK int sift_add(struct buf *sql, const struct store_rewrite *how, uint64_t first, uint64_t end);

#endif
