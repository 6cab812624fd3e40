/* SPDX-License-Identifier: Apache-2.0
 *
 * roller: see roller.h.
 */
#include "store/duckdb/roller.h"

#include "base/log.h"
#include "store/duckdb/fault.h"

#include <time.h>

#define QUIET_US    (10 * US_PER_SECOND)
#define LOOK_US     (5 * US_PER_SECOND)   /* when there was nothing to roll, or it could not be */
#define STEP_MAX_US (600 * US_PER_SECOND) /* of one period */
enum { REST = 3 };                        /* times as long as it worked */

/* The periods of one day at most. *count: how many there were; *due, if not NULL: how many are due in all. */
static int step(struct roller *roller, const struct roll_limits *limits, uint64_t *count, uint64_t *due,
                struct err *err)
{
    struct pool_slot *slot;
    int rc = pool_take_own(roller->pool, STEP_MAX_US, &slot, err);
    *count = 0;
    if (rc != 0)
        return rc;
    pool_begin(roller->pool, slot);
    if (due != NULL)
        rc = roll_count_due(slot->connection, limits, due, err);
    if (rc == 0)
        rc = roll_due(&roller->roll, slot->connection, limits, err);
    *count = rc == 0 ? roller->roll.count : 0;
    if (*count > 0)
        rc = roll_them(&roller->roll, slot->connection, err);
    pool_end(roller->pool, slot);
    if (rc != 0) /* one that was interrupted as well may have left it open */
        fault_rollback(slot->connection);
    pool_give(roller->pool, slot);
    return rc;
}

static int locked_step(struct roller *roller, const struct roll_limits *limits, uint64_t *count,
                       uint64_t *due, struct err *err)
{
    (void)pthread_mutex_lock(&roller->working);
    int rc = step(roller, limits, count, due, err);
    (void)pthread_mutex_unlock(&roller->working);
    return rc;
}

int roller_run(struct roller *roller, int64_t now_us, int64_t before_us, const atomic_bool *cancelled,
               struct err *err)
{
    struct roll_limits limits = {now_us, before_us, INT64_MAX};
    uint64_t count = 1, due = 0, done = 0;
    int rc = 0;
    for (bool first = true; rc == 0 && (first || (count > 0 && done < due)); first = false, done += count)
        rc = cancelled != NULL && atomic_load(cancelled)
                 ? err_set(err, ERR_CANCELLED, "the making of roll-ups was cancelled")
                 : locked_step(roller, &limits, &count, first ? &due : NULL, err);
    return rc;
}

void roller_hold(struct roller *roller)
{
    (void)pthread_mutex_lock(&roller->working);
}

void roller_release(struct roller *roller)
{
    (void)pthread_mutex_unlock(&roller->working);
}

/* True when it is to stop. */
static bool rest(struct roller *roller, int64_t us)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += us % US_PER_SECOND * 1000;
    until.tv_sec += us / US_PER_SECOND + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&roller->mutex);
    while (!roller->stopping && pthread_cond_timedwait(&roller->stopped, &roller->mutex, &until) == 0)
        ;
    bool stopping = roller->stopping;
    (void)pthread_mutex_unlock(&roller->mutex);
    return stopping;
}

/* Others went first, or take the memory: that is tried again. What else there is, is said once until it ends.
 */
static void tell(struct roller *roller, int rc, bool *told, const struct err *err)
{
    struct err ignored;
    if (rc == ERR_LIMIT && instance_unfold(roller->pool->instance, &ignored) == 0)
        return;
    if (rc != 0 && rc != ERR_BUSY && rc != ERR_CANCELLED && !*told)
        log_warning("store: roll-ups can't be made (%s); questions go to the events instead",
                    err_detail(err));
    *told = rc != 0;
}

static void *work(void *arg)
{
    struct roller *roller = arg;
    int64_t us = LOOK_US;
    bool told = false;
    while (!rest(roller, us)) {
        struct err err = {0};
        uint64_t count;
        int64_t begun = clock_monotonic_us();
        struct roll_limits limits = {clock_real_us(), INT64_MAX, begun - QUIET_US};
        int rc = locked_step(roller, &limits, &count, NULL, &err);
        tell(roller, rc, &told, &err);
        us = rc == 0 && count > 0 ? REST * (clock_monotonic_us() - begun) : LOOK_US;
    }
    return NULL;
}

int roller_open(struct roller *roller, struct pool *pool, struct parts *parts, struct marks *marks,
                struct err *err)
{
    pthread_condattr_t monotonic;
    *roller = (struct roller){.pool = pool, .roll = {.parts = parts, .marks = marks}};
    (void)pthread_mutex_init(&roller->working, NULL);
    (void)pthread_mutex_init(&roller->mutex, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&roller->stopped, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&roller->thread, NULL, work, roller);
    roller->started = rc == 0;
    return rc != 0 ? err_errno(err, rc, "the store's roller can't be started") : 0;
}

void roller_close(struct roller *roller)
{
    if (!roller->started)
        return;
    (void)pthread_mutex_lock(&roller->mutex);
    roller->stopping = true;
    (void)pthread_cond_signal(&roller->stopped);
    (void)pthread_mutex_unlock(&roller->mutex);
    pool_interrupt(roller->pool);
    (void)pthread_join(roller->thread, NULL);
    (void)pthread_cond_destroy(&roller->stopped);
    (void)pthread_mutex_destroy(&roller->mutex);
    (void)pthread_mutex_destroy(&roller->working);
    *roller = (struct roller){0};
}
