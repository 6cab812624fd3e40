/* SPDX-License-Identifier: Apache-2.0
 *
 * keyfile: see keyfile.h.
 */
#include "keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static int write_all(int fd, struct slice text, const char *path, struct err *err)
{
    if (write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) != 0)
        return err_errno(err, errno, "key file %s cannot be written", path);
    return 0;
}

static int give_to_owner(int fd, const char *path, struct err *err)
{
    char copy[PATH_BYTES];
    struct stat dir;
    if (geteuid() != 0)
        return 0;
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (stat(dirname(copy), &dir) != 0 || fchown(fd, dir.st_uid, dir.st_gid) != 0)
        return err_errno(err, errno, "key file %s cannot be given to its directory's owner", path);
    return 0;
}

int keyfile_write(const char *path, struct slice text, mode_t mode, struct err *err)
{
    char temporary[PATH_BYTES];
    if (snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)getpid()) >= (int)sizeof temporary)
        return err_set(err, ERR_CONFIG, "key file %s: the path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, errno, "key file %s cannot be made", path);
    int rc = give_to_owner(fd, path, err);
    if (rc == 0)
        rc = write_all(fd, text, path, err);
    (void)close(fd);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_errno(err, errno, "key file %s cannot be made", path);
    if (rc != 0)
        (void)unlink(temporary);
    return rc;
}
