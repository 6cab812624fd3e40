/* SPDX-License-Identifier: Apache-2.0
 *
 * direct: see direct.h.
 */
#include "direct.h"

#include "base/clock.h"
#include "base/log.h"
#include "edge/listener.h"
#include "loop/endpoint.h"
#include "loop/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { TICK_MS = 1000, STOP_STEP_MS = 20 };
#define DRAIN_US (3 * US_PER_SECOND)
/* At the start, Postfix may wait so long for spools to open: what is answered before that is only in memory.
 */
#define OPEN_US (2 * US_PER_SECOND)

struct direct {
    struct direct_options options;
    uv_loop_t loop;
    pthread_t thread;
    uv_async_t stop, opened; /* opened: the inlets' threads → the loop, which it doesn't keep alive */
    struct account *account;
    uint64_t generation;
    struct listener *listener;
    struct ticker *tick, *stopper;
    struct inlet *inlets[DIRECT_INLETS];
    size_t inlet_count;
    pthread_mutex_t lock; /* of what follows */
    struct direct_stats stats;
    struct direct_spool spools[DIRECT_INLETS];
    size_t spool_count;
};

static struct inlet *find_inlet(struct direct *direct, const struct ip *peer)
{
    for (size_t i = 0; i < direct->inlet_count; i++)
        if (!inlet_is_shut(direct->inlets[i]) && inlet_is(direct->inlets[i], peer))
            return direct->inlets[i];
    return NULL;
}

static void open_inlet(struct direct *direct, uint32_t tenant, const struct ip *address)
{
    struct err err = {0};
    char text[IP_TEXT_BYTES];
    ip_format(address, text);
    for (size_t i = 0; i < direct->inlet_count; i++)
        if (inlet_is(direct->inlets[i], address) && inlet_tenant(direct->inlets[i]) == tenant) {
            inlet_shut(direct->inlets[i], false);
            return;
        }
    if (direct->inlet_count == DIRECT_INLETS) {
        log_warning(
            "policy_listen: %s is one Postfix server too many [at most %d]: run policy-proxy beside it", text,
            DIRECT_INLETS);
        return;
    }
    struct inlet **slot = &direct->inlets[direct->inlet_count];
    if (inlet_open(slot, &direct->options.inlet, tenant, address, &err) != 0) {
        log_warning("policy_listen: %s can't be served [%s]", text, err_detail(&err));
        return;
    }
    direct->inlet_count++;
    log_info("policy_listen: %s may ask [tenant=%u]", text, tenant);
}

static bool admit(void *arg, const struct ip *peer)
{
    struct direct *direct = arg;
    struct err err = {0};
    uint32_t tenant;
    if (find_inlet(direct, peer) != NULL)
        return true;
    if (account_tenant_by_address(direct->account, peer, &tenant, &err) != 0) {
        log_debug("policy_listen: refused [%s]", err_detail(&err));
        return false;
    }
    open_inlet(direct, tenant, peer);
    return find_inlet(direct, peer) != NULL;
}

static int keep(void *arg, const struct ip *peer, int64_t ts_us, struct slice request, uint64_t *seq)
{
    struct inlet *inlet = find_inlet(arg, peer);
    *seq = 0; /* nothing waits for a sync here */
    return inlet != NULL ? inlet_keep(inlet, ts_us, request) : ERR_DENIED;
}

struct wanted {
    struct ip addresses[DIRECT_INLETS];
    size_t count;
};

static int want_hosts(void *arg, const struct account_key *key)
{
    struct wanted *wanted = arg;
    if ((key->scopes & SCOPE_INGEST) == 0 || key->revoked_us != 0)
        return 0;
    for (size_t i = 0; i < key->address_count && wanted->count < DIRECT_INLETS; i++)
        if (key->addresses[i].bits == 128)
            wanted->addresses[wanted->count++] = key->addresses[i].net;
    return 0;
}

