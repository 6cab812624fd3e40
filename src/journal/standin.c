/* SPDX-License-Identifier: Apache-2.0
 *
 * standin: see standin.h; the file's form is in docs/reference/journal-format.md.
 */
#include "standin.h"

#include "inside.h"

#include "base/log.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { STANDINS_VERSION = 1 };
#define FILE_NAME "standins"
#define NEW_NAME  "standins.new"
static const uint8_t magic[8] = {'M', 'A', 'J', 'S', 'T', 'I', 0x1a, '\n'};

struct file_entry {
    struct epoch epoch, name;
    uint64_t base;
};

/* Little endian; whole whatever the count is, with zeroes behind. */
struct file {
    uint8_t magic[8];
    uint32_t version, count;
    struct file_entry entry[STANDINS];
    uint32_t crc; /* of all before it */
    uint32_t zero;
};

static uint32_t file_crc(const struct file *file)
{
    return record_crc(0, file, offsetof(struct file, crc));
}

static int decode(const struct file *file, struct standins *out)
{
    if (memcmp(file->magic, magic, sizeof magic) != 0 || le32toh(file->crc) != file_crc(file) ||
        le32toh(file->count) > STANDINS)
        return ERR_CORRUPT;
    out->count = le32toh(file->count);
    for (uint32_t i = 0; i < out->count; i++)
        out->entry[i] = (struct standin){
            .epoch = file->entry[i].epoch, .name = file->entry[i].name, .base = le64toh(file->entry[i].base)};
    return 0;
}

static void encode(const struct standins *standins, struct file *out)
{
    *out = (struct file){.version = htole32(STANDINS_VERSION), .count = htole32(standins->count)};
    memcpy(out->magic, magic, sizeof magic);
    for (uint32_t i = 0; i < standins->count; i++)
        out->entry[i] = (struct file_entry){.epoch = standins->entry[i].epoch,
                                            .name = standins->entry[i].name,
                                            .base = htole64(standins->entry[i].base)};
    out->crc = htole32(file_crc(out));
}

static int open_dir(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : err_errno(err, errno, "journal %s cannot be opened", dir);
}

int standins_load(const char *dir, struct standins *out, struct err *err)
{
    struct file file = {.count = 0};
    *out = (struct standins){.count = 0};
    int dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    int fd = openat(dir_fd, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, &file, sizeof file) : -1;
    int errnum = errno;
    if (fd >= 0)
        close(fd);
    close(dir_fd);
    if (fd < 0 && errnum == ENOENT)
        return 0;
    if (n < 0)
        return err_errno(err, errnum, "%s/" FILE_NAME " cannot be read", dir);
    if (n >= 16 && memcmp(file.magic, magic, sizeof magic) == 0 && le32toh(file.version) != STANDINS_VERSION)
        return err_set(
            err, ERR_VERSION,
            "%s/" FILE_NAME " was written by a newer release: install that release to open the spool", dir);
    if (n != (ssize_t)sizeof file || decode(&file, out) != 0)
        log_error("%s/" FILE_NAME " is damaged and not used: of what this machine had not sent before it was "
                  "set back, the hub may take some for known",
                  dir);
    return 0;
}

/* Replaces the file and makes that durable. */
static int store(int dir_fd, const struct file *file)
{
    int fd = openat(dir_fd, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    ssize_t n = write(fd, file, sizeof *file);
    int errnum = n == (ssize_t)sizeof *file ? 0 : n < 0 ? errno : ENOSPC;
    if (errnum == 0 && fsync(fd) != 0)
        errnum = errno;
    close(fd);
    if (errnum == 0 && renameat(dir_fd, NEW_NAME, dir_fd, FILE_NAME) != 0)
        errnum = errno;
    if (errnum != 0)
        (void)unlinkat(dir_fd, NEW_NAME, 0);
    else if (fsync(dir_fd) != 0)
        errnum = errno;
    return errnum;
}

int standins_add(const char *dir, struct standins *standins, const struct standin *standin, struct err *err)
{
    struct standins next = *standins;
    struct file file;
    if (next.count == STANDINS)
        memmove(next.entry, next.entry + 1, --next.count * sizeof *next.entry);
    next.entry[next.count++] = *standin;
    encode(&next, &file);
    int dir_fd = open_dir(dir, err);
    if (dir_fd < 0)
        return dir_fd;
    int errnum = store(dir_fd, &file);
    close(dir_fd);
    if (errnum != 0)
        return err_errno(err, errnum, "%s/" FILE_NAME " cannot be written", dir);
    *standins = next;
    return 0;
}

const struct standin *standins_find(const struct standins *standins, const struct epoch *epoch, uint64_t seq)
{
    for (uint32_t i = standins->count; i > 0; i--)
        if (epoch_equal(&standins->entry[i - 1].epoch, epoch) && standins->entry[i - 1].base < seq)
            return &standins->entry[i - 1];
    return NULL;
}
