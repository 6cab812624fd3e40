/* SPDX-License-Identifier: Apache-2.0
 *
 * wake: see wake.h. Every wake stays in a list for the process's life: one for each spool that was opened.
 */
#include "wake.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct wake {
    struct wake *next;
    uint8_t owner[WAKE_OWNER_BYTES];
    int fd; /* -1: shut */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wake *all;

/* Under the lock. */
static struct wake *find_or_add(const uint8_t *owner, bool *known)
{
    struct wake *wake = all;
    while (wake != NULL && (wake->fd >= 0 || memcmp(wake->owner, owner, WAKE_OWNER_BYTES) != 0))
        wake = wake->next;
    *known = wake != NULL;
    if (wake != NULL || (wake = malloc(sizeof *wake)) == NULL)
        return wake;
    memcpy(wake->owner, owner, WAKE_OWNER_BYTES);
    wake->next = all;
    return all = wake;
}

int wake_open(struct wake **out, const uint8_t owner[WAKE_OWNER_BYTES], bool *known, struct err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, errno, "eventfd");
    pthread_mutex_lock(&lock);
    *out = find_or_add(owner, known);
    if (*out != NULL)
        (*out)->fd = fd;
    pthread_mutex_unlock(&lock);
    if (*out != NULL)
        return 0;
    (void)close(fd);
    return err_set(err, ERR_NO_MEMORY, "no memory for an eventfd");
}

void wake_shut(struct wake **wake)
{
    if (*wake == NULL)
        return;
    pthread_mutex_lock(&lock);
    (void)close((*wake)->fd);
    (*wake)->fd = -1;
    pthread_mutex_unlock(&lock);
    *wake = NULL;
}

void wake_up(void *arg)
{
    struct wake *wake = arg;
    uint64_t one = 1;
    pthread_mutex_lock(&lock);
    if (wake->fd >= 0) {
        ssize_t n = write(wake->fd, &one, sizeof one);
        (void)n; /* full means that it is awake */
    }
    pthread_mutex_unlock(&lock);
}

int wake_fd(const struct wake *wake)
{
    return wake->fd;
}

void wake_drain(struct wake *wake)
{
    uint64_t count;
    ssize_t n = read(wake->fd, &count, sizeof count);
    (void)n;
}
