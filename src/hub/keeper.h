/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: looks after the hub's journal: retires it behind the store's checkpoint, removes segments that were
 * retired and are old enough, compresses the others. A thread of its own at low priority: compressing takes
 * as long as it takes and delays no event.
 */
#ifndef HUB_KEEPER_H
#define HUB_KEEPER_H

#include "journal/journal.h"
#include "store/store.h"

struct keeper;

/* Journal and store are borrowed; nobody else retires or maintains the journal. ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int keeper_start(struct keeper **out, struct journal *journal, struct store *store,
                            int64_t keep_us, struct err *err);
/* While it is held, nothing more is retired: what the journal has, it keeps. Any thread. */
void keeper_hold(struct keeper *keeper, bool held);
/* Retires behind the checkpoint once more, held or not. May wait for one segment to be compressed. Safe on
 * NULL. */
void keeper_stop(struct keeper **keeper);

#endif
