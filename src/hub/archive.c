/* SPDX-License-Identifier: Apache-2.0
 *
 * archive: see archive.h.
 */
#include "archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { LEVEL = 3, WINDOW_LOG = 27, PIECE_BYTES = 256 * 1024 };

struct archive_writer {
    int fd;
    ZSTD_CCtx *zstd;
    uint8_t in[PIECE_BYTES], out[PIECE_BYTES];
};

struct archive_reader {
    int fd;
    ZSTD_DCtx *zstd;
    ZSTD_inBuffer held;
    bool within; /* a frame of zstd */
    uint64_t left;
    size_t padding;
    uint8_t in[PIECE_BYTES];
};

bool archive_is_name(const char *path)
{
    size_t n = strlen(path), m = strlen(ARCHIVE_ENDING);
    return n > m && strcmp(path + n - m, ARCHIVE_ENDING) == 0;
}

/* --- writing ------------------------------------------------------------------------------------------- */

int archive_create(struct archive_writer **out, const char *path, struct err *err)
{
    struct archive_writer *w = malloc(sizeof *w);
    *out = NULL;
    if (w == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    w->zstd = ZSTD_createCCtx();
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = w->fd < 0 ? err_errno(err, errno, "%s can't be made", path) : 0;
    if (rc == 0 &&
        (w->zstd == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
         ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1))))
        rc = err_set(err, ERR_NO_MEMORY, "zstd can't be set up");
    *out = w;
    if (rc != 0)
        archive_destroy(out);
    return rc;
}

static int write_all(int fd, const uint8_t *bytes, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(fd, bytes + done, n - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return err_errno(err, wrote < 0 ? errno : ENOSPC, "the archive can't be written");
        done += (size_t)wrote;
    }
    return 0;
}

static int put(struct archive_writer *w, const void *bytes, size_t n, ZSTD_EndDirective how, struct err *err)
{
    ZSTD_inBuffer in = {bytes, n, 0};
    for (bool more = true; more;) {
        ZSTD_outBuffer out = {w->out, sizeof w->out, 0};
        size_t left = ZSTD_compressStream2(w->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            return err_set(err, ERR_NO_MEMORY, "zstd: %s", ZSTD_getErrorName(left));
        int rc = write_all(w->fd, w->out, out.pos, err);
        if (rc != 0)
            return rc;
        more = how == ZSTD_e_end ? left != 0 : in.pos < in.size;
    }
    return 0;
}

static int add_bytes(struct archive_writer *w, int fd, uint64_t bytes,
                     int (*check)(void *arg, struct err *err), void *arg, struct err *err)
{
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    int rc = 0;
    for (uint64_t left = bytes; rc == 0 && left > 0;) {
        ssize_t n = read(fd, w->in, left < sizeof w->in ? (size_t)left : sizeof w->in);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_errno(err, errno, "a file of the backup can't be read")
                         : err_set(err, ERR_IO, "a file of the backup is shorter than it was");
        left -= (uint64_t)n;
        rc = put(w, w->in, (size_t)n, ZSTD_e_continue, err);
        if (rc == 0)
            rc = check(arg, err);
    }
    return rc != 0 ? rc : put(w, zeros, tar_padding(bytes), ZSTD_e_continue, err);
}

int archive_add(struct archive_writer *w, const char *from, const char *name,
                int (*check)(void *arg, struct err *err), void *arg, struct err *err)
{
    uint8_t head[TAR_HEAD_BYTES];
    size_t n = 0;
    struct stat st;
    int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(err, errno, "%s can't be read", from);
    int rc = fstat(fd, &st) == 0 ? tar_write(name, (uint64_t)st.st_size, head, &n, err)
                                 : err_errno(err, errno, "%s", from);
    if (rc == 0)
        rc = put(w, head, n, ZSTD_e_continue, err);
    if (rc == 0)
        rc = add_bytes(w, fd, (uint64_t)st.st_size, check, arg, err);
    close(fd);
    return rc;
}

int archive_finish(struct archive_writer *w, struct err *err)
{
    static const uint8_t zeros[TAR_END_BYTES];
    int rc = put(w, zeros, sizeof zeros, ZSTD_e_end, err);
    return rc != 0 || fsync(w->fd) == 0 ? rc : err_errno(err, errno, "the archive can't be synced");
}

void archive_destroy(struct archive_writer **writer)
{
    struct archive_writer *w = *writer;
    if (w == NULL)
        return;
    if (w->fd >= 0)
        close(w->fd);
    (void)ZSTD_freeCCtx(w->zstd);
    free(w);
    *writer = NULL;
}

/* --- reading ------------------------------------------------------------------------------------------- */

int archive_open(struct archive_reader **out, const char *path, struct err *err)
{
    struct archive_reader *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    r->zstd = ZSTD_createDCtx();
    r->held.src = r->in;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = r->fd < 0 ? err_errno(err, errno, "%s can't be read", path) : 0;
    if (rc == 0 &&
        (r->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG))))
        rc = err_set(err, ERR_NO_MEMORY, "zstd can't be set up");
    *out = r;
    if (rc != 0)
        archive_close(out);
    return rc;
}