/* The control data changed: shuts what is no longer named, makes ready what is. */
static void look_again(struct direct *direct)
{
    struct err err = {0};
    struct wanted wanted = {.count = 0};
    uint32_t tenant;
    for (size_t i = 0; i < direct->inlet_count; i++) {
        struct inlet *inlet = direct->inlets[i];
        int rc = account_tenant_by_address(direct->account, inlet_address(inlet), &tenant, &err);
        if (rc == 0 || rc == ERR_NOT_FOUND || rc == ERR_CONFLICT) /* else nothing is known: as it was */
            inlet_shut(inlet, rc != 0 || tenant != inlet_tenant(inlet));
    }
    if (account_key_list(direct->account, 0, want_hosts, &wanted, &err) != 0)
        log_warning("policy_listen: the API keys can't be read [%s]", err_detail(&err));
    for (size_t i = 0; i < wanted.count; i++)
        if (find_inlet(direct, &wanted.addresses[i]) == NULL &&
            account_tenant_by_address(direct->account, &wanted.addresses[i], &tenant, &err) == 0)
            open_inlet(direct, tenant, &wanted.addresses[i]);
}

static void list_spools(struct direct *direct)
{
    pthread_mutex_lock(&direct->lock);
    direct->spool_count = 0;
    for (size_t i = 0; i < direct->inlet_count; i++) {
        const struct inlet *inlet = direct->inlets[i];
        if (inlet_spool(inlet) != NULL)
            direct->spools[direct->spool_count++] =
                (struct direct_spool){inlet_directory(inlet), inlet_spool(inlet)};
    }
    pthread_mutex_unlock(&direct->lock);
}

/* Waits at most wait_us for all of them; how many are open and may be asked. */
static uint64_t settle(struct direct *direct, int64_t wait_us)
{
    int64_t until_us = clock_monotonic_us() + wait_us;
    uint64_t open = 0;
    for (size_t i = 0; i < direct->inlet_count; i++) {
        int64_t left_us = wait_us > 0 ? until_us - clock_monotonic_us() : 0;
        open +=
            inlet_settle(direct->inlets[i], left_us > 0 ? left_us : 0) && !inlet_is_shut(direct->inlets[i]);
    }
    list_spools(direct);
    return open;
}

static void on_opened(uv_async_t *async)
{
    (void)settle(async->data, 0);
}

/* On an inlet's thread. */
static void wake_loop(void *arg)
{
    (void)uv_async_send(arg);
}

static void on_tick(void *arg)
{
    struct direct *direct = arg;
    uint64_t generation;
    const struct listener_stats *stats = listener_get_stats(direct->listener);
    if (account_generation(direct->account, &generation, NULL) == 0 && generation != direct->generation) {
        look_again(direct);
        direct->generation = generation;
    }
    uint64_t open = settle(direct, 0); /* what did not fit into a ring goes now */
    pthread_mutex_lock(&direct->lock);
    direct->stats =
        (struct direct_stats){open, stats->open, stats->refused, stats->requests, stats->answered_lost};
    pthread_mutex_unlock(&direct->lock);
}

/* What is in the backlog and in the sockets is answered before they close. */
static void on_stop_step(void *arg)
{
    struct direct *direct = arg;
    ticker_destroy(&direct->stopper);
    ticker_destroy(&direct->tick);
    listener_destroy(&direct->listener);
    uv_close((uv_handle_t *)&direct->stop, NULL);
}

static void on_stop(uv_async_t *async)
{
    struct direct *direct = async->data;
    listener_stop(direct->listener);
    ticker_set(direct->stopper, STOP_STEP_MS, 0);
}

static void run(struct direct *direct)
{
    (void)uv_run(&direct->loop, UV_RUN_DEFAULT);
}

static void *run_thread(void *arg)
{
    run(arg);
    return NULL;
}

