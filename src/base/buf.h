/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: a growing byte buffer with a hard limit. Plain data: init (or = {.limit = …}), fini. One thread at a
 * time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "text.h"

struct buf {
    char *p;         /* owned; NULL while empty and never grown */
    size_t n;        /* bytes used */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* bytes at most */
};

void buf_init(struct buf *buf, size_t limit_bytes);
void buf_fini(struct buf *buf);  /* frees; the struct may be used again after buf_init */
void buf_clear(struct buf *buf); /* empties, keeps the memory */

/* Room for n more bytes behind buf->n, or ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int buf_reserve(struct buf *buf, size_t n);
MUST_CHECK int buf_add(struct buf *buf, const void *bytes, size_t n);
MUST_CHECK int buf_add_slice(struct buf *buf, struct slice s);
MUST_CHECK int buf_addf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Takes the first n bytes away (n ≤ buf->n). */
void buf_consume(struct buf *buf, size_t n);

static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->p, buf->n};
}

#endif
