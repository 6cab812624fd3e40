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
void rolled_checkpoint(duckdb_connection connection); /* where that works */
uint64_t rolled_bytes(const struct parts *parts);     /* on disk */

/* A tenant's rows with ts between from and to change otherwise than by the writer (erased, classified anew):
 * what was rolled of them is rolled again. Once before the change, for a kill in between, and once after it.
 */
MUST_CHECK int rolled_mark(duckdb_connection connection, uint32_t tenant, int64_t from, int64_t to,
                           struct err *err);

/* Something was erased: its bytes may stay in the file, which is made anew at the next start. ERR_IO. */
MUST_CHECK int rolled_spoil(const struct parts *parts, struct err *err);

#endif
