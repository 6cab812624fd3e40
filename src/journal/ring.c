/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: see ring.h.
 */
#include "ring.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { RING_VERSION = 2, TRIM_BYTES = RING_MIN_BYTES };
static const uint8_t magic[8] = {'M', 'A', 'R', 'I', 'N', 'G', 0x1a, '\n'};

struct ring_epochs {
    uint64_t n;
    struct {
        uint64_t from;
        struct epoch epoch;
    } entry[RING_EPOCHS];
};

/* Of this machine's byte order: a tmpfs never leaves it. head and tail have a cache line each. */
struct ring_header {
    uint8_t magic[8]; /* written last when the file is made */
    uint64_t version;
    uint64_t bytes;
    _Atomic uint64_t table; /* which of epochs[] holds */
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) struct ring_epochs epochs[2];
    char spool[RING_SPOOL_BYTES]; /* for whoever finds the ring */
};
_Static_assert(sizeof(struct ring_header) <= RING_HEADER_BYTES, "the ring's header is full");

static bool size_allowed(uint64_t bytes)
{
    return bytes >= RING_MIN_BYTES && bytes <= RING_MAX_BYTES && (bytes & (bytes - 1)) == 0;
}

/* Only we could have made it, and only we may write in it. */
static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 077) == 0 && st->st_nlink == 1;
}

