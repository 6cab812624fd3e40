/* SPDX-License-Identifier: Apache-2.0
 *
 * erase: takes records out of a commit (batch.h) without changing its length, for a journal that is scrubbed
 * in place. An erased record leaves its seq and nothing else: kind RECORD_ERASED, no payload, the time stamp
 * of the record before it. The body is compressed again, harder until it fits, and zeros fill the rest; the
 * version byte says so, and the hash stays that of the batch as it was sent, by which the edge's batch is
 * known when it comes again. Pure but for memory; one thread.
 */
#ifndef WIRE_ERASE_H
#define WIRE_ERASE_H

#include "batch.h"

struct batch_eraser;

MUST_CHECK int batch_eraser_create(struct batch_eraser **out);
void batch_eraser_destroy(struct batch_eraser **eraser);

/* Is the record to go? Not 0 or 1: ends it with that code. */
typedef int (*batch_match)(void *arg, const struct commit *commit, const struct batch_record *record);

struct batch_erased {
    uint32_t records; /* that matched and are gone now */
    uint32_t lost;    /* that did not match, but could not be kept within the length: gone as well */
};

/* commit: the payload of a journal record of kind COMMIT_BATCH, n bytes, changed in place when anything
 * matches. ERR_CORRUPT, ERR_INVALID, ERR_VERSION, ERR_LIMIT: it can't be read, and is as it was.
 * ERR_NO_MEMORY. */
MUST_CHECK int batch_erase(struct batch_eraser *eraser, uint8_t *commit, size_t n, batch_match match,
                           void *arg, struct batch_erased *out, struct err *err);

#endif
