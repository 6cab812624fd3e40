/* SPDX-License-Identifier: Apache-2.0
 *
 * source: reading a segment file; see source.h.
 */
#include "source.h"

#include "packed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

void segment_name(char *out, uint64_t number, const char *suffix)
{
    (void)snprintf(out, SEGMENT_NAME_BYTES, "%016" PRIx64 "%s", number, suffix);
}

void source_init(struct source *source)
{
    *source = (struct source){.fd = -1};
}

void source_fini(struct source *source)
{
    source_close(source);
    free(source->window);
    free(source->frame);
    ZSTD_freeDCtx(source->zstd);
    source_init(source);
}

void source_close(struct source *source)
{
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    source->window_n = 0;
}

static int grow(uint8_t **p, size_t *capacity, size_t n)
{
    if (n <= *capacity)
        return 0;
    uint8_t *more = realloc(*p, n);
    if (more == NULL)
        return ERR_NO_MEMORY;
    *p = more;
    *capacity = n;
    return 0;
}

/* Up to n bytes at file offset at; *got says how many there are. */
static int read_at(const struct source *source, void *out, size_t n, uint64_t at, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = pread(source->fd, (char *)out + *got, n - *got, (off_t)(at + *got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return ERR_IO;
        if (r == 0)
            break;
        *got += (size_t)r;
    }
    return 0;
}

static int file_size(const struct source *source, uint64_t *bytes)
{
    struct stat st;
    if (fstat(source->fd, &st) != 0)
        return ERR_IO;
    *bytes = (uint64_t)st.st_size;
    return 0;
}

/* The footer at the end of a plain file, when there is one, else the file's size is the limit. */
static int find_end(struct source *source)
{
    uint8_t footer[SEGMENT_FOOTER_BYTES];
    uint64_t size = 0;
    size_t got = 0;
    int rc = file_size(source, &size);
    source->sealed = false;
    if (rc == 0 && size >= SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES)
        rc = read_at(source, footer, sizeof footer, size - sizeof footer, &got);
    if (got == sizeof footer && segment_footer_decode(source->seed, footer, &source->summary) &&
        source->summary.end == size - sizeof footer)
        source->sealed = true;
    source->limit = source->sealed ? source->summary.end : size;
    return rc;
}

static int read_head(struct source *source, struct err *err)
{
    uint8_t head[PACKED_HEAD_BYTES];
    const uint8_t *header = head, *footer = NULL;
    size_t got;
    int rc = read_at(source, head, sizeof head, 0, &got);
    if (rc != 0)
        return err_errno(err, errno, "segment cannot be read");
    source->packed = got == sizeof head && packed_head(head, &header, &footer);
    if (got < SEGMENT_HEADER_BYTES)
        return err_set(err, ERR_CORRUPT, "segment has no header");
    rc = segment_header_decode(header, &source->header);
    if (rc == ERR_VERSION)
        return err_set(err, rc, "segment was written by a newer release: install that release to read it");
    if (rc != 0)
        return err_set(err, rc, "segment header is damaged");
    source->seed = record_seed(&source->header.epoch);
    if (!source->packed)
        return source_refresh(source, err);
    if (!segment_footer_decode(source->seed, footer, &source->summary))
        return err_set(err, ERR_CORRUPT, "packed segment's head is damaged");
    source->sealed = true;
    source->limit = source->summary.end;
    return 0;
}

int source_refresh(struct source *source, struct err *err)
{
    if (source->packed)
        return 0;
    int rc = find_end(source);
    return rc == 0 ? 0 : err_errno(err, errno, "segment cannot be read");
}

int source_take(struct source *source, int fd, struct err *err)
{
    source_close(source);
    source->fd = fd;
    int rc = read_head(source, err);
    if (rc == 0)
        source_seek(source, SEGMENT_HEADER_BYTES);
    else
        source_close(source);
    return rc;
}

int source_open(struct source *source, int dir_fd, uint64_t number, struct err *err)
{
    static const char *const suffixes[] = {SEGMENT_PLAIN, SEGMENT_PACKED, SEGMENT_PLAIN};
    char name[SEGMENT_NAME_BYTES];
    source_close(source);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        segment_name(name, number, suffixes[i]);
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
            return source_take(source, fd, err);
        if (errno != ENOENT)
            return err_errno(err, errno, "segment %s cannot be opened", name);
    }
    return err_set(err, ERR_NOT_FOUND, "segment %016" PRIx64 " is gone", number);
}

