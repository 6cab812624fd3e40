/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: the connections that answer questions, at most query_threads at once, and the watchdog that stops
 * those that take too long. A question that finds no free connection waits a bounded time, in a fair queue:
 * first come, first served, but for those whose tenant has as many running as it may. Of one tenant so many
 * may run, and as many wait as fit beside them; what runs for all tenants is the operator's, and bounded by
 * nothing else. Any thread.
 */
#ifndef STORE_DUCKDB_POOL_H
#define STORE_DUCKDB_POOL_H

#include "base/clock.h"
#include "store/duckdb/instance.h"

#include <pthread.h>
#include <stdatomic.h>

enum { POOL_SLOTS = 64 }; /* and one more slot, of the roller */
#define POOL_RUSH_US  (10 * US_PER_SECOND)
#define POOL_WAIT_US  (2 * US_PER_SECOND)  /* for a free connection, then ERR_BUSY */
#define POOL_PAUSE_US (10 * US_PER_SECOND) /* the same, while the pool is drained */

struct pool_slot {
    duckdb_connection connection; /* made at first use */
    bool busy, executing, overdue, cancelled;
    bool aside;              /* pool_set_aside */
    const atomic_bool *wish; /* of whoever asks, to be cancelled; or NULL */
    int64_t deadline_us;     /* monotonic */
    uint32_t tenant;         /* 0: all */
};

/* A question before it has a slot; on its own stack. */
struct pool_waiter {
    uint32_t tenant;
    struct pool_waiter *next;
};

struct pool {
    struct instance *instance; /* borrowed */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* a slot became free, executing or cancelled, or the pool stops */
    pthread_t watchdog;
    bool started, stopping;
    unsigned paused;      /* by so many */
    bool reopening;       /* by one that doesn't only drain it */
    uint32_t slots_count; /* of questions */
    uint32_t busy_count, per_tenant;
    uint32_t aside_count;        /* of the busy ones */
    int64_t rush_until_us;       /* monotonic */
    struct pool_waiter *waiters; /* the first that came first */
    struct pool_slot slots[POOL_SLOTS + 1];
};

MUST_CHECK int pool_open(struct pool *pool, struct instance *instance, uint32_t slots, uint32_t per_tenant,
                         struct err *err);
void pool_close(struct pool *pool); /* no question may be running */

/* A slot of one's own until pool_give; lowers the calling thread's priority (nice.h): mail and the loader go
 * before questions. The question is cancelled once *wish (may be NULL) is true and
 * pool_look_again was called. ERR_BUSY, ERR_CANCELLED, ERR_ENGINE. */
MUST_CHECK int pool_take(struct pool *pool, uint32_t tenant, int64_t timeout_us, const atomic_bool *wish,
                         struct pool_slot **out, struct err *err);
/* The slot that is kept for the roller, who is one, and for whom the file stays folded; lowers the priority
 * as well. ERR_BUSY (not while the pool is paused), ERR_ENGINE. */
MUST_CHECK int pool_take_own(struct pool *pool, int64_t timeout_us, struct pool_slot **out, struct err *err);
void pool_give(struct pool *pool, struct pool_slot *slot);
/* Until pool_give the slot asks no part, so that it holds no checkpoint of one up: pool_drain neither waits
 * for it nor disconnects it. For what takes long. */
void pool_set_aside(struct pool *pool, struct pool_slot *slot);

/* Between these two the watchdog may interrupt the slot's connection. */
void pool_begin(struct pool *pool, struct pool_slot *slot);
void pool_end(struct pool *pool, struct pool_slot *slot);

/* ERR_CANCELLED or ERR_TIMEOUT when the slot was stopped, else 0. */
MUST_CHECK int pool_verdict(struct pool *pool, struct pool_slot *slot);

/* The writer has a backlog: for POOL_RUSH_US, each tenant has one question at a time (tenant 0 as many as
 * ever). */
void pool_rush(struct pool *pool);

void pool_look_again(struct pool *pool); /* at everyone's wish */
void pool_interrupt(struct pool *pool);  /* cancels what runs now */
/* Cancels, waits until nothing runs, and lets no question in until pool_resume: the file is opened again. */
void pool_pause(struct pool *pool);
/* The same, and lets what runs end by itself, within its time limit, and what is aside go on: for a moment in
 * which nothing asks a part. */
void pool_drain(struct pool *pool);
void pool_resume(struct pool *pool);
uint32_t pool_running(struct pool *pool); /* questions */

#endif
