/* SPDX-License-Identifier: Apache-2.0
 *
 * quarantine: see quarantine.h.
 */
#include "quarantine.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int quarantine_open(struct quarantine *quarantine, const char *dir, struct err *err)
{
    *quarantine = (struct quarantine){.files = 0};
    if (slice_to_string(slice_of(dir), quarantine->dir, sizeof quarantine->dir) != 0)
        return err_set(err, ERR_LIMIT, "the quarantine's path is too long");
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "the quarantine %s can't be made", dir);
    DIR *names = opendir(dir);
    if (names == NULL)
        return err_errno(err, errno, "the quarantine %s can't be read", dir);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;) {
        struct stat status;
        if (fstatat(dirfd(names), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode)) {
            quarantine->files++;
            quarantine->bytes += (uint64_t)status.st_size;
        }
    }
    (void)closedir(names);
    return 0;
}

static bool is_full(struct quarantine *quarantine, size_t more)
{
    bool full = quarantine->files >= QUARANTINE_FILES || quarantine->bytes + more > QUARANTINE_BYTES;
    if (full && !quarantine->full_said)
        log_warning("quarantine %s: full, what comes now is only counted; look at it and empty it",
                    quarantine->dir);
    quarantine->full_said |= full;
    return full;
}

void quarantine_keep(struct quarantine *quarantine, const char *name, const char *head, struct slice bytes)
{
    char path[PATH_MAX + NAME_MAX + 2];
    size_t all = strlen(head) + 1 + bytes.n;
    if (is_full(quarantine, all))
        return;
    (void)snprintf(path, sizeof path, "%s/%s", quarantine->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return;
    struct iovec parts[] = {{(void *)(uintptr_t)head, strlen(head)},
                            {(void *)(uintptr_t) "\n", 1},
                            {(void *)(uintptr_t)bytes.p, bytes.n}};
    if (fd < 0 || writev(fd, parts, 3) != (ssize_t)all)
        log_warning("quarantine %s: can't be written [%m]", path);
    if (fd < 0)
        return;
    (void)close(fd);
    quarantine->files++;
    quarantine->bytes += all;
}
