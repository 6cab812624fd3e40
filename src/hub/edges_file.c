/* SPDX-License-Identifier: Apache-2.0
 *
 * edges_file: the snapshot of edges.h: "MAED", version, the journal's position, the edges, and XXH3-64 of all
 * of it.
 */
#include "edges.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    FILE_BYTES = 512 * 1024 * 1024,
    FILE_VERSION = 2,
    FILE_VERSION_WITHOUT_HISTORY = 1,
    PATH_BYTES = 4096
};

#define MAGIC "MAED"

struct encoding {
    struct bytes_writer w;
    uint32_t count;
};

static void encode_edge(void *arg, struct edge *edge)
{
    struct encoding *e = arg;
    if (edge->epochs.count == 0)
        return; /* greeted, delivered nothing */
    bytes_put_u32(&e->w, edge->tenant);
    bytes_put_u8(&e->w, (uint8_t)strlen(edge->id));
    bytes_put(&e->w, edge->id, strlen(edge->id));
    epochs_encode(&edge->epochs, &e->w);
    history_encode(edge->history, &e->w);
    e->count++;
}

static int encode(struct edges *edges, struct journal_pos pos, struct buf *out)
{
    struct encoding e = {.w = {.out = out}};
    bytes_put(&e.w, MAGIC, 4);
    bytes_put_u8(&e.w, FILE_VERSION);
    bytes_put_u64(&e.w, pos.segment);
    bytes_put_u64(&e.w, pos.offset);
    edges_each(edges, encode_edge, &e);
    bytes_put_u32(&e.w, e.count);
    if (e.w.rc == 0)
        bytes_put_u64(&e.w, XXH3_64bits(out->p, out->n));
    return e.w.rc;
}

static int sync_dir(const char *path, struct err *err)
{
    char copy[PATH_BYTES];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "directory of %s", path);
    int rc = fsync(fd) == 0 ? 0 : err_errno(err, errno, "directory of %s", path);
    (void)close(fd);
    return rc;
}

static int write_file(const char *path, struct slice bytes, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "snapshot %s cannot be made", path);
    int rc = 0;
    while (rc == 0 && bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n > 0)
            bytes = (struct slice){bytes.p + n, bytes.n - (size_t)n};
        else if (n == 0 || errno != EINTR)
            rc = err_errno(err, n == 0 ? EIO : errno, "snapshot %s cannot be written", path);
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = err_errno(err, errno, "snapshot %s cannot be written", path);
    (void)close(fd);
    return rc;
}

int edges_save(struct edges *edges, const char *path, struct journal_pos pos, struct err *err)
{
    char temporary[PATH_BYTES];
    struct buf out;
    buf_init(&out, FILE_BYTES);
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return err_set(err, ERR_CONFIG, "snapshot %s: the path is too long", path);
    int rc = encode(edges, pos, &out);
    if (rc != 0)
        (void)err_set(err, rc, "snapshot %s is too large", path);
    else
        rc = write_file(temporary, buf_slice(&out), err);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_errno(err, errno, "snapshot %s cannot be made", path);
    if (rc == 0)
        rc = sync_dir(path, err);
    else
        (void)unlink(temporary);
    buf_fini(&out);
    return rc;
}

static int decode_edge(struct edges *edges, struct bytes_reader *r, unsigned version)
{
    uint32_t tenant = bytes_get_u32(r);
    struct slice id = bytes_get(r, bytes_get_u8(r));
    if (r->failed || !batch_edge_valid(id) || edges_find(edges, tenant, id) != NULL)
        return ERR_CORRUPT;
    struct edge *edge = edges_add(edges, tenant, id);
    int rc = edge != NULL ? epochs_decode(&edge->epochs, r) : ERR_NO_MEMORY;
    return rc != 0 || version == FILE_VERSION_WITHOUT_HISTORY ? rc : history_decode(&edge->history, r);
}

static int decode(struct edges *edges, struct slice bytes, struct journal_pos *pos)
{
    enum { HEAD_BYTES = 4 + 1 + 16, TAIL_BYTES = 4 + 8 };
    int rc = 0;
    if (bytes.n < HEAD_BYTES + TAIL_BYTES)
        return ERR_CORRUPT;
    struct bytes_reader tail = {.rest = {bytes.p + bytes.n - TAIL_BYTES, TAIL_BYTES}};
    uint32_t count = bytes_get_u32(&tail);
    if (bytes_get_u64(&tail) != XXH3_64bits(bytes.p, bytes.n - 8))
        return ERR_CORRUPT;
    struct bytes_reader r = {.rest = {bytes.p, bytes.n - TAIL_BYTES}};
    bool ours = slice_equal(bytes_get(&r, 4), SLICE(MAGIC));
    unsigned version = bytes_get_u8(&r);
    if (!ours || (version != FILE_VERSION && version != FILE_VERSION_WITHOUT_HISTORY))
        return ERR_CORRUPT;
    pos->segment = bytes_get_u64(&r);
    pos->offset = bytes_get_u64(&r);
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = decode_edge(edges, &r, version);
    return rc == 0 && r.rest.n > 0 ? ERR_CORRUPT : rc;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "snapshot %s", path);
    int rc = fstat(fd, &st) != 0 ? err_errno(err, errno, "snapshot %s", path) : 0;
    if (rc == 0)
        rc = buf_reserve(out, (size_t)st.st_size);
    while (rc == 0 && out->n < (size_t)st.st_size) {
        ssize_t n = read(fd, out->p + out->n, (size_t)st.st_size - out->n);
        if (n <= 0)
            rc = err_errno(err, n == 0 ? EIO : errno, "snapshot %s", path);
        else
            out->n += (size_t)n;
    }
    (void)close(fd);
    return rc;
}

static void forget(void *arg, struct edge *edge)
{
    (void)arg;
    epochs_fini(&edge->epochs);
    history_destroy(&edge->history);
}

int edges_load(struct edges *edges, const char *path, struct journal_pos *pos, struct err *err)
{
    struct buf bytes;
    buf_init(&bytes, FILE_BYTES);
    int rc = read_file(path, &bytes, err);
    if (rc == 0 && (rc = decode(edges, buf_slice(&bytes), pos)) != 0) {
        (void)err_set(err, rc, "snapshot %s is damaged", path);
        edges_each(edges, forget, NULL);
    }
    buf_fini(&bytes);
    return rc;
}
