/* SPDX-License-Identifier: Apache-2.0
 *
 * rolled: DIR/rollups.duckdb, the one file of roll-ups beside the parts, attached as ROLLED_CATALOG. They are
 * made of the rows of all parts (a message may have rows in two), and of nothing else: a file that is
 * damaged, or of another release, is made anew. Its tables: unrolled         marks: the periods (an hour or a
 * day of one tenant) of which the roll-ups don't tell the truth, or that have none yet; written before the
 * rows that make it so (marks.h) rolled_periods   the periods that were rolled: how many events they had,
 * which cubes they have, and of which of these there was more than is kept rolled_hourly, rolled_daily   the
 * cubes (rollup.h): each value's figures; behind the largest values all others together, with an empty text,
 * or the number 0, for a value rolled_sketches  HyperLogLog registers (sketch.h) of what counts different
 * values A period that is in neither of the first two has no events.
 */
#ifndef STORE_DUCKDB_ROLLED_H
#define STORE_DUCKDB_ROLLED_H

#include "store/duckdb/parts.h"
#include "store/rollup.h"

#define ROLLED_CATALOG "rollups"
#define ROLLED_IN      ROLLED_CATALOG "."

/* Attaches the file, makes its tables where they are missing or of another release, and then marks all that
 * the parts have. ERR_MORE: it was damaged, and is gone now: open everything again. ERR_DENIED, ERR_FULL,
 * ERR_IO, ERR_ENGINE. */
MUST_CHECK int rolled_attach(struct parts *parts, duckdb_connection connection, struct err *err);
/* Its tables, empty, in another file that is attached under that name. */
MUST_CHECK int rolled_create(duckdb_connection connection, const char *catalog, struct err *err);
void rolled_path(const struct parts *parts, char out[PATH_MAX]);
void rolled_checkpoint(duckdb_connection connection); /* where that works */
uint64_t rolled_bytes(const struct parts *parts);     /* on disk */

/* A part's rows change otherwise than by the writer (erased, classified anew): what was rolled of the tenants
 * concerned, from their first row in it to their last, is rolled again. What was rolled before it stays: its
 * events may be gone because they were old. Before the change, and nothing is rolled meanwhile
 * (roller_hold): so a kill leaves the mark, or what was rolled of the rows that are there. */
MUST_CHECK int rolled_mark(duckdb_connection connection, const char *part, const struct store_rewrite *how,
                           struct err *err);

#endif
