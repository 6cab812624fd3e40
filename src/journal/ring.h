/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: bytes between one producer and one consumer in a file on a tmpfs, which outlives the process.
 * Positions count bytes and only grow. The data is mapped twice, one behind the other, so that every record
 * is contiguous in memory; its form is the journal's own (record.h). Each run of the program has an epoch,
 * which begins at the position where its first record stands; what earlier runs left is before it.
 */
#ifndef JOURNAL_RING_H
#define JOURNAL_RING_H

#include "record.h"

#include <sys/uio.h>

enum {
    RING_MIN_BYTES = 256 * 1024,
    RING_MAX_BYTES = 256 * 1024 * 1024,
    RING_HEADER_BYTES = 64 * 1024, /* whole pages of any machine: the data is mapped from here on */
    RING_SPOOL_BYTES = 1024,
    RING_EPOCHS = 32, /* runs that ended with records in the ring, one after the other, none carried off */
};

struct ring_header; /* in the file */

struct ring {
    int fd; /* owned, locked */
    char *path;
    size_t bytes; /* of data, a power of two */
    struct ring_header *header;
    uint8_t *data;
    uint64_t found_end;        /* what stands before was left by earlier runs */
    uint64_t head, known_tail; /* the producer's own */
    uint64_t trimmed; /* the consumer's own: what stands before was given up in this process's memory */
    bool kept;        /* the consumer's own: ring_keep */
};

/* Opens or makes path and begins an epoch at its head. A ring that still holds records keeps its size. A new
 * one tells whose it is: the spool's path, as far as it fits.
 * ERR_BUSY: its owner lives. ERR_DENIED: not ours alone. ERR_FULL: no room on the tmpfs, or too many
 * unfinished epochs. ERR_VERSION, ERR_LIMIT (bytes), ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int ring_open(struct ring *ring, const char *path, const char *spool, size_t bytes,
                         const struct epoch *epoch, struct err *err);
void ring_close(struct ring *ring); /* removes the file when it is empty */

/* What is at path: the ring of a living process (busy); nothing, or no file (none); a file that somebody else
 * made or may write (foreign); a ring that nobody holds, with records (spool is the path it names, "" when it
 * tells none), or without (empty: it was removed, since there is nothing to be found in it). */
enum ring_kind { RING_NONE, RING_BUSY, RING_FOREIGN, RING_HOLDS, RING_EMPTY };
enum ring_kind ring_inspect(const char *path, char spool[RING_SPOOL_BYTES]);

/* Producer. Memory for n contiguous bytes (n ≤ ring->bytes), or NULL: full. */
uint8_t *ring_reserve(struct ring *ring, size_t n);
void ring_publish(struct ring *ring, size_t n); /* lets the consumer see them */
size_t ring_used(struct ring *ring);            /* as far as the producer knows */

/* Consumer. */
uint64_t ring_head(const struct ring *ring);
uint64_t ring_tail(const struct ring *ring);
void ring_release(struct ring *ring, uint64_t to); /* gives the bytes before `to` back */
/* Under load, what was released stays mapped; no longer: gives all of it back. */
void ring_keep(struct ring *ring, bool keep);
const uint8_t *ring_at(const struct ring *ring, uint64_t pos);
/* The epoch of what stands at pos, and where the next one begins (UINT64_MAX: it is the present one). */
void ring_epoch_at(const struct ring *ring, uint64_t pos, struct epoch *epoch, uint64_t *end);
/* [from, to) as one or two parts of the first mapping; returns how many. */
int ring_parts(const struct ring *ring, uint64_t from, uint64_t to, struct iovec parts[2]);

#endif
