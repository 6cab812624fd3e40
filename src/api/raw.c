/* SPDX-License-Identifier: Apache-2.0
 *
 * raw: see raw.h. A place is the hexadecimal digits of: version, tenant, segment, offset, skip, epoch, seq,
 * hub_ts, gap, and a hash of all that.
 */
#include "raw.h"

#include <endian.h>
#include <xxhash.h>

enum { FORMAT = 2 /* 1 is a bookmark's */, BODY_BYTES = 1 + 4 + 8 + 8 + 4 + 16 + 8 + 8 + 1, HASH_BYTES = 8 };
enum { WHOLE_BYTES = BODY_BYTES + HASH_BYTES };
_Static_assert(2 * WHOLE_BYTES + 1 <= RAW_PLACE_BYTES, "it fits");

static uint8_t *put(uint8_t *at, uint64_t value, size_t n)
{
    value = htole64(value);
    memcpy(at, &value, n);
    return at + n;
}

static const uint8_t *get(const uint8_t *at, uint64_t *value, size_t n)
{
    *value = 0;
    memcpy(value, at, n);
    *value = le64toh(*value);
    return at + n;
}

void raw_place_write(const struct raw_place *place, char out[RAW_PLACE_BYTES])
{
    uint8_t bytes[WHOLE_BYTES] = {FORMAT}, *at = bytes + 1;
    at = put(at, place->tenant, 4);
    at = put(at, place->pos.segment, 8);
    at = put(at, place->pos.offset, 8);
    at = put(at, place->skip, 4);
    memcpy(at, place->epoch.b, sizeof place->epoch.b);
    at = put(at + sizeof place->epoch.b, place->seq, 8);
    at = put(at, (uint64_t)place->hub_ts, 8);
    at = put(at, place->gap, 1);
    (void)put(at, XXH3_64bits(bytes, BODY_BYTES), HASH_BYTES);
    text_to_hex(bytes, sizeof bytes, out);
}

int raw_place_read(struct slice text, struct raw_place *out)
{
    uint8_t bytes[WHOLE_BYTES];
    const uint8_t *at = bytes + 1;
    uint64_t tenant, skip, hub_ts, gap, hash;
    *out = (struct raw_place){.gap = true};
    if (text.n != 2 * sizeof bytes || text_from_hex(text, bytes, sizeof bytes) != 0 || bytes[0] != FORMAT)
        return ERR_INVALID;
    at = get(at, &tenant, 4);
    at = get(at, &out->pos.segment, 8);
    at = get(at, &out->pos.offset, 8);
    at = get(at, &skip, 4);
    memcpy(out->epoch.b, at, sizeof out->epoch.b);
    at = get(at + sizeof out->epoch.b, &out->seq, 8);
    at = get(at, &hub_ts, 8);
    at = get(at, &gap, 1);
    (void)get(at, &hash, HASH_BYTES);
    out->tenant = (uint32_t)tenant;
    out->skip = (uint32_t)skip;
    out->hub_ts = (int64_t)hub_ts;
    out->gap = gap != 0;
    return hash == XXH3_64bits(bytes, BODY_BYTES) && out->hub_ts >= 0 && out->hub_ts <= EVENT_TS_MAX &&
                   gap <= 1
               ? 0
               : ERR_INVALID;
}
