/* SPDX-License-Identifier: Apache-2.0
 *
 * killed: an LD_PRELOAD library that counts the calls that change files whose path begins with $KILLED_BELOW,
 * and ends its process by SIGKILL in front of number $KILLED_AT. Each call adds one byte to the file
 * $KILLED_COUNT, so that its size tells how many there are. Without $KILLED_BELOW the library does nothing.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

/* The C library's own function behind ours. */
static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

/* One byte more, by a call that isn't counted. */
static void tell(void)
{
    const char *path = getenv("KILLED_COUNT");
    ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))next("write");
    int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        if (real(fd, ".", 1) != 1)
            abort();
        close(fd);
    }
}

static void path_call(const char *path)
{
    const char *below = getenv("KILLED_BELOW"), *at = getenv("KILLED_AT");
    if (below == NULL || strncmp(path, below, strlen(below)) != 0)
        return;
    long number = atomic_fetch_add(&calls, 1) + 1;
    tell();
    if (at != NULL && number == atol(at))
        (void)kill(getpid(), SIGKILL);
}

static void fd_call(int fd)
{
    char link[64], path[PATH_MAX];
    if (getenv("KILLED_BELOW") == NULL)
        return;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    path_call(path);
}

#define BY_PATH(type, name, args, path, passed)                                                              \
    type name args;                                                                                          \
    type name args                                                                                           \
    {                                                                                                        \
        path_call(path);                                                                                     \
        return ((type(*) args)next(#name))passed;                                                            \
    }
#define BY_FD(type, name, args, passed)                                                                      \
    type name args;                                                                                          \
    type name args                                                                                           \
    {                                                                                                        \
        fd_call(fd);                                                                                         \
        return ((type(*) args)next(#name))passed;                                                            \
    }

BY_PATH(int, rename, (const char *from, const char *to), to, (from, to))
BY_PATH(int, link, (const char *from, const char *to), to, (from, to))
BY_PATH(int, unlink, (const char *path), path, (path))
BY_PATH(int, mkdir, (const char *path, mode_t mode), path, (path, mode))
BY_FD(int, fsync, (int fd), (fd))
BY_FD(int, fdatasync, (int fd), (fd))
BY_FD(int, ftruncate64, (int fd, off_t bytes), (fd, bytes))
BY_FD(ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n))
BY_FD(ssize_t, pwrite64, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
