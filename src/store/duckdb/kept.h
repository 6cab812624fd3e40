/* SPDX-License-Identifier: Apache-2.0
 *
 * kept: roll-ups that outlive their events. Before retention takes rows away, each period that it takes them
 * from is rolled with all of them, and then noted as kept (rolled.h): it is never rolled anew, for what would
 * be left of its events tells only a part. Events that come late for such a period are stored and listed as
 * all others; its figures stay as they were. A period before that time that has no roll-up, as no event of it
 * was there in its time, is rolled as any other: an edge that was cut off for long completes the picture.
 */
#ifndef STORE_DUCKDB_KEPT_H
#define STORE_DUCKDB_KEPT_H

#include "store/duckdb/roller.h"

/* Does `how` take rows away because they are old? */
bool kept_concerns(const struct store_rewrite *how);
/* On success no period that begins before how->keeps' moments has a mark, nor will those have one that have
 * a roll-up now. Before the first row goes. ERR_BUSY (too much comes late; try again), ERR_CANCELLED,
 * ERR_LIMIT, ERR_FULL, ERR_ENGINE: no row may go; *lost: DuckDB refuses everything from now on. */
MUST_CHECK int kept_begin(struct roller *roller, const struct store_rewrite *how,
                          const atomic_bool *cancelled, bool *lost, struct err *err);

#endif
