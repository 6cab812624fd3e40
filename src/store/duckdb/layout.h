/* SPDX-License-Identifier: Apache-2.0
 *
 * layout: the tables of a part's file, made from columns.def. `events` has the columns of struct event in
 * their order; `part` has one row, which says what the file is and what is in it (struct store_part) and is
 * written in the rows' transaction. The file is attached under a name of its own.
 */
#ifndef STORE_DUCKDB_LAYOUT_H
#define STORE_DUCKDB_LAYOUT_H

#include "store/store.h"

#include <duckdb.h>

enum { LAYOUT_VERSION = 2 };

/* Makes the tables and the row, in one transaction. */
MUST_CHECK int layout_create(duckdb_connection connection, const char *name, const struct store_part *part,
                             struct err *err);

/* Which version a file has; 0: it has no tables of ours. ERR_ENGINE (also damage). */
MUST_CHECK int layout_version(duckdb_connection connection, const char *name, int64_t *version,
                              struct err *err);
/* From that version to LAYOUT_VERSION, a transaction for each step: kill -9 leaves a file of one version or
 * the next. ERR_VERSION: written by a newer release, or this release knows no way from there; ERR_CORRUPT: a
 * step failed. */
MUST_CHECK int layout_migrate(duckdb_connection connection, const char *name, int64_t version,
                              struct err *err);

/* The row; bytes stays 0. read also holds the columns of `events` against columns.def (ERR_VERSION). write is
 * part of the transaction that is open. */
MUST_CHECK int layout_read(duckdb_connection connection, const char *name, struct store_part *out,
                           struct err *err);
MUST_CHECK int layout_write(duckdb_connection connection, const char *name, const struct store_part *part,
                            bool *fatal, struct err *err);

/* rows, min_ts and so on, from the rows. */
MUST_CHECK int layout_count(duckdb_connection connection, const char *name, struct store_part *out,
                            struct err *err);

/* "ENUM('in', …)" of TYPE_DIRECTION or TYPE_STAGE. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_CHECK int layout_add_enum(struct buf *sql, enum column_type type);

/* 128-bit values keep their byte order as numbers, so that networks are ranges. */
duckdb_uhugeint layout_from_bytes(const uint8_t bytes[16]);
void layout_to_bytes(duckdb_uhugeint value, uint8_t bytes[16]);

#endif
