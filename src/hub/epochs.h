/* SPDX-License-Identifier: Apache-2.0
 *
 * epochs: how far one edge has come, for each epoch: the last seq and the hashes of its latest batches. A
 * batch is judged, staged once it is appended to the journal, and confirmed by the fdatasync that covers it.
 * Pure but for memory; one thread.
 */
#ifndef HUB_EPOCHS_H
#define HUB_EPOCHS_H

#include "wire/batch.h"
#include "wire/bytes.h"

enum {
    EPOCHS_MAX = 256,   /* an edge; beyond it the least recently used is forgotten */
    EPOCHS_HASHES = 16, /* remembered batches of an epoch: twice the default window */
    EPOCHS_RINGS = 4,   /* epochs of an edge whose hashes are remembered */
};

struct epochs_hash {
    uint64_t first_seq, hash;
    uint32_t count;
};

struct epochs_item {
    struct epoch epoch;
    uint64_t last, staged_last; /* journalled; appended */
    uint64_t used;              /* order of use */
    struct epochs_hash *ring;   /* EPOCHS_HASHES of them, or NULL */
    uint32_t ring_count;        /* ever written; the latest is at (ring_count - 1) % EPOCHS_HASHES */
};

struct epochs {
    struct epochs_item *items; /* owned */
    size_t count;
    uint64_t uses;
    uint64_t gaps, gap_records, records; /* confirmed */
    uint64_t staged_gaps, staged_gap_records, staged_records;
};

struct epochs_batch {
    struct epoch epoch;
    uint64_t first_seq;
    uint32_t count;
    uint64_t hash;
};

enum epochs_verdict {
    EPOCHS_NEW,     /* all of it, perhaps behind a gap */
    EPOCHS_KNOWN,   /* this very batch */
    EPOCHS_PARTIAL, /* some of it, or all but in other batches: the edge must greet to learn how far */
    EPOCHS_FORKED,  /* other records under the same identity */
};

void epochs_fini(struct epochs *epochs);
enum epochs_verdict epochs_judge(const struct epochs *epochs, const struct epochs_batch *batch);
/* Takes the memory that staging needs, so that nothing can fail once the journal has the batch.
 * ERR_NO_MEMORY. */
MUST_CHECK int epochs_reserve(struct epochs *epochs, const struct epoch *epoch);
/* A reserved epoch of which nothing is known goes on behind last: what came before is no gap. */
void epochs_begin(struct epochs *epochs, const struct epoch *epoch, uint64_t last);
/* For an EPOCHS_NEW batch of a reserved epoch. */
void epochs_stage(struct epochs *epochs, const struct epochs_batch *batch);
void epochs_confirm(struct epochs *epochs);
/* Nothing is staged any more. What is still in the journal may be staged again, in order. */
void epochs_unstage(struct epochs *epochs);
uint64_t epochs_last(const struct epochs *epochs, const struct epoch *epoch); /* confirmed; 0: nothing */

bool epochs_knows(const struct epochs *epochs, const struct epoch *epoch);
bool epochs_full(const struct epochs *epochs); /* one more makes it forget another */
uint64_t epochs_staged(const struct epochs *epochs, const struct epoch *epoch); /* appended; 0: nothing */

/* The snapshot of one edge. ERR_CORRUPT, ERR_NO_MEMORY; what was read before an error is kept. */
void epochs_encode(const struct epochs *epochs, struct bytes_writer *w);
MUST_CHECK int epochs_decode(struct epochs *epochs, struct bytes_reader *r);

static inline bool epoch_equal(const struct epoch *a, const struct epoch *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

#endif
