/* SPDX-License-Identifier: Apache-2.0
 *
 * source: the records of one segment file, plain or packed, in order and by uncompressed offset. Trusts
 * nothing in the file: every length is bounded before memory is taken. Damage is passed over to the next
 * intact record and reported. Buffers live on from one file to the next. One thread.
 */
#ifndef JOURNAL_SOURCE_H
#define JOURNAL_SOURCE_H

#include "record.h"

enum { SOURCE_WINDOW_BYTES = 128 * 1024 }; /* read at once; grows to the longest record met */

struct ZSTD_DCtx_s;

struct source {
    int fd; /* owned; -1: no file */
    bool packed;
    bool sealed; /* a footer tells the end; what stands before it and is no record is damage, not a torn tail
                  */
    uint32_t seed;
    struct segment_header header;
    struct segment_summary summary; /* when sealed */
    uint64_t offset;                /* of the next record */
    uint64_t limit;                 /* nothing is read beyond */
    uint64_t last_seq;
    struct {
        uint64_t offset;  /* where the damage begins */
        uint64_t file_at; /* its bytes in the file as it is on disk */
        uint64_t bytes;
    } damage; /* of the last ERR_CORRUPT */

    uint8_t *window; /* owned */
    size_t capacity, window_n;
    uint64_t window_at;               /* offset of window[0] */
    uint64_t torn_offset, torn_limit; /* no intact record between them: looked already */
    /* packed only */
    uint8_t *frame; /* owned */
    size_t frame_capacity;
    uint64_t chunk_at, next_chunk_at; /* in the file: of the chunk in the window, and behind it */
    struct ZSTD_DCtx_s *zstd;         /* owned */
};

void source_init(struct source *source);
void source_fini(struct source *source);

/* Opens the file of segment number in directory dir_fd, plain or packed. Closes what was open. ERR_NOT_FOUND,
 * ERR_CORRUPT (no header to go by), ERR_VERSION, ERR_IO, ERR_DENIED, ERR_NO_MEMORY. */
MUST_CHECK int source_open(struct source *source, int dir_fd, uint64_t number, struct err *err);
/* The same with an open file, which the source owns from here on (also when this fails). */
MUST_CHECK int source_take(struct source *source, int fd, struct err *err);
/* Looks again how long the file is and whether it is sealed now. */
MUST_CHECK int source_refresh(struct source *source, struct err *err);
void source_close(struct source *source);

/* The next record is the first at or behind offset. */
void source_seek(struct source *source, uint64_t offset);

/* 0: *out and its bytes (header first) at *bytes, valid until the next call; source->offset is behind it.
 * ERR_END: none within the limit; in a file without footer, bytes from source->offset to the limit are a torn
 * tail. ERR_CORRUPT: damage was passed, see source->damage; call again. ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int source_next(struct source *source, struct record *out, const uint8_t **bytes, struct err *err);

/* Plain: "%016x.seg", packed: "%016x.zst". */
enum { SEGMENT_NAME_BYTES = 32 };
void segment_name(char *out, uint64_t number, const char *suffix);
#define SEGMENT_PLAIN  ".seg"
#define SEGMENT_PACKED ".zst"
#define SEGMENT_TMP    ".tmp"

#endif
