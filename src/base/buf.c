/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: see buf.h.
 */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *buf, size_t limit_bytes)
{
    *buf = (struct buf){.limit = limit_bytes};
}

void buf_fini(struct buf *buf)
{
    free(buf->p);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_clear(struct buf *buf)
{
    buf->n = 0;
}

int buf_reserve(struct buf *buf, size_t n)
{
    if (n > buf->limit || buf->n > buf->limit - n)
        return ERR_LIMIT;
    size_t need = buf->n + n;
    if (need <= buf->capacity)
        return 0;
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_FIRST_BYTES;
    while (capacity < need)
        capacity = capacity > buf->limit / 2 ? buf->limit : capacity * 2;
    char *p = realloc(buf->p, capacity);
    if (p == NULL)
        return ERR_NO_MEMORY;
    buf->p = p;
    buf->capacity = capacity;
    return 0;
}

int buf_add(struct buf *buf, const void *bytes, size_t n)
{
    int rc = buf_reserve(buf, n);
    if (rc == 0 && n > 0) {
        memcpy(buf->p + buf->n, bytes, n);
        buf->n += n;
    }
    return rc;
}

int buf_add_slice(struct buf *buf, struct slice s)
{
    return buf_add(buf, s.p, s.n);
}

int buf_addf(struct buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    int rc = n < 0 ? ERR_INVALID : buf_reserve(buf, (size_t)n + 1);
    if (rc == 0) {
        (void)vsnprintf(buf->p + buf->n, (size_t)n + 1, fmt, again);
        buf->n += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_consume(struct buf *buf, size_t n)
{
    assert(n <= buf->n);
    if (n < buf->n)
        memmove(buf->p, buf->p + n, buf->n - n);
    buf->n -= n;
}
