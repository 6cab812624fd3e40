/* SPDX-License-Identifier: Apache-2.0
 *
 * chunked: a body in chunks (RFC 9112, 7.1), decoded as it comes. Extensions and trailers are read over,
 * within bounds. Lines end with CR LF and nothing else. Pure.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "base/buf.h"

enum {
    HTTP_CHUNK_DIGITS = 8,       /* of a chunk's size */
    HTTP_CHUNK_LINE_BYTES = 256, /* of its line, extensions and all */
    HTTP_TRAILER_BYTES = 4096,
};

struct http_chunked { /* zero at first */
    int state;
    uint32_t left; /* bytes of this chunk */
    uint32_t line; /* bytes of this line, or of the trailers */
};

/* Appends what the bytes hold to body. 0: the body is whole, and *used bytes were its own; ERR_MORE: all were
 * used; ERR_INVALID: no chunks; ERR_LIMIT: more than body->limit. */
MUST_CHECK int http_chunked_decode(struct http_chunked *chunked, struct slice bytes, size_t *used,
                                   struct buf *body);

#endif