static int open_file(struct ring *ring, struct err *err)
{
    struct stat st;
    struct statfs fs;
    ring->fd = open(ring->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (ring->fd < 0 || fstat(ring->fd, &st) != 0 || fstatfs(ring->fd, &fs) != 0)
        return err_errno(err, errno, "ring %s cannot be opened", ring->path);
    if (!is_ours(&st))
        return err_set(err, ERR_DENIED,
                       "ring %s belongs to somebody else: remove it, or choose another "
                       "directory for rings",
                       ring->path);
    if (flock(ring->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERR_BUSY, "ring %s is in use by another process: stop that first",
                             ring->path)
                   : err_errno(err, errno, "ring %s cannot be locked", ring->path);
    if (fstat(ring->fd, &st) != 0 || st.st_nlink == 0) /* what has no name outlives no kill */
        return err_set(err, ERR_BUSY, "ring %s was removed by its last owner just now: start again",
                       ring->path);
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        log_warning("ring %s is on no tmpfs: a disk that hangs may hold answers; choose /dev/shm or /run",
                    ring->path);
    return 0;
}

/* The mapping of header and data, and the data once more behind. */
static int map(struct ring *ring, size_t bytes, struct err *err)
{
    size_t once = RING_HEADER_BYTES + bytes;
    int prot = PROT_READ | PROT_WRITE;
    uint8_t *base = mmap(NULL, once + bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_errno(err, errno, "ring %s cannot be mapped", ring->path);
    if (mmap(base, once, prot, MAP_SHARED | MAP_FIXED, ring->fd, 0) == MAP_FAILED ||
        mmap(base + once, bytes, prot, MAP_SHARED | MAP_FIXED, ring->fd, RING_HEADER_BYTES) == MAP_FAILED) {
        int rc = err_errno(err, errno, "ring %s cannot be mapped", ring->path);
        munmap(base, once + bytes);
        return rc;
    }
    ring->header = (struct ring_header *)base;
    ring->data = base + RING_HEADER_BYTES;
    ring->bytes = bytes;
    return 0;
}

static void unmap(struct ring *ring)
{
    if (ring->header != NULL)
        munmap(ring->header, RING_HEADER_BYTES + 2 * ring->bytes);
    ring->header = NULL;
}

/* A new file. Its pages are reserved now: a tmpfs that is full must answer here, not with SIGBUS later. */
static int make(struct ring *ring, const char *spool, size_t bytes, struct err *err)
{
    if (ftruncate(ring->fd, 0) != 0)
        return err_errno(err, errno, "ring %s cannot be made", ring->path);
    int errnum = posix_fallocate(ring->fd, 0, (off_t)(RING_HEADER_BYTES + bytes));
    if (errnum != 0)
        return err_errno(err, errnum, "ring %s cannot have its %zu bytes", ring->path, bytes);
    int rc = map(ring, bytes, err);
    if (rc != 0)
        return rc;
    ring->header->version = RING_VERSION;
    ring->header->bytes = bytes;
    (void)snprintf(ring->header->spool, RING_SPOOL_BYTES, "%s", spool);
    atomic_signal_fence(memory_order_seq_cst);
    memcpy(ring->header->magic, magic, sizeof magic);
    return 0;
}

static bool header_sane(const struct ring *ring)
{
    const struct ring_header *header = ring->header;
    uint64_t head = atomic_load(&header->head), tail = atomic_load(&header->tail);
    uint64_t table = atomic_load(&header->table);
    return head - tail <= ring->bytes && table <= 1 && header->epochs[table].n <= RING_EPOCHS;
}

union header_copy {
    struct ring_header header;
    uint8_t bytes[sizeof(struct ring_header)];
};

/* Magic, version, head and tail, which no version moved: does a ring of any release hold records? */
static bool holds_records(int fd, union header_copy *copy)
{
    memset(copy, 0, sizeof *copy);
    if (pread(fd, copy->bytes, sizeof copy->bytes, 0) <= 0 ||
        memcmp(copy->header.magic, magic, sizeof magic) != 0)
        return false; /* its maker did not live to finish it */
    return atomic_load(&copy->header.head) != atomic_load(&copy->header.tail);
}

/* Maps the ring an earlier run left. *use false: there is none that holds anything. */
static int map_found(struct ring *ring, size_t bytes, bool *use, struct err *err)
{
    struct stat st;
    struct ring_header *header;
    union header_copy copy;
    *use = false;
    if (holds_records(ring->fd, &copy) && copy.header.version != RING_VERSION)
        return err_set(err, ERR_VERSION,
                       "ring %s was written by another release: start that one once, so that "
                       "it empties it",
                       ring->path);
    if (fstat(ring->fd, &st) != 0)
        return err_errno(err, errno, "ring %s cannot be read", ring->path);
    uint64_t found = (uint64_t)st.st_size;
    if (found < RING_HEADER_BYTES || !size_allowed(found - RING_HEADER_BYTES))
        return 0;
    int rc = map(ring, (size_t)found - RING_HEADER_BYTES, err);
    if (rc != 0)
        return rc;
    header = ring->header;
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return unmap(ring), 0;
    bool empty = atomic_load(&header->head) == atomic_load(&header->tail);
    if (header->bytes != ring->bytes || !header_sane(ring)) {
        log_error("ring %s is damaged and begun anew", ring->path);
        return unmap(ring), 0;
    }
    *use = header->version == RING_VERSION && (!empty || ring->bytes == bytes);
    if (!*use)
        unmap(ring);
    else if (ring->bytes != bytes)
        log_info("ring %s holds records and keeps its %zu bytes until the next start", ring->path,
                 ring->bytes);
    return 0;
}

/* Enters the epoch that begins at head into the other table, then makes that the one that holds: a crash in
 * between leaves the old one. */
static int add_epoch(struct ring *ring, const struct epoch *epoch, struct err *err)
{
    struct ring_header *header = ring->header;
    uint64_t now = atomic_load(&header->table), tail = atomic_load(&header->tail);
    const struct ring_epochs *old = &header->epochs[now];
    struct ring_epochs *fresh = &header->epochs[1 - now];
    uint64_t n = 0;
    for (uint64_t i = 0; i < old->n; i++) {
        uint64_t end = i + 1 < old->n ? old->entry[i + 1].from : ring->head;
        if (end > tail && end > old->entry[i].from) /* still holds something */
            fresh->entry[n++] = old->entry[i];
    }
    if (n == RING_EPOCHS)
        return err_set(err, ERR_FULL,
                       "ring %s holds records of %d runs: the journal's disk must work again first",
                       ring->path, RING_EPOCHS);
    fresh->entry[n].from = ring->head;
    fresh->entry[n].epoch = *epoch;
    fresh->n = n + 1;
    atomic_store(&header->table, 1 - now);
    return 0;
}

int ring_open(struct ring *ring, const char *path, const char *spool, size_t bytes, const struct epoch *epoch,
              struct err *err)
{
    bool use = false;
    *ring = (struct ring){.fd = -1};
    if (!size_allowed(bytes))
        return err_set(err, ERR_LIMIT, "ring: %zu bytes are no power of two from 256 KiB to 256 MiB", bytes);
    if ((ring->path = strdup(path)) == NULL)
        return err_set(err, ERR_NO_MEMORY, "ring: out of memory");
    int rc = open_file(ring, err);
    if (rc == 0)
        rc = map_found(ring, bytes, &use, err);
    if (rc == 0 && !use)
        rc = make(ring, spool, bytes, err);
    if (rc == 0) {
        ring->head = ring->found_end = atomic_load(&ring->header->head);
        ring->known_tail = atomic_load(&ring->header->tail);
        ring->trimmed = ring->known_tail - ring->known_tail % TRIM_BYTES;
        rc = add_epoch(ring, epoch, err);
    }
    if (rc != 0) {
        unmap(ring);
        if (ring->fd >= 0)
            close(ring->fd);
        free(ring->path);
        *ring = (struct ring){.fd = -1};
    }
    return rc;
}

void ring_close(struct ring *ring)
{
    if (ring->fd < 0)
        return;
    if (ring_head(ring) == ring_tail(ring))
        (void)unlink(ring->path);
    unmap(ring);
    close(ring->fd);
    free(ring->path);
    *ring = (struct ring){.fd = -1};
}

enum ring_kind ring_inspect(const char *path, char spool[RING_SPOOL_BYTES])
{
    struct stat st;
    union header_copy copy;
    enum ring_kind kind = RING_HOLDS;
    spool[0] = '\0';
    if (lstat(path, &st) != 0)
        return RING_NONE;
    int fd = is_ours(&st) ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd < 0)
        return is_ours(&st) ? RING_NONE : RING_FOREIGN;
    if (fstat(fd, &st) != 0 || !is_ours(&st))
        kind = st.st_nlink == 0 ? RING_NONE : RING_FOREIGN;
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        kind = RING_BUSY;
    else if (!holds_records(fd, &copy))
        kind = unlink(path) == 0 ? RING_EMPTY : RING_NONE;
    else if (copy.header.version == RING_VERSION)
        (void)snprintf(spool, RING_SPOOL_BYTES, "%.*s", RING_SPOOL_BYTES - 1, copy.header.spool);
    close(fd);
    return kind;
}

/* --- producer ------------------------------------------------------------------------------------------ */

uint8_t *ring_reserve(struct ring *ring, size_t n)
{
    if (ring->bytes - (ring->head - ring->known_tail) < n) {
        ring->known_tail = atomic_load_explicit(&ring->header->tail, memory_order_acquire);
        if (ring->bytes - (ring->head - ring->known_tail) < n)
            return NULL;
    }
    return ring->data + (ring->head & (ring->bytes - 1));
}

/* Sequentially consistent, as the consumer's check before it sleeps is: one of both sees the other. */
void ring_publish(struct ring *ring, size_t n)
{
    ring->head += n;
    atomic_store(&ring->header->head, ring->head);
}

size_t ring_used(struct ring *ring)
{
    if (ring->head - ring->known_tail > ring->bytes / 4)
        ring->known_tail = atomic_load_explicit(&ring->header->tail, memory_order_acquire);
    return (size_t)(ring->head - ring->known_tail);
}

/* --- consumer ------------------------------------------------------------------------------------------ */

uint64_t ring_head(const struct ring *ring)
{
    return atomic_load(&ring->header->head);
}

uint64_t ring_tail(const struct ring *ring)
{
    return atomic_load(&ring->header->tail);
}

/* Positions go round the whole ring even while it is almost empty. The file keeps its pages, this process
 * needn't: what is behind the tail is mapped again when the head comes round. That costs the producer a fault
 * a page, so under load the pages stay. */
static void trim(struct ring *ring, uint64_t to)
{
    to -= to % TRIM_BYTES;
    for (; !ring->kept && ring->trimmed < to; ring->trimmed += TRIM_BYTES)
        (void)madvise(ring->data + (ring->trimmed & (ring->bytes - 1)), TRIM_BYTES, MADV_DONTNEED);
    ring->trimmed = to;
}

void ring_keep(struct ring *ring, bool keep)
{
    if (ring->kept && !keep)
        (void)madvise(ring->data, 2 * ring->bytes, MADV_DONTNEED);
    ring->kept = keep;
}

void ring_release(struct ring *ring, uint64_t to)
{
    atomic_store_explicit(&ring->header->tail, to, memory_order_release);
    trim(ring, to);
}

const uint8_t *ring_at(const struct ring *ring, uint64_t pos)
{
    return ring->data + (pos & (ring->bytes - 1));
}

void ring_epoch_at(const struct ring *ring, uint64_t pos, struct epoch *epoch, uint64_t *end)
{
    const struct ring_epochs *epochs = &ring->header->epochs[atomic_load(&ring->header->table)];
    uint64_t i = epochs->n;
    *end = UINT64_MAX;
    while (i > 1 && epochs->entry[i - 1].from > pos)
        *end = epochs->entry[--i].from;
    *epoch = epochs->entry[i - 1].epoch;
}

int ring_parts(const struct ring *ring, uint64_t from, uint64_t to, struct iovec parts[2])
{
    size_t at = (size_t)(from & (ring->bytes - 1)), n = (size_t)(to - from);
    size_t first = n < ring->bytes - at ? n : ring->bytes - at;
    parts[0] = (struct iovec){ring->data + at, first};
    parts[1] = (struct iovec){ring->data, n - first};
    return first < n ? 2 : 1;
}