void source_seek(struct source *source, uint64_t offset)
{
    if (offset < SEGMENT_HEADER_BYTES)
        offset = SEGMENT_HEADER_BYTES;
    if (source->packed && (offset < source->window_at || source->window_n == 0)) {
        source->window_n = 0;
        source->window_at = offset;
        source->next_chunk_at = PACKED_HEAD_BYTES;
    }
    source->offset = offset;
    source->last_seq = source->header.first_seq != 0 ? source->header.first_seq - 1 : 0;
    source->torn_offset = source->torn_limit = 0;
}

/* --- plain --------------------------------------------------------------------------------------------- */

/* Has [offset, offset + n) in the window. ERR_END when the limit (packed: the chunk) ends before. */
static int ensure(struct source *source, uint64_t offset, size_t n)
{
    uint64_t window_end = source->window_at + source->window_n;
    if (offset >= source->window_at && offset <= window_end && window_end - offset >= n)
        return 0;
    if (source->packed || offset > source->limit || source->limit - offset < n)
        return ERR_END;
    int rc = grow(&source->window, &source->capacity, n > SOURCE_WINDOW_BYTES ? n : SOURCE_WINDOW_BYTES);
    if (rc != 0)
        return rc;
    size_t kept = 0;
    if (offset >= source->window_at && offset < window_end) {
        kept = (size_t)(window_end - offset);
        memmove(source->window, source->window + (offset - source->window_at), kept);
    }
    uint64_t want = source->limit - offset;
    if (want > source->capacity)
        want = source->capacity;
    size_t got;
    source->window_at = offset;
    source->window_n = kept;
    rc = read_at(source, source->window + kept, (size_t)want - kept, offset + kept, &got);
    source->window_n += got;
    if (rc == 0 && source->window_n < n)
        rc = ERR_END;
    return rc;
}

/* The intact record at offset. ERR_END: cut off by the limit. ERR_CORRUPT: none here. */
static int record_at(struct source *source, uint64_t offset, struct record *out, const uint8_t **bytes)
{
    int rc = ensure(source, offset, RECORD_HEADER_BYTES);
    if (rc != 0)
        return rc;
    if (!record_decode(source->seed, source->window + (offset - source->window_at), out) ||
        out->seq <= source->last_seq)
        return ERR_CORRUPT;
    rc = ensure(source, offset, record_bytes(out));
    if (rc != 0)
        return rc;
    *bytes = source->window + (offset - source->window_at);
    return record_intact(source->seed, *bytes, out) ? 0 : ERR_CORRUPT;
}

/* The first intact record behind from, or stop. */
static int find_record(struct source *source, uint64_t from, uint64_t stop, uint64_t *found)
{
    uint64_t at = from;
    *found = stop;
    while (at < stop && stop - at >= RECORD_HEADER_BYTES) {
        int rc = ensure(source, at, RECORD_HEADER_BYTES);
        if (rc != 0)
            return rc == ERR_END ? 0 : rc;
        size_t base = (size_t)(at - source->window_at);
        size_t hit = record_find(source->window, source->window_n, base);
        if (hit == source->window_n) { /* the magic may straddle the window's end */
            at = source->window_at + source->window_n - 3;
            continue;
        }
        struct record record;
        const uint8_t *bytes;
        at = source->window_at + hit;
        rc = record_at(source, at, &record, &bytes);
        if (rc == 0)
            *found = at;
        if (rc != ERR_CORRUPT && rc != ERR_END)
            return rc;
        at++;
    }
    return 0;
}

/* There is no intact record at source->offset: says why. */
static int pass_damage(struct source *source)
{
    uint64_t from = source->offset, found;
    uint64_t stop = source->packed ? source->window_at + source->window_n : source->limit;
    if (from >= stop || (from == source->torn_offset && stop == source->torn_limit))
        return ERR_END;
    int rc = find_record(source, from + 1, stop, &found);
    if (rc != 0)
        return rc;
    if (found == stop && !source->sealed) {
        source->torn_offset = from;
        source->torn_limit = stop;
        return ERR_END;
    }
    source->damage.offset = from;
    source->damage.file_at = source->packed ? source->chunk_at : from;
    source->damage.bytes = source->packed ? source->next_chunk_at - source->chunk_at : found - from;
    source->offset = found;
    return ERR_CORRUPT;
}

/* --- packed -------------------------------------------------------------------------------------------- */

