/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes: little-endian numbers in and out of bytes. The writer appends to a buf and remembers the first
 * error; the reader walks a slice and, once it has run past the end, stays failed and answers zeros, so that
 * a decoder reads all its fields and checks once. Pure.
 */
#ifndef WIRE_BYTES_H
#define WIRE_BYTES_H

#include "base/buf.h"

struct bytes_writer {
    struct buf *out;
    int rc; /* 0, or the first error of the buf */
};

void bytes_put(struct bytes_writer *w, const void *bytes, size_t n);
void bytes_put_u8(struct bytes_writer *w, uint8_t value);
void bytes_put_u16(struct bytes_writer *w, uint16_t value);
void bytes_put_u32(struct bytes_writer *w, uint32_t value);
void bytes_put_u64(struct bytes_writer *w, uint64_t value);
void bytes_put_i64(struct bytes_writer *w, int64_t value);

struct bytes_reader {
    struct slice rest;
    bool failed;
};

/* Lends the next n bytes; an empty slice when there are fewer. */
struct slice bytes_get(struct bytes_reader *r, size_t n);
void bytes_get_into(struct bytes_reader *r, void *out, size_t n); /* zeros when there are fewer */
uint8_t bytes_get_u8(struct bytes_reader *r);
uint16_t bytes_get_u16(struct bytes_reader *r);
uint32_t bytes_get_u32(struct bytes_reader *r);
uint64_t bytes_get_u64(struct bytes_reader *r);
int64_t bytes_get_i64(struct bytes_reader *r);

#endif
