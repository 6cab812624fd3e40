/* SPDX-License-Identifier: Apache-2.0
 *
 * cursor: what a journal must remember beside its segments: how far it is retired, and what was lost, ever.
 * One small file of two slots, written in turn and in place: a full disk or one without inodes, which is when
 * drops must be counted, can't refuse that, and a torn write leaves the other slot. One thread at a time.
 */
#ifndef JOURNAL_CURSOR_H
#define JOURNAL_CURSOR_H

#include "journal.h"

enum { CURSOR_SLOT_BYTES = 4096 };

struct cursor {
    uint64_t generation; /* grows with each store */
    struct journal_pos retired;
    uint64_t dropped_through; /* segments up to this one are gone for good, and counted */
    uint64_t dropped;
    uint64_t quarantined, quarantined_bytes;
};

/* Opens DIR/cursor, made when missing, and reads the newer slot; all zero when there is none. *fd is the
 * caller's. ERR_VERSION, ERR_FULL, ERR_DENIED, ERR_IO. */
MUST_CHECK int cursor_open(int dir_fd, int *fd, struct cursor *out, struct err *err);

/* Counts generation up and writes the other slot; durable: with fdatasync. ERR_IO, ERR_FULL. */
MUST_CHECK int cursor_store(int fd, struct cursor *cursor, bool durable, struct err *err);

#endif