/* ERR_END: at the end of the file. */
static int refill(struct archive_reader *r, struct err *err)
{
    ssize_t n;
    do
        n = read(r->fd, r->in, sizeof r->in);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(err, errno, "the archive can't be read");
    r->held = (ZSTD_inBuffer){r->in, (size_t)n, 0};
    return n > 0 ? 0 : ERR_END;
}

/* Exactly n, or ERR_END when there is not one more. */
static int take(struct archive_reader *r, void *bytes, size_t n, struct err *err)
{
    ZSTD_outBuffer out = {bytes, n, 0};
    while (out.pos < out.size) {
        size_t before = r->held.pos, had = out.pos;
        size_t hint = ZSTD_decompressStream(r->zstd, &out, &r->held);
        if (ZSTD_isError(hint))
            return err_set(err, ERR_CORRUPT, "it is damaged, or no archive: %s", ZSTD_getErrorName(hint));
        if (r->held.pos != before || out.pos != had)
            r->within = hint != 0;
        if (out.pos == out.size || r->held.pos < r->held.size || out.pos != had)
            continue;
        int rc = refill(r, err);
        if (rc == ERR_END && (r->within || out.pos > 0))
            return err_set(err, ERR_CORRUPT, "it ends too early");
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_block(struct archive_reader *r, uint8_t block[TAR_BLOCK_BYTES], struct err *err)
{
    int rc = take(r, block, TAR_BLOCK_BYTES, err);
    return rc == ERR_END ? err_set(err, ERR_CORRUPT, "it ends too early") : rc;
}

static int expect_end(struct archive_reader *r, struct err *err)
{
    uint8_t block[TAR_BLOCK_BYTES], more;
    struct tar_entry entry;
    int rc = take_block(r, block, err);
    if (rc == 0)
        rc = tar_read(block, &entry, err);
    if (rc == 0 && entry.type == TAR_END)
        rc = take(r, &more, 1, err);
    return rc != 0 ? rc : err_set(err, ERR_INVALID, "it has something behind its end");
}

/* The head behind an extended one, and what that one says of it. */
static int extended(struct archive_reader *r, struct tar_entry *entry, struct err *err)
{
    uint8_t records[TAR_PAX_BYTES + TAR_BLOCK_BYTES], block[TAR_BLOCK_BYTES];
    size_t n = (size_t)entry->bytes;
    int rc = n > 0 ? take(r, records, n + tar_padding(n), err) : 0;
    if (rc == 0)
        rc = take_block(r, block, err);
    if (rc == 0)
        rc = tar_read(block, entry, err);
    if (rc == 0 && entry->type != TAR_FILE)
        rc = err_set(err, ERR_INVALID, "it has a header of nothing");
    if (rc == 0)
        rc = tar_pax((struct slice){(const char *)records, n}, entry, err);
    return rc == ERR_END ? err_set(err, ERR_CORRUPT, "it ends too early") : rc;
}

int archive_next(struct archive_reader *r, struct tar_entry *entry, struct err *err)
{
    uint8_t block[TAR_BLOCK_BYTES];
    assert(r->left == 0);
    int rc = r->padding > 0 ? take(r, block, r->padding, err) : 0;
    if (rc == 0)
        rc = take_block(r, block, err);
    if (rc == 0)
        rc = tar_read(block, entry, err);
    if (rc == 0 && entry->type == TAR_END)
        return expect_end(r, err);
    if (rc == 0 && entry->type == TAR_PAX)
        rc = extended(r, entry, err);
    r->left = rc == 0 ? entry->bytes : 0;
    r->padding = rc == 0 ? tar_padding(entry->bytes) : 0;
    return rc == ERR_END ? err_set(err, ERR_CORRUPT, "it ends too early") : rc;
}

int archive_read(struct archive_reader *r, void *out, size_t n, struct err *err)
{
    assert(n <= r->left);
    int rc = take(r, out, n, err);
    r->left -= rc == 0 ? n : 0;
    return rc == ERR_END ? err_set(err, ERR_CORRUPT, "it ends too early") : rc;
}

void archive_close(struct archive_reader **reader)
{
    struct archive_reader *r = *reader;
    if (r == NULL)
        return;
    if (r->fd >= 0)
        close(r->fd);
    (void)ZSTD_freeDCtx(r->zstd);
    free(r);
    *reader = NULL;
}
