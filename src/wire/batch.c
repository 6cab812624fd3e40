/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: see batch.h. A body is decompressed in one call into a buffer of the size that its frame states and
 * that was checked first, so neither a lying content size nor a large window can take memory: the one-shot
 * decoder's window is the output buffer itself.
 */
#include "batch.h"
#include "bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum {
    RECORD_HEAD_BYTES = 16,
    /* What a writer takes, so that the worst case still fits into BATCH_ZSTD_BYTES once compressed. */
    WRITER_BYTES = BATCH_ZSTD_BYTES - BATCH_ZSTD_BYTES / 128,
};

static_assert(ZSTD_COMPRESSBOUND(WRITER_BYTES) <= BATCH_ZSTD_BYTES, "any full batch must fit when sent");

struct batch_writer {
    ZSTD_CCtx *zstd;
    struct buf records;
    char *compressed; /* BATCH_ZSTD_BYTES */
    uint32_t count;
};

int batch_writer_create(struct batch_writer **out, int zstd_level)
{
    struct batch_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return ERR_NO_MEMORY;
    buf_init(&w->records, WRITER_BYTES);
    w->zstd = ZSTD_createCCtx();
    w->compressed = malloc(BATCH_ZSTD_BYTES);
    if (w->zstd == NULL || w->compressed == NULL) {
        batch_writer_destroy(&w);
        return ERR_NO_MEMORY;
    }
    (void)ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, zstd_level); /* clamped, cannot fail */
    *out = w;
    return 0;
}

void batch_writer_destroy(struct batch_writer **writer)
{
    struct batch_writer *w = *writer;
    if (w == NULL)
        return;
    ZSTD_freeCCtx(w->zstd);
    free(w->compressed);
    buf_fini(&w->records);
    free(w);
    *writer = NULL;
}

void batch_writer_clear(struct batch_writer *writer)
{
    buf_clear(&writer->records);
    writer->count = 0;
}

int batch_writer_add(struct batch_writer *writer, uint16_t kind, int64_t ts_us, struct slice payload)
{
    if (writer->count == BATCH_RECORDS || payload.n > WRITER_BYTES - RECORD_HEAD_BYTES)
        return ERR_LIMIT;
    int rc = buf_reserve(&writer->records, RECORD_HEAD_BYTES + payload.n);
    if (rc != 0)
        return rc;
    struct bytes_writer w = {.out = &writer->records};
    bytes_put_u32(&w, (uint32_t)payload.n);
    bytes_put_u16(&w, kind);
    bytes_put_u16(&w, 0);
    bytes_put_i64(&w, ts_us);
    bytes_put(&w, payload.p, payload.n);
    writer->count += w.rc == 0;
    return w.rc;
}

uint32_t batch_writer_count(const struct batch_writer *writer)
{
    return writer->count;
}

int batch_writer_finish(struct batch_writer *writer, struct slice *body, uint64_t *hash)
{
    if (writer->count == 0)
        return ERR_INVALID;
    size_t n = ZSTD_compress2(writer->zstd, writer->compressed, BATCH_ZSTD_BYTES, writer->records.p,
                              writer->records.n);
    if (ZSTD_isError(n))
        return ERR_NO_MEMORY; /* the output always fits */
    *hash = XXH3_64bits(writer->records.p, writer->records.n);
    *body = (struct slice){writer->compressed, n};
    return 0;
}

struct batch_reader {
    ZSTD_DCtx *zstd;
    struct buf bytes;
    struct bytes_reader at;
    uint64_t next_seq;
};

int batch_reader_create(struct batch_reader **out)
{
    struct batch_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    buf_init(&r->bytes, BATCH_BODY_BYTES);
    r->zstd = ZSTD_createDCtx();
    if (r->zstd == NULL) {
        batch_reader_destroy(&r);
        return ERR_NO_MEMORY;
    }
    *out = r;
    return 0;
}

void batch_reader_destroy(struct batch_reader **reader)
{
    struct batch_reader *r = *reader;
    if (r == NULL)
        return;
    ZSTD_freeDCtx(r->zstd);
    buf_fini(&r->bytes);
    free(r);
    *reader = NULL;
}

