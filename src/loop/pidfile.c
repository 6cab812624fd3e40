/* SPDX-License-Identifier: Apache-2.0
 *
 * pidfile: flock and a number. See pidfile.h.
 */
#include "pidfile.h"

#include "process.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { POLL_NS = 20 * 1000 * 1000, ASKED_US = 500 * 1000, TEXT_BYTES = 12, PATH_BYTES = 4096 };

struct pidfile {
    int fd;
};

/* FNV-1a, 64 bits: only to tell paths apart. */
static unsigned long long hash(const char *text)
{
    unsigned long long value = 0xcbf29ce484222325ULL;
    for (; *text != '\0'; text++)
        value = (value ^ (unsigned char)*text) * 0x100000001b3ULL;
    return value;
}

/* One in which others may write is none: they could lock the file first. */
static bool dir_serves(const char *path)
{
    struct stat st;
    return path[0] != '\0' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & S_IWOTH) == 0 &&
           faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
}

bool pidfile_default(char *out, size_t size, const char *program, const char *state_dir)
{
    char dirs[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES], usual[PROCESS_DIR_BYTES], name[PROCESS_DIR_BYTES];
    (void)snprintf(usual, sizeof usual, "/var/lib/%s", program);
    if (strcmp(state_dir, usual) == 0)
        (void)snprintf(name, sizeof name, "%s.pid", program);
    else
        (void)snprintf(name, sizeof name, "%s-%016llx.pid", program, hash(state_dir));
    process_runtime_dirs(program, dirs);
    for (size_t i = 0; i < PROCESS_RUNTIME_DIRS; i++)
        if (dir_serves(dirs[i]))
            return (size_t)snprintf(out, size, "%s/%s", dirs[i], name) < size;
    return false;
}

static long read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

/* Made by root it belongs to the directory's owner, whom the next start may run as. */
static int take_over(int fd, const char *path, struct err *err)
{
    char copy[PATH_BYTES];
    struct stat st, dir;
    if (fstat(fd, &st) != 0)
        return err_errno(err, errno, "pid file %s cannot be used", path);
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
        return err_set(err, ERR_DENIED, "pid file %s is a link or no file (remove it)", path);
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (geteuid() == 0 && (stat(dirname(copy), &dir) != 0 || fchown(fd, dir.st_uid, dir.st_gid) != 0))
        return err_errno(err, errno, "pid file %s cannot be given to its directory's owner", path);
    return 0;
}

/* Always over the same bytes, so that a start needs no space on a disk that is full. The lock is what counts:
 * without a number the program runs all the same. */
static void write_pid(int fd, const char *path)
{
    char text[TEXT_BYTES + 1];
    (void)snprintf(text, sizeof text, "%-*d\n", TEXT_BYTES - 1, (int)getpid());
    if (pwrite(fd, text, TEXT_BYTES, 0) == TEXT_BYTES && ftruncate(fd, TEXT_BYTES) == 0)
        return;
    log_warning("pid file %s cannot be written, -c stop and -c reload will not work: make room [%m]", path);
    int ignored = ftruncate(fd, 0); /* a stale number would be signalled */
    (void)ignored;
}

/* Who asks whether the program lives (pidfile_signal) holds the lock for a moment; that is no other owner. */
static bool lock(int fd)
{
    for (int64_t until_us = clock_monotonic_us() + ASKED_US; flock(fd, LOCK_EX | LOCK_NB) != 0;) {
        if (clock_monotonic_us() > until_us)
            return false;
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    return true;
}

int pidfile_open(struct pidfile **out, const char *path, struct err *err)
{
    struct pidfile *pidfile = calloc(1, sizeof *pidfile);
    if (pidfile == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the pid file");
    pidfile->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    int rc = pidfile->fd < 0 ? err_errno(err, errno, "pid file %s cannot be opened", path) : 0;
    if (rc == 0 && !lock(pidfile->fd))
        rc = err_set(err, ERR_BUSY, "already running as process %ld (its pid file %s is locked)",
                     read_pid(pidfile->fd), path);
    if (rc == 0)
        rc = take_over(pidfile->fd, path, err);
    if (rc != 0) {
        if (pidfile->fd >= 0)
            close(pidfile->fd);
        free(pidfile);
        return rc;
    }
    write_pid(pidfile->fd, path);
    *out = pidfile;
    return 0;
}

void pidfile_close(struct pidfile **pidfile)
{
    static const char blank[TEXT_BYTES] = "           \n";
    struct pidfile *self = *pidfile;
    *pidfile = NULL;
    if (self == NULL)
        return;
    /* not unlinked: another may hold it open, waiting for the lock */
    if (pwrite(self->fd, blank, TEXT_BYTES, 0) != TEXT_BYTES) {
        int ignored = ftruncate(self->fd, 0);
        (void)ignored;
    }
    close(self->fd);
    free(self);
}

/* Waits until the lock is free, which the owner's death brings about, however it dies. */
static int wait_unlocked(int fd, long pid, int64_t wait_us, struct err *err)
{
    int64_t until_us = clock_monotonic_us() + wait_us;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (clock_monotonic_us() > until_us)
            return err_set(err, ERR_TIMEOUT, "process %ld has not stopped within %lld s (see its log)", pid,
                           (long long)(wait_us / US_PER_SECOND));
        struct timespec pause = {.tv_nsec = POLL_NS};
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

int pidfile_signal(const char *path, int signum, int64_t wait_us, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_UNAVAILABLE, "not running (no pid file %s)", path);
    if (fd < 0)
        return err_errno(err, errno, "pid file %s cannot be read", path);
    int rc;
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    long pid = read_pid(fd);
    if (dead)
        rc = err_set(err, ERR_UNAVAILABLE, "not running (nobody holds pid file %s)", path);
    else if (pid <= 1)
        rc = err_set(err, ERR_CORRUPT, "pid file %s holds no process id (stop the program by hand)", path);
    else if (kill((pid_t)pid, signum) != 0)
        rc = err_errno(err, errno, "process %ld cannot be signalled", pid);
    else
        rc = wait_us > 0 ? wait_unlocked(fd, pid, wait_us, err) : 0;
    close(fd);
    return rc;
}
