/* SPDX-License-Identifier: Apache-2.0
 *
 * record: encoding and checking; see record.h.
 */
#include "record.h"

#include <endian.h>
#include <isa-l/crc.h>

static const uint8_t record_magic[4] = {0xa7, 'J', 'r', 0xec};
static const uint8_t header_magic[8] = {'M', 'A', 'J', 'R', 'N', 'L', 0x1a, '\n'};
static const uint8_t footer_magic[8] = {'M', 'A', 'J', 'E', 'N', 'D', 0x1a, '\n'};

/* Where things stand. */
enum { R_MAGIC = 0, R_CRC = 4, R_PAYLOAD_BYTES = 8, R_KIND = 12, R_CHECK = 14, R_SEQ = 16, R_TS = 24 };
enum { H_MAGIC = 0, H_VERSION = 8, H_BYTES = 12, H_EPOCH = 16, H_NUMBER = 32, H_FIRST = 40, H_CREATED = 48 };
enum { H_FLAGS = 56, H_CRC = 60, HEADER_COPY_BYTES = 64 };
enum { F_MAGIC = 0, F_END = 8, F_RECORDS = 16, F_FIRST = 24, F_LAST = 32, F_FIRST_TS = 40, F_MAX_TS = 48 };
enum { F_ZERO = 56, F_CRC = 60 };

static void put16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* isa-l inverts neither the start value nor the result; both are inverted here, so that parts chain. */
uint32_t record_crc(uint32_t crc, const void *bytes, size_t n)
{
    union {
        const void *in;
        unsigned char *out;
    } p = {.in = bytes}; /* the library's prototype lacks const */
    return ~crc32_iscsi(p.out, (int)n, ~crc);
}

uint32_t record_seed(const struct epoch *epoch)
{
    return record_crc(0, epoch->b, sizeof epoch->b);
}

/* Of the fields that say how long a record is: lets a search after damage reject a stray header cheaply. */
static uint16_t header_check(uint32_t seed, const struct record *record)
{
    const uint64_t odd = 0x9e3779b97f4a7c15; /* 2^64 divided by the golden ratio: spreads every bit upwards */
    uint64_t h = seed;
    h = (h ^ record->payload_bytes ^ (uint64_t)record->kind << 32) * odd;
    h = (h ^ h >> 32 ^ record->seq) * odd;
    h = (h ^ h >> 32 ^ (uint64_t)record->ts_us) * odd;
    return (uint16_t)(h >> 48);
}

void record_encode(uint32_t seed, struct record *record, struct slice payload, uint8_t *header)
{
    record->payload_bytes = (uint32_t)payload.n;
    memcpy(header + R_MAGIC, record_magic, sizeof record_magic);
    put32(header + R_PAYLOAD_BYTES, record->payload_bytes);
    put16(header + R_KIND, record->kind);
    put16(header + R_CHECK, header_check(seed, record));
    put64(header + R_SEQ, record->seq);
    put64(header + R_TS, (uint64_t)record->ts_us);
    bool in_place = payload.p == (const char *)header + RECORD_HEADER_BYTES;
    size_t first = RECORD_HEADER_BYTES - R_PAYLOAD_BYTES + (in_place ? payload.n : 0);
    uint32_t crc = record_crc(seed, header + R_PAYLOAD_BYTES, first);
    put32(header + R_CRC, payload.n != 0 && !in_place ? record_crc(crc, payload.p, payload.n) : crc);
}

bool record_decode(uint32_t seed, const uint8_t *header, struct record *out)
{
    if (memcmp(header + R_MAGIC, record_magic, sizeof record_magic) != 0)
        return false;
    *out = (struct record){.seq = get64(header + R_SEQ),
                           .ts_us = (int64_t)get64(header + R_TS),
                           .payload_bytes = get32(header + R_PAYLOAD_BYTES),
                           .kind = get16(header + R_KIND)};
    return out->payload_bytes <= JOURNAL_RECORD_BYTES && out->seq != 0 &&
           get16(header + R_CHECK) == header_check(seed, out);
}

bool record_intact(uint32_t seed, const uint8_t *p, const struct record *record)
{
    return get32(p + R_CRC) == record_crc(seed, p + R_PAYLOAD_BYTES, record_bytes(record) - R_PAYLOAD_BYTES);
}

