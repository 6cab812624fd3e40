/* SPDX-License-Identifier: Apache-2.0
 *
 * cursor: see cursor.h.
 */
#include "cursor.h"

#include "record.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 2, WORDS = 8, CURSOR_VERSION = 1 };
static const uint8_t magic[8] = {'M', 'A', 'J', 'C', 'U', 'R', 0x1a, '\n'};

/* A slot: magic, WORDS little-endian u64 (the first is the version), CRC32C of both; the rest is 0. */
struct slot {
    uint8_t magic[8];
    uint64_t word[WORDS];
    uint32_t crc;
    uint32_t zero;
};

static uint32_t slot_crc(const struct slot *slot)
{
    return record_crc(0, slot, offsetof(struct slot, crc));
}

static int slot_read(int fd, int index, struct cursor *out)
{
    struct slot slot;
    if (pread(fd, &slot, sizeof slot, (off_t)index * CURSOR_SLOT_BYTES) != (ssize_t)sizeof slot ||
        memcmp(slot.magic, magic, sizeof magic) != 0 || le32toh(slot.crc) != slot_crc(&slot))
        return ERR_NOT_FOUND;
    if (le64toh(slot.word[0]) != CURSOR_VERSION)
        return ERR_VERSION;
    *out = (struct cursor){.generation = le64toh(slot.word[1]),
                           .retired = {le64toh(slot.word[2]), le64toh(slot.word[3])},
                           .dropped_through = le64toh(slot.word[4]),
                           .dropped = le64toh(slot.word[5]),
                           .quarantined = le64toh(slot.word[6]),
                           .quarantined_bytes = le64toh(slot.word[7])};
    return 0;
}

static int slot_write(int fd, const struct cursor *cursor)
{
    union {
        struct slot slot;
        uint8_t bytes[CURSOR_SLOT_BYTES]; /* whole, so that the file has all its blocks from the start */
    } u = {.bytes = {0}};
    const uint64_t words[WORDS] = {CURSOR_VERSION,         cursor->generation,       cursor->retired.segment,
                                   cursor->retired.offset, cursor->dropped_through,  cursor->dropped,
                                   cursor->quarantined,    cursor->quarantined_bytes};
    memcpy(u.slot.magic, magic, sizeof magic);
    for (int i = 0; i < WORDS; i++)
        u.slot.word[i] = htole64(words[i]);
    u.slot.crc = htole32(slot_crc(&u.slot));
    off_t at = (off_t)(cursor->generation % SLOTS) * CURSOR_SLOT_BYTES;
    ssize_t n = pwrite(fd, u.bytes, sizeof u.bytes, at);
    if (n >= 0 && n < (ssize_t)sizeof u.bytes)
        errno = ENOSPC;
    return n == (ssize_t)sizeof u.bytes ? 0 : -1;
}

/* A new file gets both slots at once, so that later stores overwrite and never need space. */
static int cursor_make(int dir_fd, int fd, struct err *err)
{
    struct cursor cursor = {.generation = 0};
    int rc = slot_write(fd, &cursor);
    cursor.generation = 1;
    if (rc != 0 || slot_write(fd, &cursor) != 0 || fdatasync(fd) != 0 || fsync(dir_fd) != 0) {
        rc = err_errno(err, errno, "journal's cursor file cannot be made");
        (void)unlinkat(dir_fd, "cursor", 0);
        return rc;
    }
    return 0;
}

int cursor_open(int dir_fd, int *fd, struct cursor *out, struct err *err)
{
    struct cursor slots[SLOTS];
    int rcs[SLOTS];
    struct stat st;
    *out = (struct cursor){.generation = 1};
    *fd = openat(dir_fd, "cursor", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return err_errno(err, errno, "journal's cursor file cannot be opened");
    if (st.st_size < SLOTS * CURSOR_SLOT_BYTES)
        return cursor_make(dir_fd, *fd, err);
    for (int i = 0; i < SLOTS; i++) {
        rcs[i] = slot_read(*fd, i, &slots[i]);
        if (rcs[i] == ERR_VERSION)
            return err_set(err, ERR_VERSION,
                           "journal was written by a newer release: install that release to open it");
        if (rcs[i] == 0 && slots[i].generation >= out->generation)
            *out = slots[i];
    }
    return 0;
}

int cursor_store(int fd, struct cursor *cursor, bool durable, struct err *err)
{
    cursor->generation++;
    if (slot_write(fd, cursor) != 0 || (durable && fdatasync(fd) != 0))
        return err_errno(err, errno, "journal's cursor file cannot be written");
    return 0;
}
