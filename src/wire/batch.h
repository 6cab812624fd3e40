/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: records of one epoch on their way. Two layers, both pure:
 * body: what an edge sends: records back to back, each u32 length, u16 kind, u16 zero, i64 ts_us, payload
 * (little endian), compressed as one zstd frame (RFC 8878) that states its size. seq is first_seq plus the
 * record's index.
 * commit: what the hub journals: who sent the body, when, on which session; then the body as it came.
 * Reading is bounded: BATCH_BODY_BYTES uncompressed, BATCH_RECORDS, and each length checked before memory is
 * taken.
 */
#ifndef WIRE_BATCH_H
#define WIRE_BATCH_H

#include "base/buf.h"
#include "base/ip.h"
#include "journal/journal.h"

enum {
    BATCH_BODY_BYTES = 4 * 1024 * 1024, /* uncompressed */
    BATCH_ZSTD_BYTES = 1024 * 1024,     /* compressed, as sent */
    BATCH_RECORDS = 8192,
    BATCH_EDGE_BYTES = 64, /* an edge id: letters, digits, '.', '-', '_' */
};

enum record_kind {
    RECORD_POLICY = 1, /* one policy request as Postfix sent it, with its empty line */
    RECORD_ERASED = 2, /* was one, and was erased at the hub (erase.h): nothing but its seq is left */
};

struct batch_record {
    uint64_t seq;
    int64_t ts_us;
    uint16_t kind;
    struct slice payload;
};

/* Collects records; one thread. */
struct batch_writer;
MUST_CHECK int batch_writer_create(struct batch_writer **out, int zstd_level);
void batch_writer_destroy(struct batch_writer **writer);
void batch_writer_clear(struct batch_writer *writer);
/* ERR_LIMIT: it would be too large; send what is there first. A record that an empty writer refuses can never
 * be sent. Full means BATCH_RECORDS, or about 1 MiB before compression, so that what cannot be compressed
 * fits into BATCH_ZSTD_BYTES too. */
MUST_CHECK int batch_writer_add(struct batch_writer *writer, uint16_t kind, int64_t ts_us,
                                struct slice payload);
uint32_t batch_writer_count(const struct batch_writer *writer);
/* Compresses; *body is valid until the next finish; *hash is XXH3-64 of the uncompressed records.
 * ERR_INVALID when it is empty. */
MUST_CHECK int batch_writer_finish(struct batch_writer *writer, struct slice *body, uint64_t *hash);

/* Opens a body: decompresses into memory of the reader's own, checks the hash, the count and every length, so
 * that batch_reader_next can only succeed or end. ERR_INVALID, ERR_LIMIT, ERR_CORRUPT (hash). Reusable. One
 * thread. */
struct batch_reader;
MUST_CHECK int batch_reader_create(struct batch_reader **out);
void batch_reader_destroy(struct batch_reader **reader);
MUST_CHECK int batch_reader_open(struct batch_reader *reader, struct slice body, uint64_t first_seq,
                                 uint32_t count, uint64_t hash, struct err *err);
/* The same for the body of a commit that was erased in: zeros may follow its frame, and its hash is that of
 * the batch as it was. */
MUST_CHECK int batch_reader_open_erased(struct batch_reader *reader, struct slice body, uint64_t first_seq,
                                        uint32_t count, struct err *err);
/* False at the end. Payloads are valid until the next open. */
bool batch_reader_next(struct batch_reader *reader, struct batch_record *out);

/* Is this an edge id? */
bool batch_edge_valid(struct slice edge);

/* The hub's journal record (kind COMMIT_BATCH); the journal record's own ts_us is hub_ts. */
enum commit_kind { COMMIT_BATCH = 1 };
enum commit_version { COMMIT_VERSION_SENT = 1, COMMIT_VERSION_ERASED = 2 /* see erase.h */ };
struct commit {
    uint32_t tenant;
    struct slice edge;
    struct epoch epoch;
    uint64_t first_seq;
    uint32_t count;
    uint64_t hash;
    int64_t hub_ts;
    int64_t clock_offset_us; /* edge's clock minus hub's */
    struct ip peer;          /* address of the edge */
    bool erased;             /* records were taken out of the body: batch_reader_open_erased */
    struct slice body;
};
/* Appends to out (its limit is the caller's). ERR_INVALID (edge id), ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int commit_encode(const struct commit *commit, struct buf *out);
/* Slices point into bytes. ERR_CORRUPT, ERR_VERSION. */
MUST_CHECK int commit_decode(struct slice bytes, struct commit *out);

#endif