/* No chunk head at next_chunk_at: reports the bytes up to the next one, or to the end, as damage. */
static int skip_chunk_damage(struct source *source, uint64_t size)
{
    uint64_t from = source->next_chunk_at, at = from + 1;
    uint8_t piece[4096];
    struct packed_chunk chunk;
    size_t got = 0;
    for (; at<size; at += got> PACKED_CHUNK_HEAD_BYTES ? got - PACKED_CHUNK_HEAD_BYTES + 1 : size - at) {
        if (read_at(source, piece, sizeof piece, at, &got) != 0)
            return ERR_IO;
        size_t hit = 0;
        while ((hit = packed_chunk_find(piece, got, hit)) + PACKED_CHUNK_HEAD_BYTES <= got) {
            if (packed_chunk_decode(source->seed, piece + hit, &chunk))
                break;
            hit++;
        }
        if (hit + PACKED_CHUNK_HEAD_BYTES <= got) {
            at += hit;
            break;
        }
    }
    source->next_chunk_at = at < size ? at : size;
    source->damage.offset = source->offset;
    source->damage.file_at = from;
    source->damage.bytes = source->next_chunk_at - from;
    return ERR_CORRUPT;
}

/* Frame → window. False when the frame is damaged. */
static int unpack(struct source *source, const struct packed_chunk *chunk, bool *good)
{
    size_t got;
    int rc = grow(&source->window, &source->capacity, chunk->plain_bytes);
    if (rc == 0)
        rc = grow(&source->frame, &source->frame_capacity, chunk->frame_bytes);
    if (rc == 0 && source->zstd == NULL && (source->zstd = ZSTD_createDCtx()) == NULL)
        rc = ERR_NO_MEMORY;
    if (rc == 0)
        rc = read_at(source, source->frame, chunk->frame_bytes, source->chunk_at + PACKED_CHUNK_HEAD_BYTES,
                     &got);
    if (rc != 0)
        return rc;
    size_t n = ZSTD_decompressDCtx(source->zstd, source->window, chunk->plain_bytes, source->frame, got);
    *good = got == chunk->frame_bytes && !ZSTD_isError(n) && n == chunk->plain_bytes;
    return 0;
}

/* The chunk that holds source->offset, or the next behind it, into the window. */
static int load_chunk(struct source *source)
{
    for (;;) {
        uint8_t head[PACKED_CHUNK_HEAD_BYTES];
        struct packed_chunk chunk;
        uint64_t size;
        size_t got;
        int rc = file_size(source, &size);
        if (rc == 0 && source->next_chunk_at >= size)
            return ERR_END;
        if (rc == 0)
            rc = read_at(source, head, sizeof head, source->next_chunk_at, &got);
        if (rc != 0)
            return rc;
        source->window_n = 0;
        source->window_at = source->offset;
        if (got < sizeof head || !packed_chunk_decode(source->seed, head, &chunk) ||
            chunk.frame_bytes > size - source->next_chunk_at)
            return skip_chunk_damage(source, size);
        source->chunk_at = source->next_chunk_at;
        source->next_chunk_at += PACKED_CHUNK_HEAD_BYTES + chunk.frame_bytes;
        if (chunk.offset + chunk.plain_bytes <= source->offset)
            continue;
        bool good = false;
        rc = unpack(source, &chunk, &good);
        if (rc != 0)
            return rc;
        if (source->offset < chunk.offset)
            source->offset = chunk.offset;
        if (!good) {
            source->damage.offset = source->offset;
            source->damage.file_at = source->chunk_at;
            source->damage.bytes = source->next_chunk_at - source->chunk_at;
            source->offset = chunk.offset + chunk.plain_bytes;
            return ERR_CORRUPT;
        }
        source->window_at = chunk.offset;
        source->window_n = chunk.plain_bytes;
        return 0;
    }
}

int source_next(struct source *source, struct record *out, const uint8_t **bytes, struct err *err)
{
    int rc = 0;
    if (source->packed && source->offset >= source->window_at + source->window_n)
        rc = load_chunk(source);
    if (rc == 0) {
        rc = record_at(source, source->offset, out, bytes);
        if (rc == ERR_END || rc == ERR_CORRUPT)
            rc = pass_damage(source);
    }
    if (rc == 0) {
        source->offset += record_bytes(out);
        source->last_seq = out->seq;
    } else if (rc == ERR_IO) {
        return err_errno(err, errno, "segment cannot be read");
    } else if (rc == ERR_NO_MEMORY) {
        return err_set(err, rc, "segment cannot be read: out of memory");
    }
    return rc;
}
