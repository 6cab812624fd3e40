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

/* What was noted last: one retention rewrites many parts, and says the same moments with each. */
struct kept {
    struct store_keep *keeps;
    size_t keep_count;
    struct store_part *parts; /* as they were before it */
    size_t part_count;
    unsigned shuts; /* of the files */
};

/* Before periods that are kept go (sweep.h: an erased tenant's). Safe on zeroed memory, and frees it. */
void kept_forget(struct kept *kept);

/* Does `how` take rows away because they are old? */
bool kept_concerns(const struct store_rewrite *how);
/* Before the first row of the part goes. On success each period that begins before how->keeps' moments and
 * has events in that part is kept. One at a time, and none beside kept_forget.
 *
 * When the same moments were noted before and the part was closed by then, nothing is done: its events were
 * there, no closed part gets others, and so all their periods were rolled with them and noted. What comes
 * late for these gets no mark, and what comes late for a period that nothing was there of lies in a part that
 * was open then: it is rolled and noted before that part's rows go. A note ends with a sweep (kept_forget),
 * when the files are opened again, which may cost the roll-ups' latest changes, and with another generation
 * of the part.
 *
 * ERR_BUSY (too much comes late, or the store has a gap: what the journal has yet to bring would lack; try
 * again), ERR_CANCELLED, ERR_LIMIT, ERR_FULL, ERR_ENGINE: no row may go; *lost: DuckDB refuses everything
 * from now on. */
MUST_CHECK int kept_begin(struct kept *kept, struct roller *roller, uint64_t part,
                          const struct store_rewrite *how, const atomic_bool *cancelled, bool *lost,
                          struct err *err);

#endif