size_t record_find(const uint8_t *p, size_t n, size_t at)
{
    const uint8_t *found = at < n ? memmem(p + at, n - at, record_magic, sizeof record_magic) : NULL;
    return found != NULL ? (size_t)(found - p) : n;
}

void segment_header_encode(const struct segment_header *header, uint8_t *out)
{
    memset(out, 0, HEADER_COPY_BYTES);
    memcpy(out + H_MAGIC, header_magic, sizeof header_magic);
    put32(out + H_VERSION, SEGMENT_VERSION);
    put32(out + H_BYTES, SEGMENT_HEADER_BYTES);
    memcpy(out + H_EPOCH, header->epoch.b, sizeof header->epoch.b);
    put64(out + H_NUMBER, header->number);
    put64(out + H_FIRST, header->first_seq);
    put64(out + H_CREATED, (uint64_t)header->created_us);
    put32(out + H_CRC, record_crc(0, out, H_CRC));
    memcpy(out + HEADER_COPY_BYTES, out, HEADER_COPY_BYTES);
}

static int header_copy_decode(const uint8_t *p, struct segment_header *out)
{
    if (memcmp(p + H_MAGIC, header_magic, sizeof header_magic) != 0 ||
        get32(p + H_CRC) != record_crc(0, p, H_CRC))
        return ERR_CORRUPT;
    if (get32(p + H_VERSION) != SEGMENT_VERSION || get32(p + H_BYTES) != SEGMENT_HEADER_BYTES ||
        get32(p + H_FLAGS) != 0)
        return ERR_VERSION;
    out->number = get64(p + H_NUMBER);
    out->first_seq = get64(p + H_FIRST);
    out->created_us = (int64_t)get64(p + H_CREATED);
    memcpy(out->epoch.b, p + H_EPOCH, sizeof out->epoch.b);
    return 0;
}

int segment_header_decode(const uint8_t *p, struct segment_header *out)
{
    int rc = header_copy_decode(p, out);
    return rc == ERR_CORRUPT ? header_copy_decode(p + HEADER_COPY_BYTES, out) : rc;
}

void segment_summary_add(struct segment_summary *summary, const struct segment_summary *more, uint64_t bytes)
{
    if (more->records == 0)
        return;
    if (summary->records == 0) {
        summary->first_seq = more->first_seq;
        summary->first_ts = more->first_ts;
        summary->max_ts = more->max_ts;
    }
    summary->last_seq = more->last_seq;
    if (more->max_ts > summary->max_ts)
        summary->max_ts = more->max_ts;
    summary->records += more->records;
    summary->end += bytes;
}

struct segment_summary segment_summary_of(const struct record *record)
{
    return (struct segment_summary){.records = 1,
                                    .first_seq = record->seq,
                                    .last_seq = record->seq,
                                    .first_ts = record->ts_us,
                                    .max_ts = record->ts_us};
}

void segment_footer_encode(uint32_t seed, const struct segment_summary *summary, uint8_t *out)
{
    memcpy(out + F_MAGIC, footer_magic, sizeof footer_magic);
    put64(out + F_END, summary->end);
    put64(out + F_RECORDS, summary->records);
    put64(out + F_FIRST, summary->first_seq);
    put64(out + F_LAST, summary->last_seq);
    put64(out + F_FIRST_TS, (uint64_t)summary->first_ts);
    put64(out + F_MAX_TS, (uint64_t)summary->max_ts);
    put32(out + F_ZERO, 0);
    put32(out + F_CRC, record_crc(seed, out, F_CRC));
}

bool segment_footer_decode(uint32_t seed, const uint8_t *p, struct segment_summary *out)
{
    if (memcmp(p + F_MAGIC, footer_magic, sizeof footer_magic) != 0 ||
        get32(p + F_CRC) != record_crc(seed, p, F_CRC))
        return false;
    *out = (struct segment_summary){.end = get64(p + F_END),
                                    .records = get64(p + F_RECORDS),
                                    .first_seq = get64(p + F_FIRST),
                                    .last_seq = get64(p + F_LAST),
                                    .first_ts = (int64_t)get64(p + F_FIRST_TS),
                                    .max_ts = (int64_t)get64(p + F_MAX_TS)};
    return out->end >= SEGMENT_HEADER_BYTES;
}
