/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: see pool.h. DuckDB forgets an interrupt that comes before a statement begins, so the watchdog repeats
 * it until the statement ended.
 */
#include "store/duckdb/pool.h"

#include "base/nice.h"

#include <assert.h>
#include <time.h>

#define REPEAT_US (10 * 1000)

/* Waits for a change, until_us at the latest (monotonic). */
static void wait_until(struct pool *pool, int64_t until_us)
{
    struct timespec at = {.tv_sec = until_us / US_PER_SECOND, .tv_nsec = until_us % US_PER_SECOND * 1000};
    (void)pthread_cond_timedwait(&pool->changed, &pool->mutex, &at);
}

static bool is_wished(const atomic_bool *wish)
{
    return wish != NULL && atomic_load(wish);
}

/* Interrupts what is due; returns when to look again. */
static int64_t watch(struct pool *pool, int64_t now_us)
{
    int64_t next_us = now_us + 3600 * US_PER_SECOND;
    for (uint32_t i = 0; i <= pool->slots_count; i++) {
        struct pool_slot *slot = &pool->slots[i];
        if (!slot->busy)
            continue;
        slot->overdue = slot->overdue || now_us >= slot->deadline_us;
        slot->cancelled = slot->cancelled || is_wished(slot->wish);
        bool due = slot->overdue || slot->cancelled;
        if (due && slot->executing)
            duckdb_interrupt(slot->connection);
        int64_t slot_us = due ? now_us + REPEAT_US : slot->deadline_us;
        next_us = slot_us < next_us ? slot_us : next_us;
    }
    return next_us;
}

static void *watchdog(void *arg)
{
    struct pool *pool = arg;
    (void)pthread_mutex_lock(&pool->mutex);
    while (!pool->stopping)
        wait_until(pool, watch(pool, clock_monotonic_us()));
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int pool_open(struct pool *pool, struct instance *instance, uint32_t slots, uint32_t per_tenant,
              struct err *err)
{
    pthread_condattr_t monotonic;
    *pool = (struct pool){.instance = instance,
                          .slots_count = slots < 1            ? 1
                                         : slots > POOL_SLOTS ? POOL_SLOTS
                                                              : slots};
    pool->per_tenant = per_tenant == 0 ? pool->slots_count - 1 : per_tenant;
    if (pool->per_tenant == 0)
        pool->per_tenant = 1;
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&pool->watchdog, NULL, watchdog, pool);
    pool->started = true;
    if (rc != 0) {
        pool->started = false;
        rc = err_errno(err, rc, "the store's watchdog can't be started");
        pool_close(pool);
    }
    return rc;
}

static void signal_change(struct pool *pool)
{
    (void)pthread_cond_broadcast(&pool->changed);
}

/* What is busy now is aside. */
static void disconnect_all(struct pool *pool)
{
    for (uint32_t i = 0; i <= pool->slots_count; i++)
        if (!pool->slots[i].busy)
            duckdb_disconnect(&pool->slots[i].connection);
}

void pool_close(struct pool *pool)
{
    assert(pool->busy_count == 0);
    if (pool->started) {
        (void)pthread_mutex_lock(&pool->mutex);
        pool->stopping = true;
        signal_change(pool);
        (void)pthread_mutex_unlock(&pool->mutex);
        (void)pthread_join(pool->watchdog, NULL);
    }
    disconnect_all(pool);
    (void)pthread_cond_destroy(&pool->changed);
    (void)pthread_mutex_destroy(&pool->mutex);
    *pool = (struct pool){0};
}

static struct pool_slot *free_slot(struct pool *pool)
{
    for (uint32_t i = 0; pool->paused == 0 && i < pool->slots_count; i++)
        if (!pool->slots[i].busy)
            return &pool->slots[i];
    return NULL;
}

static uint32_t running_of(const struct pool *pool, uint32_t tenant)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < pool->slots_count; i++)
        running += pool->slots[i].busy && pool->slots[i].tenant == tenant;
    return running;
}

