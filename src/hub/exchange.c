/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: see exchange.h. One mutex, one condition: a batch changes hands a hundred times a second.
 */
#include "exchange.h"

#include "base/clock.h"

#include <assert.h>
#include <time.h>

int exchange_init(struct exchange *x)
{
    *x = (struct exchange){.empty_count = 0};
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&x->mutex, NULL);
    (void)pthread_cond_init(&x->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    for (size_t i = 0; i < EXCHANGE_PARTS; i++) {
        int rc = event_batch_create(&x->parts[i].batch, PART_ROWS, PART_TEXT_BYTES);
        if (rc != 0)
            return rc;
        x->empty[x->empty_count++] = &x->parts[i];
    }
    return 0;
}

void exchange_fini(struct exchange *x)
{
    for (size_t i = 0; i < EXCHANGE_PARTS; i++)
        event_batch_destroy(&x->parts[i].batch);
    (void)pthread_cond_destroy(&x->changed);
    (void)pthread_mutex_destroy(&x->mutex);
}

static void lock(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->mutex);
}

static void unlock_changed(struct exchange *x)
{
    (void)pthread_cond_broadcast(&x->changed);
    (void)pthread_mutex_unlock(&x->mutex);
}

/* False: the deadline passed. */
static bool wait_until(struct exchange *x, int64_t deadline_us)
{
    if (deadline_us == INT64_MAX) {
        (void)pthread_cond_wait(&x->changed, &x->mutex);
        return true;
    }
    struct timespec at = {.tv_sec = deadline_us / US_PER_SECOND,
                          .tv_nsec = deadline_us % US_PER_SECOND * 1000};
    return pthread_cond_timedwait(&x->changed, &x->mutex, &at) == 0;
}

void exchange_stop(struct exchange *x)
{
    lock(x);
    atomic_store(&x->stopping, true);
    unlock_changed(x);
}

struct part *exchange_take_empty(struct exchange *x)
{
    struct part *part = NULL;
    lock(x);
    while (!atomic_load(&x->stopping) && (x->park || x->empty_count == 0)) {
        if (x->park && !x->parked) {
            x->parked = true;
            (void)pthread_cond_broadcast(&x->changed);
        }
        (void)wait_until(x, INT64_MAX);
    }
    if (!atomic_load(&x->stopping))
        part = x->empty[--x->empty_count];
    (void)pthread_mutex_unlock(&x->mutex);
    if (part != NULL)
        event_batch_clear(part->batch);
    return part;
}

void exchange_put_empty(struct exchange *x, struct part *part)
{
    lock(x);
    assert(x->empty_count < EXCHANGE_PARTS);
    x->empty[x->empty_count++] = part;
    unlock_changed(x);
}

void exchange_put_filled(struct exchange *x, struct part *part)
{
    lock(x);
    assert(x->filled_count < EXCHANGE_PARTS);
    x->filled[x->filled_count++] = part;
    unlock_changed(x);
}

void exchange_end(struct exchange *x)
{
    lock(x);
    x->ended = true;
    unlock_changed(x);
}

void exchange_sleep(struct exchange *x, int64_t us)
{
    int64_t deadline = clock_monotonic_us() + us;
    lock(x);
    while (!x->woken && !x->park && !atomic_load(&x->stopping) && wait_until(x, deadline))
        continue;
    x->woken = false;
    (void)pthread_mutex_unlock(&x->mutex);
}

void exchange_wake(struct exchange *x)
{
    lock(x);
    x->woken = true;
    unlock_changed(x);
}

struct part *exchange_take_filled(struct exchange *x, int64_t deadline_us, bool *ended)
{
    struct part *part = NULL;
    lock(x);
    while (x->filled_count == 0 && !x->ended && !x->nudged && wait_until(x, deadline_us))
        continue;
    x->nudged = false;
    if (x->filled_count > 0) {
        part = x->filled[0];
        x->filled_count--;
        memmove(x->filled, x->filled + 1, x->filled_count * sizeof *x->filled);
    }
    *ended = part == NULL && x->ended;
    (void)pthread_mutex_unlock(&x->mutex);
    return part;
}

void exchange_nudge(struct exchange *x)
{
    lock(x);
    x->nudged = true;
    unlock_changed(x);
}

int64_t exchange_oldest(struct exchange *x)
{
    int64_t oldest_us = 0;
    lock(x);
    for (size_t i = 0; i < x->filled_count && oldest_us == 0; i++)
        if (event_batch_count(x->filled[i]->batch) > 0)
            oldest_us = event_batch_rows(x->filled[i]->batch)[0].hub_ts;
    (void)pthread_mutex_unlock(&x->mutex);
    return oldest_us;
}

void exchange_park(struct exchange *x)
{
    lock(x);
    x->park = true;
    (void)pthread_cond_broadcast(&x->changed);
    while (!x->parked && !x->ended)
        (void)wait_until(x, INT64_MAX);
    while (x->filled_count > 0)
        x->empty[x->empty_count++] = x->filled[--x->filled_count];
    (void)pthread_mutex_unlock(&x->mutex);
}

void exchange_unpark(struct exchange *x)
{
    lock(x);
    x->park = x->parked = false;
    unlock_changed(x);
}

bool exchange_pause(struct exchange *x, int64_t us)
{
    int64_t deadline = clock_monotonic_us() + us;
    lock(x);
    while (!atomic_load(&x->stopping) && wait_until(x, deadline))
        continue;
    bool going = !atomic_load(&x->stopping);
    (void)pthread_mutex_unlock(&x->mutex);
    return going;
}
