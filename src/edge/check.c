/* SPDX-License-Identifier: Apache-2.0
 *
 * check: one function a step. See check.h.
 */
#include "check.h"

#include "identity.h"
#include "journal/ringdir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static void say(void *arg, bool ok, const char *line)
{
    (void)arg;
    (void)printf("%s  %s\n", ok ? "ok  " : "FAIL", line);
    (void)fflush(stdout);
}

/* Makes a file in dir and removes it again. */
static int try_to_write(const char *dir, const char *key, struct err *err)
{
    char path[IDENTITY_PATH_BYTES + 32];
    (void)snprintf(path, sizeof path, "%s/.check-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: directory %s is missing (make it)", key, dir);
    if (fd < 0)
        return err_errno(err, errno, "%s: cannot write in %s", key, dir);
    static const char block[4096] = "";
    int rc = write(fd, block, sizeof block) == (ssize_t)sizeof block && fsync(fd) == 0
                 ? 0
                 : err_errno(err, errno, "%s: cannot write in %s", key, dir);
    (void)unlink(path);
    close(fd);
    return rc;
}

static int check_spool(const struct proxy_config *settings, const struct identity *identity, struct err *err)
{
    (void)identity;
    int rc = identity_prepare_directory(settings, err);
    return rc == 0 ? try_to_write(settings->spool, "spool", err) : rc;
}

/* The setting, or the directory that a start would choose. */
static const char *ring_dir(const struct proxy_config *settings, const struct identity *identity)
{
    const char *dirs[SPOOL_RING_DIRS];
    if (settings->ring_dir[0] != '\0')
        return settings->ring_dir;
    identity_ring_dirs(identity, dirs);
    for (size_t i = 0; i < SPOOL_RING_DIRS; i++)
        if (ringdir_serves(dirs[i]))
            return dirs[i];
    return "/dev/shm";
}

static int check_ring(const struct proxy_config *settings, const struct identity *identity, struct err *err)
{
    struct statfs fs;
    const char *dir = ring_dir(settings, identity);
    int rc = try_to_write(dir, "ring_dir", err);
    if (rc != 0)
        return rc;
    if (statfs(dir, &fs) != 0)
        return err_errno(err, errno, "ring_dir %s", dir);
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        return err_set(
            err, ERR_CONFIG,
            "ring_dir %s is no tmpfs: a hung disk could hold answers (choose /dev/shm or a directory "
            "below /run)",
            dir);
    if (fs.f_type == TMPFS_MAGIC && fs.f_blocks != 0 &&
        (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < settings->ring)
        return err_set(err, ERR_FULL,
                       "ring_dir %s has less than ring = %llu bytes left (free some, or lower ring)", dir,
                       (unsigned long long)settings->ring);
    return 0;
}

static int check_keys(const struct proxy_config *settings, const struct identity *identity, struct err *err)
{
    (void)settings;
    return identity_can_greet(identity) ? 0 : err_set(err, ERR_CONFIG, "keys: " IDENTITY_MISSING);
}

static const struct step {
    int (*run)(const struct proxy_config *settings, const struct identity *identity, struct err *err);
    const char *fine;
} steps[] = {
    {check_spool, "spool: the directory is there and can be written"},
    {check_ring, "ring_dir: a tmpfs with room for the ring"},
    {check_keys, "keys: server_key and api_key are set"},
};
enum { STEPS = sizeof steps / sizeof *steps };

int check_all(const struct proxy_config *settings, struct err *err)
{
    struct identity *identity;
    int first = 0, rc = identity_create(&identity, settings, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < STEPS; i++) {
        struct err detail = {0};
        rc = steps[i].run(settings, identity, &detail);
        say(NULL, rc == 0, rc == 0 ? steps[i].fine : err_detail(&detail));
        if (first == 0 && rc != 0) {
            first = rc;
            *err = detail;
        }
    }
    if (rc == 0) { /* the keys are there */
        struct err detail = {0};
        rc = uplink_check(&identity->uplink, say, NULL, &detail);
        if (first == 0 && rc != 0) {
            first = rc;
            *err = detail;
        }
    }
    identity_destroy(&identity);
    return first;
}
