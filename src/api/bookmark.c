/* SPDX-License-Identifier: Apache-2.0
 *
 * bookmark: see bookmark.h. Hexadecimal digits of: version, question, from, to, at, tenant, epoch, seq, edge,
 * and a hash of all that.
 */
#include "bookmark.h"

#include <endian.h>
#include <xxhash.h>

enum { FORMAT = 1, FIXED_BYTES = 1 + 8 + 8 + 8 + 8 + 4 + 16 + 8, HASH_BYTES = 8 };
enum { WHOLE_BYTES = FIXED_BYTES + EVENT_EDGE_BYTES + HASH_BYTES };
_Static_assert(2 * WHOLE_BYTES + 1 <= BOOKMARK_BYTES, "the longest fits");

uint64_t bookmark_hash(struct slice question)
{
    return XXH3_64bits(question.n > 0 ? question.p : "", question.n);
}

static uint8_t *put64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static const uint8_t *get64(const uint8_t *at, uint64_t *value)
{
    memcpy(value, at, sizeof *value);
    *value = le64toh(*value);
    return at + sizeof *value;
}

void bookmark_write(const struct bookmark *bookmark, char out[BOOKMARK_BYTES])
{
    uint8_t bytes[WHOLE_BYTES] = {FORMAT}, *at = bytes + 1;
    uint32_t tenant = htole32(bookmark->key.tenant);
    size_t edge_bytes = bookmark->key.edge.n < EVENT_EDGE_BYTES ? bookmark->key.edge.n : EVENT_EDGE_BYTES;
    at = put64(at, bookmark->question);
    at = put64(at, (uint64_t)bookmark->from);
    at = put64(at, (uint64_t)bookmark->to);
    at = put64(at, (uint64_t)bookmark->key.at);
    memcpy(at, &tenant, sizeof tenant);
    at += sizeof tenant;
    memcpy(at, bookmark->key.epoch.b, sizeof bookmark->key.epoch.b);
    at += sizeof bookmark->key.epoch.b;
    at = put64(at, bookmark->key.seq);
    if (edge_bytes > 0)
        memcpy(at, bookmark->key.edge.p, edge_bytes);
    at += edge_bytes;
    at = put64(at, XXH3_64bits(bytes, (size_t)(at - bytes)));
    text_to_hex(bytes, (size_t)(at - bytes), out);
}

static bool is_time(int64_t ts)
{
    return ts >= 0 && ts <= QUERY_LATEST_US;
}

int bookmark_read(struct slice text, struct bookmark *out)
{
    uint8_t bytes[WHOLE_BYTES];
    const uint8_t *at = bytes + 1;
    uint64_t from, to, when, hash;
    uint32_t tenant;
    size_t n = text.n / 2;
    *out = (struct bookmark){0};
    if (n < FIXED_BYTES + HASH_BYTES || n > sizeof bytes || text_from_hex(text, bytes, n) != 0 ||
        bytes[0] != FORMAT)
        return ERR_INVALID;
    (void)get64(bytes + n - HASH_BYTES, &hash);
    if (hash != XXH3_64bits(bytes, n - HASH_BYTES))
        return ERR_INVALID;
    at = get64(at, &out->question);
    at = get64(at, &from);
    at = get64(at, &to);
    at = get64(at, &when);
    memcpy(&tenant, at, sizeof tenant);
    at += sizeof tenant;
    memcpy(out->key.epoch.b, at, sizeof out->key.epoch.b);
    at = get64(at + sizeof out->key.epoch.b, &out->key.seq);
    out->from = (int64_t)from;
    out->to = (int64_t)to;
    out->key.at = (int64_t)when;
    out->key.tenant = le32toh(tenant);
    out->key.edge = (struct slice){out->edge, n - FIXED_BYTES - HASH_BYTES};
    memcpy(out->edge, at, out->key.edge.n);
    bool good = is_time(out->from) && is_time(out->to) && out->from < out->to && is_time(out->key.at) &&
                text_is_utf8(out->key.edge);
    return good ? 0 : ERR_INVALID;
}
