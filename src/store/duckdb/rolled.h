/* SPDX-License-Identifier: Apache-2.0
 *
 * rolled: DIR/rollups.duckdb, the one file of roll-ups beside the parts, attached as ROLLED_CATALOG. They are
 * made of the rows of all parts (a message may have rows in two), and outlive them: of old days they are all
 * that is left. So nothing here drops a table that may hold them. Its tables:
 *
 *   rolled_made      which version and definition (rollup.def) it was made by
 *   unrolled         marks: the periods (an hour or a day of one tenant) of which the roll-ups don't tell the
 *                    truth, or that have none yet; written before the rows that make it so (marks.h)
 *   rolled_periods   the periods that were rolled: how many events they had, which cubes they have, of which
 *                    of these there was more than is kept, whether retention has taken their events (kept.h),
 *                    and whether that is only a guess (guess.h)
 *   rolled_hourly, rolled_daily
 *                    the cubes (rollup.h): each value's figures; behind the largest values all others
 *                    together, with an empty text, or the number 0, for a value
 *   rolled_sketches  HyperLogLog registers (sketch.h) of what counts different values
 *
 * A period that is in neither of unrolled and rolled_periods has no events.
 */
#ifndef STORE_DUCKDB_ROLLED_H
#define STORE_DUCKDB_ROLLED_H

#include "store/duckdb/parts.h"
#include "store/rollup.h"

#define ROLLED_CATALOG "rollups"
#define ROLLED_IN      ROLLED_CATALOG "."
#define ROLLED_SAVED   STORE_ROLLUPS_FILE ".saved.tmp" /* a copy for a backup, below the store's directory */

enum { ROLLED_VERSION = 2 }; /* raise it when a table's columns change their meaning */

/* Attaches the file. A new one gets its tables, and marks for all that the parts have; one of an older
 * release or another definition is brought to this one's (reshape.h); what was guessed is looked at again
 * (guess.h). ERR_MORE: it was damaged and is set aside: open everything again. ERR_DENIED, ERR_FULL,
 * ERR_LIMIT, ERR_BUSY, ERR_IO, ERR_VERSION (of a newer release), ERR_CORRUPT (it can't be brought to this
 * definition): it is as it was. */
MUST_CHECK int rolled_attach(struct parts *parts, duckdb_connection connection, struct err *err);
/* Its tables, empty but for rolled_made, in a new file that is attached under that name. */
MUST_CHECK int rolled_create(duckdb_connection connection, const char *catalog, struct err *err);
/* Into catalog's unrolled: every hour and day of the parts' rows, but for those that its rolled_periods keep.
 */
MUST_CHECK int rolled_mark_all(duckdb_connection connection, const char *catalog, struct parts *parts,
                               struct err *err);
#define ROLLED_LAST_US (INT64_C(253402214400) * US_PER_SECOND) /* 9999-12-31, as far as texts of times go */
extern const char *const rolled_tables[];                      /* but for rolled_made; NULL behind the last */
void rolled_path(const struct parts *parts, char out[PATH_MAX]);
void rolled_checkpoint(duckdb_connection connection); /* where that works */
uint64_t rolled_bytes(const struct parts *parts);     /* on disk */
/* ERR_FULL: no room for the file a second time. */
MUST_CHECK int rolled_check_room(const struct parts *parts, struct err *err);
/* rc is what a statement that reads that part answered: its damage is not the roll-ups'. */
MUST_CHECK int rolled_blame_part(int rc, const char *part, struct err *err);

/* A part's rows change otherwise than by the writer (erased, classified anew): what was rolled of the tenants
 * concerned, from their first row in it to their last, is rolled again. What was rolled before it stays, and
 * what is kept: its events are gone because they were old. Before the change, and nothing is rolled meanwhile
 * (roller_hold): so a kill leaves the mark, or what was rolled of the rows that are there. */
MUST_CHECK int rolled_mark(duckdb_connection connection, const char *part, const struct store_rewrite *how,
                           struct err *err);

#endif
