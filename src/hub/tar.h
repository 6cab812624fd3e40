/* SPDX-License-Identifier: Apache-2.0
 *
 * tar: the head of one regular file in a tar archive (POSIX.1-2017, pax: ustar, with an extended header where
 * a name or a size does not fit). What is written is read by every tar; of what others write only that is
 * read: no links, directories or devices, no extensions but path and size. Pure.
 */
#ifndef HUB_TAR_H
#define HUB_TAR_H

#include "base/err.h"
#include "base/text.h"

#include <stdint.h>

enum {
    TAR_BLOCK_BYTES = 512,
    TAR_NAME_BYTES = 256,
    TAR_PAX_BYTES = 1024,                                 /* an extended header's records at most */
    TAR_HEAD_BYTES = 2 * TAR_BLOCK_BYTES + TAR_PAX_BYTES, /* what tar_write() needs at most */
    TAR_END_BYTES = 2 * TAR_BLOCK_BYTES,                  /* of zeros behind the last file */
};

enum tar_type { TAR_FILE, TAR_PAX, TAR_END };

struct tar_entry {
    enum tar_type type;
    char name[TAR_NAME_BYTES]; /* as it was written: check it */
    uint64_t bytes;            /* of what follows, without its padding */
};

/* The head of a file of mode 0600; the bytes written, a multiple of the block. ERR_LIMIT: the name. */
MUST_CHECK int tar_write(const char *name, uint64_t bytes, uint8_t out[TAR_HEAD_BYTES], size_t *n,
                         struct err *err);
/* One block as a head. An extended header (TAR_PAX, bytes of records follow) is for the next block: see
 * tar_pax. A block of zeros is TAR_END. ERR_INVALID (says what is wrong). */
MUST_CHECK int tar_read(const uint8_t block[TAR_BLOCK_BYTES], struct tar_entry *out, struct err *err);
/* The records of an extended header, into the entry of the head that followed it. ERR_INVALID. */
MUST_CHECK int tar_pax(struct slice records, struct tar_entry *entry, struct err *err);
/* How many bytes fill the last block. */
static inline size_t tar_padding(uint64_t bytes)
{
    return (size_t)((TAR_BLOCK_BYTES - bytes % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}

#endif