static uint32_t most_of(const struct pool *pool)
{
    return clock_monotonic_us() < pool->rush_until_us ? 1 : pool->per_tenant;
}

static bool may_run(const struct pool *pool, uint32_t tenant)
{
    return tenant == 0 || running_of(pool, tenant) < most_of(pool);
}

/* Its turn has come: a slot is free, and nobody who came before could have it. */
static struct pool_slot *slot_for(struct pool *pool, const struct pool_waiter *waiter)
{
    const struct pool_waiter *before = pool->waiters;
    while (before != waiter && !may_run(pool, before->tenant))
        before = before->next;
    return before == waiter && may_run(pool, waiter->tenant) ? free_slot(pool) : NULL;
}

static void stand_in_line(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_waiter **at = &pool->waiters;
    while (*at != NULL)
        at = &(*at)->next;
    *at = waiter;
}

static void leave_line(struct pool *pool, struct pool_waiter *waiter)
{
    struct pool_waiter **at = &pool->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    signal_change(pool); /* who stood behind may be next */
}

/* Of one tenant no more wait than could run at once beside what it has: each holds a thread. While nothing
 * runs at all, no more of all of them than could run. */
static bool is_crowded(const struct pool *pool, uint32_t tenant)
{
    uint32_t own = 0, all = 0;
    uint32_t most = pool->slots_count > most_of(pool) ? pool->slots_count - most_of(pool) : 1;
    for (const struct pool_waiter *waiter = pool->waiters; waiter != NULL; waiter = waiter->next, all++)
        own += waiter->tenant == tenant;
    return (pool->paused > 0 && all >= pool->slots_count) ||
           (tenant != 0 && own >= most && (pool->paused > 0 || !may_run(pool, tenant)));
}

