/* SPDX-License-Identifier: Apache-2.0
 *
 * record: the bytes of a segment file: header, records, footer (docs/reference/journal-format.md). Pure; any
 * thread. Little endian throughout. Every CRC of a record starts from its segment's random epoch, so that
 * bytes inside a payload, which strangers write, can't pass for a record of the journal's own.
 */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include "journal.h"

enum {
    SEGMENT_VERSION = 2,        /* 1 checked headers otherwise: never released */
    SEGMENT_HEADER_BYTES = 128, /* the same 64 bytes twice: one damaged copy costs nothing */
    SEGMENT_FOOTER_BYTES = 64,
    RECORD_HEADER_BYTES = 32,
    RECORD_TOTAL_BYTES = RECORD_HEADER_BYTES + JOURNAL_RECORD_BYTES, /* the longest, with its header */
};

/* CRC32C (RFC 3720, B.4) of n bytes, continued from crc; 0 to begin. */
uint32_t record_crc(uint32_t crc, const void *bytes, size_t n);
uint32_t record_seed(const struct epoch *epoch);

struct record {
    uint64_t seq;
    int64_t ts_us;
    uint32_t payload_bytes;
    uint16_t kind;
};

static inline size_t record_bytes(const struct record *record)
{
    return RECORD_HEADER_BYTES + (size_t)record->payload_bytes;
}

/* Writes the header of a record with this payload (payload_bytes is taken from it). Cheapest when the payload
 * stands right behind the header already. */
void record_encode(uint32_t seed, struct record *record, struct slice payload, uint8_t *header);

/* Reads a header (RECORD_HEADER_BYTES); false when these bytes can't be one. The payload is not looked at. */
bool record_decode(uint32_t seed, const uint8_t *header, struct record *out);

/* The whole record at p, record_bytes long, after record_decode: does its CRC hold? */
bool record_intact(uint32_t seed, const uint8_t *p, const struct record *record);

/* The first place from *at on, before n, where a header's first bytes stand; n when there is none. */
size_t record_find(const uint8_t *p, size_t n, size_t at);

struct segment_header {
    uint64_t number;
    uint64_t first_seq;
    int64_t created_us;
    struct epoch epoch;
};

void segment_header_encode(const struct segment_header *header, uint8_t *out);
/* ERR_CORRUPT: neither copy holds. ERR_VERSION: written by a newer release. */
MUST_CHECK int segment_header_decode(const uint8_t *p, struct segment_header *out);

/* What a sealed segment holds: written behind its last record. */
struct segment_summary {
    uint64_t end; /* uncompressed offset behind the last record, where the footer stands */
    uint64_t records;
    uint64_t first_seq, last_seq; /* 0 when there are none */
    int64_t first_ts, max_ts;
};

/* Takes the next records, count of them, into the summary; end grows by bytes. */
void segment_summary_add(struct segment_summary *summary, const struct segment_summary *more, uint64_t bytes);
struct segment_summary segment_summary_of(const struct record *record);

void segment_footer_encode(uint32_t seed, const struct segment_summary *summary, uint8_t *out);
bool segment_footer_decode(uint32_t seed, const uint8_t *p, struct segment_summary *out);

#endif
