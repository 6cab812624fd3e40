/* SPDX-License-Identifier: Apache-2.0
 *
 * disk: see disk.h.
 */
#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <sys/uio.h>

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pwritev64(int fd, const struct iovec *parts, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off_t at);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool hanging, writes_hanging, syncs_hanging, returns_hanging;
static unsigned waiting, sync_failures, write_failures;
static int sync_errnum, write_errnum;

void disk_hang(bool hang)
{
    pthread_mutex_lock(&lock);
    hanging = hang;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
}

void disk_hang_writes(bool hang)
{
    pthread_mutex_lock(&lock);
    writes_hanging = hang;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
}

void disk_hang_syncs(bool hang)
{
    pthread_mutex_lock(&lock);
    syncs_hanging = hang;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
}

void disk_hang_after_writes(bool hang)
{
    pthread_mutex_lock(&lock);
    returns_hanging = hang;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
}

void disk_fail_syncs(int errnum, unsigned times)
{
    pthread_mutex_lock(&lock);
    sync_errnum = errnum;
    sync_failures = times;
    pthread_mutex_unlock(&lock);
}

void disk_fail_writes(int errnum, unsigned times)
{
    pthread_mutex_lock(&lock);
    write_errnum = errnum;
    write_failures = times;
    pthread_mutex_unlock(&lock);
}

unsigned disk_waiting(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = waiting;
    pthread_mutex_unlock(&lock);
    return n;
}

/* Waits while the disk hangs; the errno this call is to fail with, or 0. */
static int pass(bool write, unsigned *failures, const int *errnum)
{
    int result = 0;
    pthread_mutex_lock(&lock);
    waiting++;
    while (hanging || (write ? writes_hanging : syncs_hanging))
        pthread_cond_wait(&released, &lock);
    waiting--;
    if (*failures != 0) {
        --*failures;
        result = *errnum;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int __wrap_fdatasync(int fd)
{
    int errnum = pass(false, &sync_failures, &sync_errnum);
    if (errnum == 0)
        return __real_fdatasync(fd);
    errno = errnum;
    return -1;
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off_t at)
{
    int errnum = pass(true, &write_failures, &write_errnum);
    if (errnum == 0) {
        ssize_t wrote = __real_pwritev64(fd, parts, n, at);
        pthread_mutex_lock(&lock);
        waiting++;
        while (returns_hanging)
            pthread_cond_wait(&released, &lock);
        waiting--;
        pthread_mutex_unlock(&lock);
        return wrote;
    }
    struct iovec half = {parts[n - 1].iov_base, parts[n - 1].iov_len / 2};
    (void)!__real_pwritev64(fd, &half, 1, at);
    errno = errnum;
    return -1;
}