static int refuse(const struct pool *pool, uint32_t tenant, const atomic_bool *wish, struct err *err)
{
    if (is_wished(wish))
        return err_set(err, ERR_CANCELLED, "the question was cancelled before it began");
    if (pool->paused > 0)
        return err_set(err, ERR_BUSY, "the store is busy with itself; ask again");
    if (!may_run(pool, tenant))
        return err_set(err, ERR_BUSY, "%u questions of this tenant are being answered already; ask again",
                       running_of(pool, tenant));
    return err_set(err, ERR_BUSY, "%u questions are being answered already; ask again", pool->slots_count);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Waits for a slot; NULL: none. A checkpoint ends, so patience lasts longer; files that are opened again may
 * not open for long. */
static struct pool_slot *await_slot(struct pool *pool, uint32_t tenant, const atomic_bool *wish,
                                    int64_t now_us, int64_t timeout_us)
{
    int64_t last_us = now_us + least(timeout_us, POOL_PAUSE_US);
    int64_t until_us = now_us + least(timeout_us, POOL_WAIT_US);
    struct pool_waiter waiter = {.tenant = tenant};
    struct pool_slot *slot;
    if (is_crowded(pool, tenant))
        return NULL;
    stand_in_line(pool, &waiter);
    while ((slot = slot_for(pool, &waiter)) == NULL && !is_wished(wish)) {
        now_us = clock_monotonic_us();
        if (pool->paused > 0 && !pool->reopening)
            until_us = least(now_us + POOL_WAIT_US, last_us);
        if (now_us >= until_us)
            break;
        wait_until(pool, now_us < pool->rush_until_us ? least(pool->rush_until_us, until_us) : until_us);
    }
    leave_line(pool, &waiter);
    return is_wished(wish) ? NULL : slot;
}

static void occupy(struct pool *pool, struct pool_slot *slot, uint32_t tenant, const atomic_bool *wish,
                   int64_t deadline_us)
{
    slot->busy = true;
    slot->executing = slot->overdue = slot->cancelled = false;
    slot->wish = wish;
    slot->tenant = tenant;
    slot->deadline_us = deadline_us;
    pool->busy_count++;
    signal_change(pool);
}

int pool_take(struct pool *pool, uint32_t tenant, int64_t timeout_us, const atomic_bool *wish,
              struct pool_slot **out, struct err *err)
{
    nice_lower(NICE_BACKGROUND);
    int64_t now_us = clock_monotonic_us();
    int rc = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    struct pool_slot *slot = await_slot(pool, tenant, wish, now_us, timeout_us);
    if (slot == NULL)
        rc = refuse(pool, tenant, wish, err);
    else if ((rc = instance_unfold(pool->instance, err)) == 0 && slot->connection == NULL)
        rc = instance_connect(pool->instance, &slot->connection, err);
    if (rc == 0) {
        occupy(pool, slot, tenant, wish, now_us + timeout_us);
        *out = slot;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return rc;
}

int pool_take_own(struct pool *pool, int64_t timeout_us, struct pool_slot **out, struct err *err)
{
    struct pool_slot *slot = &pool->slots[pool->slots_count];
    int rc = 0;
    nice_lower(NICE_BACKGROUND);
    (void)pthread_mutex_lock(&pool->mutex);
    if (pool->paused > 0 || slot->busy)
        rc = err_set(err, ERR_BUSY, "the store is busy with itself; ask again");
    else if (slot->connection == NULL)
        rc = instance_connect(pool->instance, &slot->connection, err);
    if (rc == 0) {
        occupy(pool, slot, 0, NULL, clock_monotonic_us() + timeout_us);
        *out = slot;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return rc;
}

void pool_give(struct pool *pool, struct pool_slot *slot)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->aside_count -= slot->aside;
    slot->busy = slot->aside = false;
    slot->wish = NULL;
    pool->busy_count--;
    signal_change(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void pool_set_aside(struct pool *pool, struct pool_slot *slot)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->aside_count += !slot->aside;
    slot->aside = true;
    signal_change(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void pool_rush(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->rush_until_us = clock_monotonic_us() + POOL_RUSH_US;
    (void)pthread_mutex_unlock(&pool->mutex);
}

static void set_executing(struct pool *pool, struct pool_slot *slot, bool executing)
{
    (void)pthread_mutex_lock(&pool->mutex);
    slot->executing = executing;
    if (executing)
        signal_change(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void pool_begin(struct pool *pool, struct pool_slot *slot)
{
    set_executing(pool, slot, true);
}

void pool_end(struct pool *pool, struct pool_slot *slot)
{
    set_executing(pool, slot, false);
}

int pool_verdict(struct pool *pool, struct pool_slot *slot)
{
    (void)pthread_mutex_lock(&pool->mutex);
    int rc = slot->cancelled || is_wished(slot->wish)                     ? ERR_CANCELLED
             : slot->overdue || clock_monotonic_us() >= slot->deadline_us ? ERR_TIMEOUT
                                                                          : 0;
    (void)pthread_mutex_unlock(&pool->mutex);
    return rc;
}

static void cancel_all(struct pool *pool)
{
    for (uint32_t i = 0; i <= pool->slots_count; i++)
        pool->slots[i].cancelled = pool->slots[i].busy;
    signal_change(pool);
}

void pool_look_again(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    signal_change(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void pool_interrupt(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    cancel_all(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

static void keep_out(struct pool *pool, bool cancel)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->paused++;
    pool->reopening = pool->reopening || cancel;
    if (cancel)
        cancel_all(pool);
    while (pool->busy_count > (cancel ? 0 : pool->aside_count))
        (void)pthread_cond_wait(&pool->changed, &pool->mutex);
    disconnect_all(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void pool_pause(struct pool *pool)
{
    keep_out(pool, true);
}

void pool_drain(struct pool *pool)
{
    keep_out(pool, false);
}

void pool_resume(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->paused--;
    pool->reopening = pool->reopening && pool->paused > 0;
    signal_change(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

uint32_t pool_running(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    uint32_t running = pool->busy_count - pool->slots[pool->slots_count].busy;
    (void)pthread_mutex_unlock(&pool->mutex);
    return running;
}
