/* SPDX-License-Identifier: Apache-2.0
 *
 * scrubber: takes what the tombstones cover out of what the hub keeps besides the store: the records of its
 * journal (journal/scrub.h), and the files of the quarantine. An event is judged as the loader judges it.
 * What can't be read can't be searched: a record of the journal is blanked, a file removed, when it may hold
 * something covered. One thread.
 */
#ifndef HUB_SCRUBBER_H
#define HUB_SCRUBBER_H

#include "hub/erasures.h"
#include "journal/scrub.h"
#include "wire/batch.h"

struct scrubber;

struct scrubber_count {
    uint64_t events;     /* taken out */
    uint64_t lost;       /* taken out with them, though not covered (wire/erase.h) */
    uint64_t unreadable; /* records blanked or files removed */
    uint64_t files;      /* of the quarantine, removed */
};

/* erasures is borrowed. */
MUST_CHECK int scrubber_create(struct scrubber **out, struct erasures *erasures, struct err *err);
void scrubber_destroy(struct scrubber **scrubber);

/* For journal_scrub, with the scrubber as its argument. */
int scrubber_look(void *scrubber, const struct journal_record *record, uint8_t *payload, bool *changed,
                  struct err *err);
/* Does a tombstone cover this record of a batch? 1 or 0; what is no request is searched as bytes. ERR_LIMIT,
 * ERR_NO_MEMORY. */
MUST_CHECK int scrubber_covers(void *scrubber, const struct commit *commit,
                               const struct batch_record *record);
/* ERR_IO, ERR_DENIED. */
MUST_CHECK int scrubber_quarantine(struct scrubber *scrubber, const char *dir, struct err *err);

struct scrubber_count scrubber_counted(const struct scrubber *scrubber);

#endif
