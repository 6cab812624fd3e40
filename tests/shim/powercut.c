/* SPDX-License-Identifier: Apache-2.0
 *
 * powercut: an LD_PRELOAD library that keeps a log of what fsync and fdatasync made durable, so that
 * `powercut-cut LOG DIR` can take everything else back after a kill -9. The log is the file named by
 * POWERCUT_LOG (outside DIR); without that the library does nothing. A sync is entered after it succeeded,
 * with what there was before it began.
 *
 * Log lines (fields end with NUL-free text, names have no newline):
 *   F dev inode bytes          a file: so many of its bytes are durable (0: just made)
 *   D dev inode                a directory: its names are durable; one N line for each follows
 *   N inode name
 *   E                          end of the directory
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_BYTES = 256 * 1024 };

int fsync(int fd);
int fdatasync(int fd);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[TEXT_BYTES];
static size_t text_n;

typedef int sync_function(int fd);
typedef int open_function(const char *path, int flags, ...);
typedef int openat_function(int dir, const char *path, int flags, ...);

/* The C library's own function behind ours. */
static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static void add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text + text_n, sizeof text - text_n, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text - text_n)
        abort(); /* a log with holes would prove anything */
    text_n += (size_t)n;
}

static void add_names(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = again >= 0 ? fdopendir(again) : NULL;
    if (names == NULL)
        abort();
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            add("N %lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    closedir(names);
}

/* What fd is now, into text. */
static void describe(int fd)
{
    struct stat st;
    text_n = 0;
    if (fstat(fd, &st) != 0)
        return;
    if (S_ISREG(st.st_mode))
        add("F %lu %lu %lld\n", (unsigned long)st.st_dev, (unsigned long)st.st_ino, (long long)st.st_size);
    if (!S_ISDIR(st.st_mode))
        return;
    add("D %lu %lu\n", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
    add_names(fd);
    add("E\n");
}

static void enter(const char *path)
{
    openat_function *real = (openat_function *)next("openat64");
    int log = real(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log < 0 || write(log, text, text_n) != (ssize_t)text_n)
        abort();
    close(log);
}

static int logged_sync(const char *name, int fd)
{
    sync_function *real = (sync_function *)next(name);
    const char *path = getenv("POWERCUT_LOG");
    if (path == NULL)
        return real(fd);
    pthread_mutex_lock(&lock);
    describe(fd);
    int rc = real(fd), errnum = errno;
    if (rc == 0 && text_n != 0)
        enter(path);
    pthread_mutex_unlock(&lock);
    errno = errnum;
    return rc;
}

int fsync(int fd)
{
    return logged_sync("fsync", fd);
}

int fdatasync(int fd)
{
    return logged_sync("fdatasync", fd);
}

/* A file just made may have the inode of one that was removed: nothing of it is durable. */
static int note_new(int fd, int flags)
{
    const char *path = getenv("POWERCUT_LOG");
    struct stat st;
    int errnum = errno;
    if (fd >= 0 && (flags & O_CREAT) != 0 && path != NULL && fstat(fd, &st) == 0 && st.st_size == 0 &&
        S_ISREG(st.st_mode)) {
        pthread_mutex_lock(&lock);
        describe(fd);
        enter(path);
        pthread_mutex_unlock(&lock);
    }
    errno = errnum;
    return fd;
}

static mode_t mode_of(int flags, va_list *args)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(*args, int) : 0;
}

#define OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...);                                                              \
    int name(const char *path, int flags, ...)                                                               \
    {                                                                                                        \
        va_list args;                                                                                        \
        va_start(args, flags);                                                                               \
        mode_t mode = mode_of(flags, &args);                                                                 \
        va_end(args);                                                                                        \
        return note_new(((open_function *)next(#name))(path, flags, mode), flags);                           \
    }

#define OPENAT(name)                                                                                         \
    int name(int dir, const char *path, int flags, ...);                                                     \
    int name(int dir, const char *path, int flags, ...)                                                      \
    {                                                                                                        \
        va_list args;                                                                                        \
        va_start(args, flags);                                                                               \
        mode_t mode = mode_of(flags, &args);                                                                 \
        va_end(args);                                                                                        \
        return note_new(((openat_function *)next(#name))(dir, path, flags, mode), flags);                    \
    }

#undef open
#undef openat
#undef open64
#undef openat64
OPEN(open64)
OPENAT(openat64)
