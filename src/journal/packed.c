/* SPDX-License-Identifier: Apache-2.0
 *
 * packed: writing the compressed form; see packed.h. source.c reads it.
 */
#include "packed.h"

#include "base/buf.h"

#include <endian.h>
#include <errno.h>
#include <unistd.h>
#include <zstd.h>

/* Skippable frames (RFC 8878, 3.1.2): magic, u32 length, content. */
static const uint8_t head_magic[8] = {0x5b, 0x2a, 0x4d, 0x18, SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES};
static const uint8_t chunk_magic[8] = {0x5c, 0x2a, 0x4d, 0x18, PACKED_CHUNK_HEAD_BYTES - 8};

enum { C_OFFSET = 8, C_PLAIN_BYTES = 16, C_FRAME_BYTES = 20, C_ZERO = 24, C_CRC = 28 };

bool packed_head(const uint8_t *p, const uint8_t **header, const uint8_t **footer)
{
    if (memcmp(p, head_magic, sizeof head_magic) != 0)
        return false;
    *header = p + sizeof head_magic;
    *footer = *header + SEGMENT_HEADER_BYTES;
    return true;
}

static void chunk_encode(uint32_t seed, const struct packed_chunk *chunk, uint8_t *p)
{
    uint64_t offset = htole64(chunk->offset);
    uint32_t words[3] = {htole32(chunk->plain_bytes), htole32(chunk->frame_bytes), 0};
    memcpy(p, chunk_magic, sizeof chunk_magic);
    memcpy(p + C_OFFSET, &offset, sizeof offset);
    memcpy(p + C_PLAIN_BYTES, words, sizeof words);
    uint32_t crc = htole32(record_crc(seed, p, C_CRC));
    memcpy(p + C_CRC, &crc, sizeof crc);
}

bool packed_chunk_decode(uint32_t seed, const uint8_t *p, struct packed_chunk *out)
{
    uint64_t offset;
    uint32_t plain, frame, crc;
    if (memcmp(p, chunk_magic, sizeof chunk_magic) != 0)
        return false;
    memcpy(&offset, p + C_OFFSET, sizeof offset);
    memcpy(&plain, p + C_PLAIN_BYTES, sizeof plain);
    memcpy(&frame, p + C_FRAME_BYTES, sizeof frame);
    memcpy(&crc, p + C_CRC, sizeof crc);
    *out = (struct packed_chunk){le64toh(offset), le32toh(plain), le32toh(frame)};
    return le32toh(crc) == record_crc(seed, p, C_CRC) && out->plain_bytes <= PACKED_CHUNK_MAX &&
           out->frame_bytes <= ZSTD_COMPRESSBOUND(PACKED_CHUNK_MAX) && out->offset <= UINT64_MAX / 2;
}

size_t packed_chunk_find(const uint8_t *p, size_t n, size_t at)
{
    const uint8_t *found = at < n ? memmem(p + at, n - at, chunk_magic, sizeof chunk_magic) : NULL;
    return found != NULL ? (size_t)(found - p) : n;
}

struct packer {
    int fd;
    uint32_t seed;
    uint64_t written;
    uint64_t chunk_offset;
    struct buf plain, frame;
    ZSTD_CCtx *zstd;
    struct err *err;
};

