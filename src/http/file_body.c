/* SPDX-License-Identifier: Apache-2.0
 *
 * file_body: see file_body.h.
 */
#include "file_body.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

struct http_file {
    int fd;
    uint64_t bytes, read_bytes;
    char *piece; /* HTTP_FILE_PIECE_BYTES */
    size_t piece_bytes, taken;
    struct exchange *exchange; /* NULL once destroyed */
    uv_fs_t read;
    bool reading, broken;
};

int http_reply_file(struct http_reply *reply, int fd, uint64_t bytes)
{
    struct http_file *file = calloc(1, sizeof *file);
    char *piece = malloc(HTTP_FILE_PIECE_BYTES);
    if (file == NULL || piece == NULL) {
        free(piece);
        free(file);
        close(fd);
        return ERR_NO_MEMORY;
    }
    *file = (struct http_file){.fd = fd, .bytes = bytes, .piece = piece};
    reply->file = file;
    return 0;
}

static void free_file(struct http_file *file)
{
    close(file->fd);
    free(file->piece);
    free(file);
}

static void on_read(uv_fs_t *read)
{
    struct http_file *file = read->data;
    ssize_t n = read->result;
    uv_fs_req_cleanup(read);
    file->reading = false;
    if (file->exchange == NULL) {
        free_file(file);
        return;
    }
    file->broken = n <= 0;
    file->piece_bytes = n > 0 ? (size_t)n : 0;
    file->taken = 0;
    file->read_bytes += file->piece_bytes;
    file->exchange->owner->more(file->exchange);
}

static void read_on(struct http_file *file)
{
    uint64_t left = file->bytes - file->read_bytes;
    uv_buf_t buf =
        uv_buf_init(file->piece, (unsigned)(left < HTTP_FILE_PIECE_BYTES ? left : HTTP_FILE_PIECE_BYTES));
    file->read.data = file;
    file->reading = true;
    if (uv_fs_read(file->exchange->http->loop, &file->read, file->fd, &buf, 1, (int64_t)file->read_bytes,
                   on_read) == 0)
        return;
    file->reading = false;
    file->broken = true;
}

struct slice file_body_pending(struct http_file *file, struct exchange *exchange)
{
    file->exchange = exchange;
    if (file->taken == file->piece_bytes && !file->reading && !file->broken && file->read_bytes < file->bytes)
        read_on(file);
    if (file->reading)
        return (struct slice){NULL, 0};
    return (struct slice){file->piece + file->taken, file->piece_bytes - file->taken};
}

void file_body_taken(struct http_file *file, size_t n)
{
    assert(n == 0 || (!file->reading && n <= file->piece_bytes - file->taken));
    file->taken += n;
}

enum reply_end file_body_end(const struct http_file *file)
{
    if (file->broken)
        return END_BROKEN;
    return !file->reading && file->read_bytes == file->bytes && file->taken == file->piece_bytes
               ? END_WHOLE
               : END_NOT_YET;
}

uint64_t file_body_bytes(const struct http_file *file)
{
    return file->bytes;
}

void file_body_destroy(struct http_file **file)
{
    struct http_file *self = *file;
    *file = NULL;
    if (self == NULL)
        return;
    self->exchange = NULL;
    if (!self->reading)
        free_file(self);
}
