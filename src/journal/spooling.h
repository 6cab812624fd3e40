/* SPDX-License-Identifier: Apache-2.0
 *
 * spooling: a spool with a ring of its own directory below /dev/shm, records that tell their number, and what
 * a journal's directory holds of them. A step that fails ends the test. For *_test.c only.
 */
#ifndef JOURNAL_SPOOLING_H
#define JOURNAL_SPOOLING_H

#include "spool.h"
#include "testdir.h"

#include "base/clock.h"
#include "base/test.h"

extern char spooling_ring_dir[];        /* between begin and end */
extern const int64_t spooling_limit_us; /* for what takes milliseconds on an idle machine */

int spooling_begin(void);       /* makes spooling_ring_dir; 0, or -1 */
int spooling_end(int failures); /* removes it, returns failures */

struct spool_options spooling_options(const char *dir);
struct spool *spooling_open(const struct spool_options *options);
void spooling_close(struct spool *spool);

/* The n-th append of a run: seq n when nothing was refused before. As spool_append. */
int spooling_append(struct spool *spool, uint64_t n);
/* Until the ring is empty; synced: and fdatasync was there. */
void spooling_wait(struct spool *spool, bool synced);

enum { SPOOLING_EPOCHS = 128 };
struct spooling_found {
    size_t n; /* epochs, in the order in which they stand */
    struct {
        struct epoch epoch;
        uint64_t records, first, last;
    } of[SPOOLING_EPOCHS];
};

/* Reads a journal's directory: every record whole, seqs rising (gaps: or else without a gap) within an epoch,
 * epochs not mixed. */
void spooling_read(const char *dir, bool gaps, struct spooling_found *found);

#endif
