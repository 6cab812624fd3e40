/* SPDX-License-Identifier: Apache-2.0
 *
 * packed: the compressed form of a sealed segment: zstd frames (RFC 8878), each holding whole records, each
 * announced by a skippable frame that says which uncompressed offsets it covers, so that a position stays
 * valid and `zstd -dc` gives the records. One thread for each call.
 */
#ifndef JOURNAL_PACKED_H
#define JOURNAL_PACKED_H

#include "source.h"

enum {
    PACKED_HEAD_BYTES = 8 + SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES,
    PACKED_CHUNK_HEAD_BYTES = 32,
    PACKED_CHUNK_BYTES = 256 * 1024, /* a chunk ends with the record that reaches this */
    PACKED_CHUNK_MAX = PACKED_CHUNK_BYTES + RECORD_TOTAL_BYTES,
};

struct packed_chunk {
    uint64_t offset;      /* uncompressed, of its first record */
    uint32_t plain_bytes; /* uncompressed */
    uint32_t frame_bytes; /* of the zstd frame that follows the head */
};

/* The head at p (PACKED_HEAD_BYTES): is it one? Then where the segment's header and footer stand in it. */
bool packed_head(const uint8_t *p, const uint8_t **header, const uint8_t **footer);
bool packed_chunk_decode(uint32_t seed, const uint8_t *p, struct packed_chunk *out);
/* The first place from at on, before n, where a chunk's head may stand; n when there is none. */
size_t packed_chunk_find(const uint8_t *p, size_t n, size_t at);

/* Both may be NULL. damaged: was met on the way, and is left out. change: may put other bytes, as many, in
 * the place of a record's (header first); source->offset is behind it; not 0 ends the writing. */
struct packed_calls {
    void (*damaged)(void *arg, const struct source *source);
    int (*change)(void *arg, const struct record *record, const uint8_t **bytes);
    void *arg;
};

/* Writes the records of a sealed segment, plain or packed, to fd and fsyncs. ERR_FULL, ERR_IO, ERR_NO_MEMORY,
 * and what change() answers. */
MUST_CHECK int packed_write(int fd, struct source *from, const struct segment_summary *summary, int level,
                            const struct packed_calls *calls, uint64_t *file_bytes, struct err *err);

#endif
