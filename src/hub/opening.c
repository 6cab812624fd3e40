/* SPDX-License-Identifier: Apache-2.0
 *
 * opening: see opening.h.
 */
#include "opening.h"

#include "base/log.h"
#include "base/nice.h"
#include "loop/notify.h"
#include "loop/ticker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_MS = 3000, SLOW_MS = 5000, STILL_SLOW_MS = 60 * 1000 };

struct opening {
    struct opening_options options;
    uv_loop_t *loop;
    struct ticker *ticker; /* the next try, or while one is under way, a line of log */
    uv_work_t work;
    bool working, stopping, settled;
    _Atomic bool worker_has_it; /* store and err; see control.c */
    struct store *store;
    struct err err;
    pthread_mutex_t lock; /* of what follows */
    enum opening_state state;
    char why[ERR_DETAIL_BYTES];
};

static struct opening *opening_of(uv_work_t *work)
{
    return (struct opening *)((char *)work - offsetof(struct opening, work));
}

/* Worker thread. */
static void open_store(uv_work_t *work)
{
    struct opening *o = opening_of(work);
    nice_lower(NICE_BACKGROUND); /* it may roll up for long, and DuckDB's threads are as low */
    if (o->worker_has_it)
        o->err.code = store_open(&o->store, &o->options.store, &o->err);
    o->worker_has_it = false;
}

static void note(struct opening *o, enum opening_state state, const char *why)
{
    (void)pthread_mutex_lock(&o->lock);
    bool news = strcmp(o->why, why) != 0;
    o->state = state;
    (void)snprintf(o->why, sizeof o->why, "%s", why);
    (void)pthread_mutex_unlock(&o->lock);
    if (news && state == OPENING_FAILED)
        log_error("store: %s; what edges send is kept in the journal, the store is tried again every %d s",
                  why, RETRY_MS / 1000);
}

/* Loop thread: takes what open_store left. */
static void take(struct opening *o)
{
    struct store *store = o->store;
    struct err err = o->err;
    int rc = err.code;
    o->store = NULL;
    if (rc == 0 && !o->stopping)
        rc = o->options.opened(o->options.arg, store, &err);
    if (store != NULL && (rc != 0 || o->stopping))
        store_close(&store);
    if (o->stopping)
        return;
    note(o, rc == 0 ? OPENING_DONE : OPENING_FAILED, rc == 0 ? "" : err_detail(&err));
    if (rc == 0)
        ticker_stop(o->ticker);
    else
        ticker_set(o->ticker, RETRY_MS, 0);
    if (!o->settled)
        o->options.settled(o->options.arg, rc == 0);
    o->settled = true;
}

static void worked(uv_work_t *work, int status)
{
    struct opening *o = opening_of(work);
    o->working = false;
    if (status == 0 && !o->worker_has_it)
        take(o);
}

void opening_begin(struct opening *o)
{
    o->err = (struct err){0};
    o->worker_has_it = true;
    o->working = uv_queue_work(o->loop, &o->work, open_store, worked) == 0;
    if (o->working)
        ticker_set(o->ticker, SLOW_MS, STILL_SLOW_MS);
    else
        ticker_set(o->ticker, RETRY_MS, 0);
}

static void on_tick(void *arg)
{
    struct opening *o = arg;
    if (!o->working)
        opening_begin(o);
    else if (!o->settled) {
        notify_more_time(3 * STILL_SLOW_MS / 1000);
        log_info("store: it takes its time to open, as after an upgrade; what edges send is kept in the "
                 "journal");
    }
}

int opening_create(struct opening **out, uv_loop_t *loop, const struct opening_options *options,
                   struct err *err)
{
    struct opening *o = calloc(1, sizeof *o);
    *out = NULL;
    if (o == NULL || ticker_create(&o->ticker, loop, on_tick, o) != 0) {
        free(o);
        return err_set(err, ERR_NO_MEMORY, "no memory to open the store");
    }
    o->options = *options;
    o->loop = loop;
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)snprintf(o->why, sizeof o->why,
                   "the store is being opened; what edges send is kept in the journal meanwhile");
    *out = o;
    return 0;
}

void opening_stop(struct opening *o)
{
    if (o == NULL)
        return;
    o->stopping = true;
    ticker_destroy(&o->ticker);
    if (o->working && uv_cancel((uv_req_t *)&o->work) != 0)
        log_info("store: being opened, which can't be broken off: the hub ends when that is done; killed, it "
                 "does it anew at its next start");
}

void opening_destroy(struct opening **opening)
{
    struct opening *o = *opening;
    *opening = NULL;
    if (o == NULL)
        return;
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}

enum opening_state opening_get_state(struct opening *o, char why[ERR_DETAIL_BYTES])
{
    (void)pthread_mutex_lock(&o->lock);
    enum opening_state state = o->state;
    memcpy(why, o->why, sizeof o->why);
    (void)pthread_mutex_unlock(&o->lock);
    return state;
}
