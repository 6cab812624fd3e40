/* SPDX-License-Identifier: Apache-2.0
 *
 * bytes: see bytes.h.
 */
#include "bytes.h"

#include <endian.h>

void bytes_put(struct bytes_writer *w, const void *bytes, size_t n)
{
    if (w->rc == 0)
        w->rc = buf_add(w->out, bytes, n);
}

void bytes_put_u8(struct bytes_writer *w, uint8_t value)
{
    bytes_put(w, &value, sizeof value);
}

void bytes_put_u16(struct bytes_writer *w, uint16_t value)
{
    value = htole16(value);
    bytes_put(w, &value, sizeof value);
}

void bytes_put_u32(struct bytes_writer *w, uint32_t value)
{
    value = htole32(value);
    bytes_put(w, &value, sizeof value);
}

void bytes_put_u64(struct bytes_writer *w, uint64_t value)
{
    value = htole64(value);
    bytes_put(w, &value, sizeof value);
}

void bytes_put_i64(struct bytes_writer *w, int64_t value)
{
    bytes_put_u64(w, (uint64_t)value);
}

struct slice bytes_get(struct bytes_reader *r, size_t n)
{
    if (r->failed || n > r->rest.n) {
        r->failed = true;
        return (struct slice){NULL, 0};
    }
    struct slice part = {r->rest.p, n};
    if (n > 0)
        r->rest = (struct slice){r->rest.p + n, r->rest.n - n};
    return part;
}

void bytes_get_into(struct bytes_reader *r, void *out, size_t n)
{
    struct slice part = bytes_get(r, n);
    if (part.n == n && n > 0)
        memcpy(out, part.p, n);
    else
        memset(out, 0, n);
}

uint8_t bytes_get_u8(struct bytes_reader *r)
{
    uint8_t value;
    bytes_get_into(r, &value, sizeof value);
    return value;
}

uint16_t bytes_get_u16(struct bytes_reader *r)
{
    uint16_t value;
    bytes_get_into(r, &value, sizeof value);
    return le16toh(value);
}

uint32_t bytes_get_u32(struct bytes_reader *r)
{
    uint32_t value;
    bytes_get_into(r, &value, sizeof value);
    return le32toh(value);
}

uint64_t bytes_get_u64(struct bytes_reader *r)
{
    uint64_t value;
    bytes_get_into(r, &value, sizeof value);
    return le64toh(value);
}

int64_t bytes_get_i64(struct bytes_reader *r)
{
    return (int64_t)bytes_get_u64(r);
}