/* One whole zstd frame that states its size: bounds first, then memory, then work. */
static int decompress(struct batch_reader *r, struct slice body, struct err *err)
{
    if (body.n > BATCH_ZSTD_BYTES)
        return err_set(err, ERR_LIMIT, "batch body has %zu bytes, %d are allowed", body.n, BATCH_ZSTD_BYTES);
    struct bytes_reader magic = {.rest = body};
    if (bytes_get_u32(&magic) != ZSTD_MAGICNUMBER) /* nor skippable or legacy frames */
        return err_set(err, ERR_INVALID, "batch body is no zstd frame");
    unsigned long long size = ZSTD_getFrameContentSize(body.p, body.n);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
        return err_set(err, ERR_INVALID, "batch body does not state its size");
    if (size > BATCH_BODY_BYTES)
        return err_set(err, ERR_LIMIT, "batch body claims %llu bytes, %d are allowed", size,
                       BATCH_BODY_BYTES);
    if (ZSTD_findFrameCompressedSize(body.p, body.n) != body.n)
        return err_set(err, ERR_INVALID, "batch body is cut or has bytes behind its frame");
    buf_clear(&r->bytes);
    int rc = buf_reserve(&r->bytes, (size_t)size);
    if (rc != 0)
        return err_set(err, rc, "no memory for a batch of %llu bytes", size);
    size_t n = ZSTD_decompressDCtx(r->zstd, r->bytes.p, (size_t)size, body.p, body.n);
    if (ZSTD_isError(n))
        return err_set(err, ERR_INVALID, "batch body does not decompress: %s", ZSTD_getErrorName(n));
    r->bytes.n = n;
    return 0;
}

static bool next_record(struct bytes_reader *at, struct batch_record *out)
{
    uint32_t n = bytes_get_u32(at);
    out->kind = bytes_get_u16(at);
    uint16_t zero = bytes_get_u16(at);
    out->ts_us = bytes_get_i64(at);
    out->payload = bytes_get(at, n);
    return !at->failed && zero == 0;
}

static int check_records(struct slice records, uint32_t count, struct err *err)
{
    struct bytes_reader at = {.rest = records};
    struct batch_record record;
    for (uint32_t i = 0; i < count; i++)
        if (!next_record(&at, &record))
            return err_set(err, ERR_INVALID, "record %u of %u in a batch is malformed", i, count);
    if (at.rest.n > 0)
        return err_set(err, ERR_INVALID, "batch has %zu bytes behind its %u records", at.rest.n, count);
    return 0;
}

/* hash NULL: there is none to go by. */
static int open_body(struct batch_reader *reader, struct slice body, uint64_t first_seq, uint32_t count,
                     const uint64_t *hash, struct err *err)
{
    reader->at = (struct bytes_reader){.failed = true};
    if (count == 0 || first_seq == 0 || first_seq > UINT64_MAX - count)
        return err_set(err, ERR_INVALID, "batch of %u records from seq %llu is not possible", count,
                       (unsigned long long)first_seq);
    if (count > BATCH_RECORDS)
        return err_set(err, ERR_LIMIT, "batch has %u records, %d are allowed", count, BATCH_RECORDS);
    int rc = decompress(reader, body, err);
    if (rc != 0)
        return rc;
    if (hash != NULL && XXH3_64bits(reader->bytes.p, reader->bytes.n) != *hash)
        return err_set(err, ERR_CORRUPT, "batch does not match its hash");
    rc = check_records(buf_slice(&reader->bytes), count, err);
    if (rc != 0)
        return rc;
    reader->at = (struct bytes_reader){.rest = buf_slice(&reader->bytes)};
    reader->next_seq = first_seq;
    return 0;
}

int batch_reader_open(struct batch_reader *reader, struct slice body, uint64_t first_seq, uint32_t count,
                      uint64_t hash, struct err *err)
{
    return open_body(reader, body, first_seq, count, &hash, err);
}

int batch_reader_open_erased(struct batch_reader *reader, struct slice body, uint64_t first_seq,
                             uint32_t count, struct err *err)
{
    size_t frame = ZSTD_findFrameCompressedSize(body.p, body.n);
    struct slice rest = body;
    if (!ZSTD_isError(frame) && frame <= body.n)
        rest.n = frame;
    for (size_t i = rest.n; i < body.n; i++)
        if (body.p[i] != '\0')
            return err_set(err, ERR_INVALID, "batch body has bytes behind its frame");
    return open_body(reader, rest, first_seq, count, NULL, err);
}

bool batch_reader_next(struct batch_reader *reader, struct batch_record *out)
{
    if (reader->at.failed || reader->at.rest.n == 0)
        return false;
    (void)next_record(&reader->at, out); /* checked at open */
    out->seq = reader->next_seq++;
    return true;
}