static int open_port(struct direct *direct, struct err *err)
{
    struct endpoint endpoint;
    int fd;
    struct listener_options options = {
        .max_connections = DIRECT_CONNECTIONS,
        .half_timeout_us = LISTENER_HALF_TIMEOUT_US,
        .admit = admit,
        .keep = keep,
        .arg = direct,
    };
    int rc = endpoint_parse(slice_of(direct->options.listen), &endpoint, err);
    if (rc == 0 && endpoint.kind != ENDPOINT_TCP)
        rc = err_set(err, ERR_CONFIG,
                     "policy_listen: an address and a port are needed, tenants are known by address");
    if (rc == 0)
        rc = listener_create(&direct->listener, &direct->loop, &options, err);
    if (rc == 0)
        rc = endpoint_listen(&endpoint, &fd, err);
    return rc != 0 ? rc : listener_add(direct->listener, fd, false, err);
}

static int prepare(struct direct *direct, struct err *err)
{
    if (mkdir(direct->options.inlet.dir, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "%s can't be made", direct->options.inlet.dir);
    int rc = account_open(&direct->account, direct->options.account_path, err);
    if (rc == 0)
        rc = ticker_create(&direct->tick, &direct->loop, on_tick, direct);
    if (rc == 0)
        rc = ticker_create(&direct->stopper, &direct->loop, on_stop_step, direct);
    if (rc == 0)
        rc = open_port(direct, err);
    if (rc != 0)
        return rc;
    look_again(direct);
    (void)settle(direct, OPEN_US);
    ticker_set(direct->tick, TICK_MS, TICK_MS);
    return pthread_create(&direct->thread, NULL, run_thread, direct) == 0
               ? 0
               : err_set(err, ERR_NO_MEMORY, "no thread");
}

/* The thread has ended, or never began. */
static void release(struct direct *direct)
{
    bool closed = true;
    for (size_t i = 0; i < direct->inlet_count; i++)
        closed = inlet_close(&direct->inlets[i], DRAIN_US) && closed;
    account_close(&direct->account);
    if (!closed) /* somebody may still want to wake the loop */
        return;
    uv_close((uv_handle_t *)&direct->opened, NULL);
    run(direct);
    (void)uv_loop_close(&direct->loop);
    pthread_mutex_destroy(&direct->lock);
    free(direct);
}

int direct_start(struct direct **out, const struct direct_options *options, struct err *err)
{
    struct direct *direct = calloc(1, sizeof *direct);
    if (direct == NULL || uv_loop_init(&direct->loop) != 0 || pthread_mutex_init(&direct->lock, NULL) != 0 ||
        uv_async_init(&direct->loop, &direct->stop, on_stop) != 0 ||
        uv_async_init(&direct->loop, &direct->opened, on_opened) != 0) {
        free(direct); /* at start-up: the process ends with this error */
        return err_set(err, ERR_NO_MEMORY, "no memory for policy_listen");
    }
    direct->options = *options;
    direct->stop.data = direct->opened.data = direct;
    uv_unref((uv_handle_t *)&direct->opened);
    direct->options.inlet.account_path = direct->options.account_path;
    direct->options.inlet.opened = wake_loop;
    direct->options.inlet.arg = &direct->opened;
    int rc = prepare(direct, err);
    if (rc == 0) {
        *out = direct;
        return 0;
    }
    on_stop_step(direct); /* the mirror image runs here, as there is no thread */
    run(direct);
    release(direct);
    return rc;
}

void direct_stop(struct direct **direct)
{
    struct direct *self = *direct;
    *direct = NULL;
    if (self == NULL)
        return;
    (void)uv_async_send(&self->stop);
    (void)pthread_join(self->thread, NULL);
    release(self);
}

void direct_get_stats(struct direct *direct, struct direct_stats *out)
{
    pthread_mutex_lock(&direct->lock);
    *out = direct->stats;
    pthread_mutex_unlock(&direct->lock);
}

size_t direct_get_spools(struct direct *direct, struct direct_spool out[DIRECT_INLETS])
{
    pthread_mutex_lock(&direct->lock);
    size_t count = direct->spool_count;
    memcpy(out, direct->spools, count * sizeof *out);
    pthread_mutex_unlock(&direct->lock);
    return count;
}