static int write_all(struct packer *packer, const void *bytes, size_t n)
{
    for (const char *p = bytes; n != 0;) {
        ssize_t wrote = write(packer->fd, p, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return err_errno(packer->err, wrote < 0 ? errno : ENOSPC, "packed segment cannot be written");
        p += wrote;
        n -= (size_t)wrote;
        packer->written += (uint64_t)wrote;
    }
    return 0;
}

static int write_chunk(struct packer *packer)
{
    if (packer->plain.n == 0)
        return 0;
    size_t bound = PACKED_CHUNK_HEAD_BYTES + ZSTD_compressBound(packer->plain.n);
    buf_clear(&packer->frame);
    int rc = buf_reserve(&packer->frame, bound);
    if (rc != 0)
        return err_set(packer->err, rc, "segment cannot be packed: out of memory");
    size_t n = ZSTD_compress2(packer->zstd, packer->frame.p + PACKED_CHUNK_HEAD_BYTES,
                              bound - PACKED_CHUNK_HEAD_BYTES, packer->plain.p, packer->plain.n);
    if (ZSTD_isError(n))
        return err_set(packer->err, ERR_NO_MEMORY, "segment cannot be packed: %s", ZSTD_getErrorName(n));
    struct packed_chunk chunk = {packer->chunk_offset, (uint32_t)packer->plain.n, (uint32_t)n};
    chunk_encode(packer->seed, &chunk, (uint8_t *)packer->frame.p);
    buf_clear(&packer->plain);
    return write_all(packer, packer->frame.p, PACKED_CHUNK_HEAD_BYTES + n);
}

static int write_head(struct packer *packer, const struct source *from, const struct segment_summary *summary)
{
    uint8_t head[PACKED_HEAD_BYTES];
    memcpy(head, head_magic, sizeof head_magic);
    segment_header_encode(&from->header, head + sizeof head_magic);
    segment_footer_encode(from->seed, summary, head + sizeof head_magic + SEGMENT_HEADER_BYTES);
    return write_all(packer, head, sizeof head);
}

/* One record more; a chunk ends where it is long enough or where the offsets jump. */
static int add_record(struct packer *packer, const struct source *from, const uint8_t *bytes, size_t n)
{
    uint64_t offset = from->offset - n;
    int rc = 0;
    if (packer->plain.n >= PACKED_CHUNK_BYTES || packer->chunk_offset + packer->plain.n != offset)
        rc = write_chunk(packer);
    if (packer->plain.n == 0)
        packer->chunk_offset = offset;
    if (rc == 0 && (rc = buf_add(&packer->plain, bytes, n)) != 0)
        (void)err_set(packer->err, rc, "segment cannot be packed: out of memory");
    return rc;
}

/* The next record of `from` into the packer. ERR_END: it was the last. */
static int take_record(struct packer *packer, struct source *from, const struct packed_calls *calls)
{
    struct record record;
    const uint8_t *bytes;
    int rc = source_next(from, &record, &bytes, packer->err);
    if (rc == ERR_CORRUPT && calls->damaged != NULL)
        calls->damaged(calls->arg, from);
    if (rc == 0 && calls->change != NULL)
        rc = calls->change(calls->arg, &record, &bytes);
    if (rc == 0)
        rc = add_record(packer, from, bytes, record_bytes(&record));
    return rc == ERR_CORRUPT ? 0 : rc;
}

int packed_write(int fd, struct source *from, const struct segment_summary *summary, int level,
                 const struct packed_calls *calls, uint64_t *file_bytes, struct err *err)
{
    struct packer packer = {.fd = fd, .seed = from->seed, .zstd = ZSTD_createCCtx(), .err = err};
    buf_init(&packer.plain, PACKED_CHUNK_MAX);
    buf_init(&packer.frame, PACKED_CHUNK_HEAD_BYTES + ZSTD_COMPRESSBOUND(PACKED_CHUNK_MAX));
    int rc = packer.zstd != NULL ? 0 : err_set(err, ERR_NO_MEMORY, "segment cannot be packed: out of memory");
    if (rc == 0) {
        (void)ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_compressionLevel, level);
        (void)ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_checksumFlag, 1);
        rc = write_head(&packer, from, summary);
    }
    source_seek(from, SEGMENT_HEADER_BYTES);
    while (rc == 0)
        rc = take_record(&packer, from, calls);
    if (rc == ERR_END)
        rc = write_chunk(&packer);
    if (rc == 0 && fsync(fd) != 0)
        rc = err_errno(err, errno, "packed segment cannot be synced");
    *file_bytes = packer.written;
    ZSTD_freeCCtx(packer.zstd);
    buf_fini(&packer.plain);
    buf_fini(&packer.frame);
    return rc;
}
