/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: see keeper.h.
 */
#include "hub/keeper.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/nice.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

static const int64_t look_us = US_PER_SECOND, more_us = US_PER_SECOND / 20, retry_us = 60 * US_PER_SECOND;

struct keeper {
    struct journal *journal;
    struct store *store;
    int64_t keep_us;
    bool retire_failed; /* told once */
    pthread_mutex_t lock;
    bool held; /* under lock */
    sem_t end;
    pthread_t thread;
};

static void retire(struct keeper *k)
{
    struct err err = {0};
    struct store_cursor cursor;
    int rc = store_checkpointed(k->store, &cursor, &err);
    if (rc == 0)
        rc = journal_retire(k->journal, cursor.pos, &err);
    if (rc != 0 && !k->retire_failed)
        log_warning("keeper: the journal can't be retired [%s]", err_detail(&err));
    k->retire_failed = rc != 0;
}

static void retire_unless_held(struct keeper *k)
{
    (void)pthread_mutex_lock(&k->lock); /* so that nothing is being retired when keeper_hold returns */
    if (!k->held)
        retire(k);
    (void)pthread_mutex_unlock(&k->lock);
}

/* One step; how long to wait for the next. */
static int64_t maintain(struct keeper *k)
{
    struct err err = {0};
    bool worked = false;
    int rc = journal_maintain(k->journal, clock_real_us(), k->keep_us, &worked, &err);
    if (rc != 0)
        log_warning("keeper: the journal can't be maintained, next try in a minute [%s]", err_detail(&err));
    return rc != 0 ? retry_us : worked ? more_us : look_us;
}

/* False: it is over. */
static bool wait_for(struct keeper *k, int64_t us)
{
    int64_t until_us = clock_monotonic_us() + us;
    struct timespec at = {.tv_sec = until_us / US_PER_SECOND, .tv_nsec = until_us % US_PER_SECOND * 1000};
    int rc;
    do
        rc = sem_clockwait(&k->end, CLOCK_MONOTONIC, &at);
    while (rc != 0 && errno == EINTR);
    return rc != 0;
}

static void *run(void *arg)
{
    struct keeper *k = arg;
    int64_t maintain_at_us = 0, wait_us = 0;
    nice_lower(NICE_BACKGROUND);
    while (wait_for(k, wait_us)) {
        int64_t now_us = clock_monotonic_us();
        retire_unless_held(k);
        wait_us = look_us;
        if (now_us < maintain_at_us)
            continue;
        int64_t next_us = maintain(k);
        maintain_at_us = now_us + next_us;
        wait_us = next_us < look_us ? next_us : look_us;
    }
    return NULL;
}

int keeper_start(struct keeper **out, struct journal *journal, struct store *store, int64_t keep_us,
                 struct err *err)
{
    struct keeper *k = calloc(1, sizeof *k);
    *out = NULL;
    if (k == NULL)
        return err_set(err, ERR_NO_MEMORY, "keeper: out of memory");
    k->journal = journal;
    k->store = store;
    k->keep_us = keep_us;
    (void)sem_init(&k->end, 0, 0);
    (void)pthread_mutex_init(&k->lock, NULL);
    int failed = pthread_create(&k->thread, NULL, run, k);
    if (failed != 0) {
        (void)pthread_mutex_destroy(&k->lock);
        (void)sem_destroy(&k->end);
        free(k);
        return err_errno(err, failed, "the journal keeper's thread can't be started");
    }
    *out = k;
    return 0;
}

void keeper_hold(struct keeper *k, bool held)
{
    (void)pthread_mutex_lock(&k->lock);
    k->held = held;
    (void)pthread_mutex_unlock(&k->lock);
}

void keeper_stop(struct keeper **keeper)
{
    struct keeper *k = *keeper;
    if (k == NULL)
        return;
    (void)sem_post(&k->end);
    (void)pthread_join(k->thread, NULL);
    retire(k);
    (void)pthread_mutex_destroy(&k->lock);
    (void)sem_destroy(&k->end);
    free(k);
    *keeper = NULL;
}
