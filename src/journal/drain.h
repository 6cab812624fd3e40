/* SPDX-License-Identifier: Apache-2.0
 *
 * drain: carries a ring's bytes into a journal, a stretch with one write straight from the ring. What earlier
 * runs left is checked, goes in under its own epoch and seq, and only if the journal doesn't have it yet: a
 * run that is killed between the write and the release leaves records in both. The journal's writer thread.
 */
#ifndef JOURNAL_DRAIN_H
#define JOURNAL_DRAIN_H

#include "inside.h"
#include "ring.h"

enum { DRAIN_STRETCH_BYTES = 256 * 1024 }; /* for one write; a longer record goes alone */

struct drain {
    struct ring *ring;
    struct journal *journal;
    /* of the epoch last asked for */
    bool known;
    struct epoch epoch;
    uint32_t seed;
    uint64_t has_seq; /* the journal has its records up to this seq */
};

/* How many records left by earlier runs the journal doesn't have. */
uint64_t drain_count_found(struct drain *drain);

/* Moves one stretch. *live: records of the present run in it. ERR_END: the ring is empty. Else as
 * journal_append; the stretch then stays in the ring. */
MUST_CHECK int drain_stretch(struct drain *drain, uint64_t *live, struct err *err);

#endif
