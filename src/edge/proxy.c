/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: puts the parts together, in order, and takes them apart again. See proxy.h.
 */
#include "proxy.h"

#include "base/clock.h"
#include "loop/notify.h"
#include "metrics.h"
#include "proxy_inside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    DESCRIPTORS_SPARE = 128, /* beside the connections: spool, uplink, log, /metrics */
    STOP_STEP_MS = 20,       /* each step of stopping serves what has come by then */
    WATCH_MS = 5000,
};
#define SPOOL_AT_START_US US_PER_SECOND
#define SYNC_AT_STOP_US   (2 * US_PER_SECOND)
#define UPLINK_AT_STOP_US (3 * US_PER_SECOND)
#define SPOOL_AT_STOP_US  (3 * US_PER_SECOND)
#define STALL_TOLD_US     (1 * US_PER_SECOND)

static const struct proxy_config *settings_of(const struct proxy *proxy)
{
    return config_proxy(proxy->config);
}

/* --- what the parts ask for ---------------------------------------------------------------------------- */

static bool admit(void *arg, const struct ip *peer)
{
    const struct proxy *proxy = arg;
    return allow_contains(proxy->allow, peer);
}

static int keep(void *arg, const struct ip *peer, int64_t ts_us, struct slice request, uint64_t *seq)
{
    struct proxy *proxy = arg;
    (void)peer;
    if (proxy->spool == NULL)
        return ERR_UNAVAILABLE;
    int rc = spool_append(proxy->spool, RECORD_POLICY, ts_us, request, seq);
    if (rc == 0)
        proxy->last_seq = *seq;
    return rc;
}

/* On another thread. */
static void wake_loop(void *arg)
{
    (void)uv_async_send(arg);
}

static int render(void *arg, struct buf *out)
{
    struct proxy *proxy = arg;
    struct snapshot from = {
        .port = listener_get_stats(proxy->listener),
        .max_connections = settings_of(proxy)->max_connections,
        .spool_max_bytes = settings_of(proxy)->spool_max,
        .reloads = proxy->reloads,
        .greets = identity_can_greet(proxy->identity),
    };
    if (proxy->spool != NULL)
        spool_get_stats(proxy->spool, &from.spool);
    if (proxy->uplink != NULL)
        uplink_get_stats(proxy->uplink, &from.uplink);
    if (from.spool.journal.oldest_us > 0)
        from.oldest_seconds = (double)(clock_real_us() - from.spool.journal.oldest_us) / 1e6;
    process_get_facts(&from.process);
    return metrics_render(&from, out);
}

static void tell_hub(struct proxy *proxy)
{
    const struct listener_stats *port = listener_get_stats(proxy->listener);
    int64_t p99_us = histogram_quantile_us(&port->answer, &proxy->answers_told, 0.99);
    proxy->answers_told = port->answer;
    if (proxy->uplink != NULL)
        uplink_tell_answers(proxy->uplink, port->answered, (uint64_t)p99_us);
}

/* Says once what only a counter would say otherwise. */
static void on_watch(void *arg)
{
    struct proxy *proxy = arg;
    tell_hub(proxy);
    if (proxy->spool == NULL)
        return;
    struct spool_stats stats;
    spool_get_stats(proxy->spool, &stats);
    if (stats.journal.dropped > proxy->dropped_told)
        log_warning("spool full: the oldest %" PRIu64 " records were dropped (the hub is away too long: see "
                    "`policy-proxy check`, or raise spool_max)",
                    stats.journal.dropped - proxy->dropped_told);
    proxy->dropped_told = stats.journal.dropped;
    bool stalled = stats.stalled_us > STALL_TOLD_US;
    if (stalled && !proxy->stall_told)
        log_warning("disk of %s is silent for %.1f s; %" PRIu64
                    " answered records wait in memory (look at the "
                    "disk)",
                    proxy->identity->spool_dir, (double)stats.stalled_us / 1e6, stats.unwritten);
    if (!stalled && proxy->stall_told)
        log_info("disk of %s answers again", proxy->identity->spool_dir);
    proxy->stall_told = stalled;
}

/* --- stopping ------------------------------------------------------------------------------------------ */

/* Step by step, each a few turns of the loop apart: what waits in the backlog is accepted and what was sent
 * is answered before a socket is closed. */
static void on_stopper(void *arg)
{
    struct proxy *proxy = arg;
    if (proxy->stop == STOP_ASKED) {
        listener_stop(proxy->listener);
        proxy->stop = STOP_DEAF;
    } else if (proxy->reload == NULL) {
        proxy->stop = STOP_DONE;
        uv_stop(&proxy->loop);
        return;
    }
    ticker_set(proxy->stopper, STOP_STEP_MS, 0);
}

static void on_stop(void *arg, int signum)
{
    struct proxy *proxy = arg;
    if (proxy->stop != STOP_NOT)
        return;
    proxy->stop = STOP_ASKED;
    notify_stopping();
    log_info("stopping (signal %d)", signum);
    ticker_set(proxy->stopper, STOP_STEP_MS, 0);
}

static void on_reload(void *arg)
{
    struct proxy *proxy = arg;
    if (proxy->stop == STOP_NOT)
        reload_begin(proxy);
}

static const struct signals_calls signal_calls = {.stop = on_stop, .reload = on_reload};

/* --- open: what needs privileges ----------------------------------------------------------------------- */

static int check_reach(struct proxy *proxy, int fd, struct err *err)
{
    struct endpoint endpoint;
    char where[ENDPOINT_TEXT_BYTES];
    int rc = endpoint_of_fd(fd, &endpoint, err);
    if (rc != 0 || endpoint_is_local(&endpoint) || !allow_is_empty(proxy->allow))
        return rc;
    endpoint_format(&endpoint, where);
    return err_set(err, ERR_CONFIG, "%s is beyond loopback: set allow to the networks of the Postfix servers",
                   where);
}

static int listen_everywhere(struct proxy *proxy, struct err *err)
{
    struct endpoint endpoint;
    int fds[ACCEPTOR_INHERITED_MAX], n = acceptor_inherited(fds), rc = 0;
    bool own = n == 0;
    if (own) {
        rc = endpoint_parse(slice_of(settings_of(proxy)->listen), &endpoint, err);
        if (rc == 0)
            rc = endpoint_listen(&endpoint, &fds[n++], err);
    }
    for (int i = 0; i < n && rc == 0; i++)
        rc = check_reach(proxy, fds[i], err);
    for (int i = 0; i < n && rc == 0; i++)
        rc = listener_add(proxy->listener, fds[i], own, err);
    return rc;
}

static int open_port(struct proxy *proxy, struct err *err)
{
    const struct proxy_config *settings = settings_of(proxy);
    struct listener_options options = {
        .max_connections = settings->max_connections,
        .half_timeout_us = LISTENER_HALF_TIMEOUT_US,
        .wait_synced = strcmp(settings->sync, "always") == 0,
        .admit = admit,
        .keep = keep,
        .arg = proxy,
    };
    int rc = allow_create(&proxy->allow, slice_of(settings->allow), err);
    if (rc == 0)
        rc = listener_create(&proxy->listener, &proxy->loop, &options, err);
    if (rc == 0)
        rc = listen_everywhere(proxy, err);
    if (rc == 0 && settings->metrics[0] != '\0')
        rc = scrape_open(&proxy->scrape, &proxy->loop, settings->metrics, render, proxy, err);
    return rc;
}

int proxy_open(struct proxy **out, struct config **config, struct err *err)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the proxy");
    proxy->config = *config;
    *config = NULL;
    int status = uv_loop_init(&proxy->loop);
    if (status != 0) {
        config_destroy(&proxy->config);
        free(proxy);
        return err_set(err, ERR_IO, "no event loop: %s", uv_strerror(status));
    }
    int rc = identity_create(&proxy->identity, settings_of(proxy), err);
    if (rc == 0)
        rc = process_raise_descriptors(settings_of(proxy)->max_connections + DESCRIPTORS_SPARE, err);
    if (rc == 0)
        rc = open_port(proxy, err);
    if (rc != 0)
        proxy_close(&proxy);
    *out = proxy;
    return rc;
}

/* --- start: files and threads -------------------------------------------------------------------------- */

/* Once, when the opener has done. */
static void opened(struct proxy *proxy)
{
    struct spool_stats stats;
    spool_get_stats(proxy->spool, &stats);
    proxy->dropped_told = stats.journal.dropped;
    log_info("spool %s open: %" PRIu64 " records wait, %" PRIu64 " of them found in the ring",
             proxy->identity->spool_dir, stats.journal.depth, stats.recovered);
    if (!identity_can_greet(proxy->identity))
        log_warning("nothing is sent, records only gather in %s: " IDENTITY_MISSING,
                    proxy->identity->spool_dir);
}

/* While mail is answered: nothing ends the program any more. */
static void take_late(struct proxy *proxy)
{
    struct err err = {0};
    int rc = opener_take(&proxy->opener, 0, &proxy->spool, &proxy->uplink, &err);
    if (proxy->opener != NULL || proxy->spool == NULL)
        return;
    opened(proxy);
    if (rc != 0)
        log_error("nothing is sent: %s; mend it, then reload", err_detail(&err));
    if (proxy->reload_again && proxy->reload == NULL && proxy->stop == STOP_NOT) {
        proxy->reload_again = false;
        reload_begin(proxy);
    }
}

static void on_woken(uv_async_t *async)
{
    struct proxy *proxy = async->data;
    if (proxy->opener != NULL && proxy->stop == STOP_NOT)
        take_late(proxy);
    if (proxy->listener != NULL && proxy->spool != NULL)
        listener_synced(proxy->listener, spool_synced_seq(proxy->spool));
}

/* On the opener's thread, which alone uses the settings until it has done. A disk that was full at the start
 * may lack the directory. */
static int make_directory(void *arg, struct err *err)
{
    const uv_async_t *woken = arg;
    return identity_prepare_directory(settings_of(woken->data), err);
}

/* Gives the spool its moment before anything is accepted, so that an ordinary start loses nothing; then mail
 * comes first. */
static int start_spool(struct proxy *proxy, struct err *err)
{
    const struct proxy_config *settings = settings_of(proxy);
    bool always = strcmp(settings->sync, "always") == 0;
    struct opener_options options = {
        .prepare = make_directory,
        .spool = {.journal = {.dir = proxy->identity->spool_dir,
                              .max_bytes = settings->spool_max,
                              .compress_level = 3},
                  .ring_dir = settings->ring_dir,
                  .ring_bytes = settings->ring,
                  .sync = always ? SPOOL_SYNC_ALWAYS : SPOOL_SYNC_INTERVAL,
                  .sync_interval_us = settings->sync_interval},
        .uplink = identity_can_greet(proxy->identity) ? &proxy->identity->uplink : NULL,
        .synced = always ? wake_loop : NULL,
        .done = wake_loop,
        .arg = &proxy->woken,
    };
    identity_ring_dirs(proxy->identity, options.spool.ring_dirs);
    if (uv_async_init(&proxy->loop, &proxy->woken, on_woken) != 0)
        return err_set(err, ERR_IO, "no event loop");
    proxy->woken.data = proxy;
    proxy->woken_open = true;
    int rc = opener_start(&proxy->opener, &options, err);
    if (rc == 0)
        rc = opener_take(&proxy->opener, SPOOL_AT_START_US, &proxy->spool, &proxy->uplink, err);
    if (proxy->opener != NULL) {
        if (rc == ERR_TIMEOUT)
            log_warning(
                "spool %s is not open yet, mail is answered and NOT kept until it is (look at its disk)",
                proxy->identity->spool_dir);
        return 0;
    }
    if (rc == 0)
        opened(proxy);
    return rc;
}

int proxy_start(struct proxy *proxy, struct err *err)
{
    int rc = signals_open(&proxy->signals, &proxy->loop, &signal_calls, proxy, err);
    if (rc == 0 && (notify_watchdog(&proxy->watchdog, &proxy->loop) != 0 ||
                    ticker_create(&proxy->stopper, &proxy->loop, on_stopper, proxy) != 0 ||
                    ticker_create(&proxy->watch, &proxy->loop, on_watch, proxy) != 0))
        rc = err_set(err, ERR_NO_MEMORY, "no memory for timers");
    if (rc == 0)
        rc = start_spool(proxy, err);
    if (rc != 0)
        return rc;
    ticker_set(proxy->watch, WATCH_MS, WATCH_MS);
    listener_announce(proxy->listener);
    return 0;
}

void proxy_run(struct proxy *proxy)
{
    (void)uv_run(&proxy->loop, UV_RUN_DEFAULT);
}

/* --- close --------------------------------------------------------------------------------------------- */

/* Only synced records are sent: gives the spool's thread its moment before the uplink's last one. */
static void wait_synced(const struct proxy *proxy)
{
    int64_t until_us = clock_monotonic_us() + SYNC_AT_STOP_US;
    while (spool_synced_seq(proxy->spool) < proxy->last_seq && clock_monotonic_us() < until_us) {
        struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
        (void)nanosleep(&pause, NULL);
    }
}

/* False: its thread still hangs in the disk, and what it uses must stay until the process ends. */
static bool close_spool(struct proxy *proxy)
{
    struct err err = {0};
    if (proxy->opener != NULL) {
        opener_stop(proxy->opener);
        int taken = opener_take(&proxy->opener, SPOOL_AT_STOP_US, &proxy->spool, &proxy->uplink, &err);
        if (proxy->opener != NULL) {
            log_warning("spool %s did not open until the end: look at its disk [%s]",
                        proxy->identity->spool_dir, err_text(taken));
            return false;
        }
    }
    if (proxy->spool == NULL)
        return true;
    if (proxy->uplink != NULL) {
        wait_synced(proxy);
        uplink_stop(&proxy->uplink, UPLINK_AT_STOP_US);
    }
    int rc = spool_close(&proxy->spool, SPOOL_AT_STOP_US, &err);
    if (rc != 0)
        log_warning("spool not closed: %s (what is in the ring is kept for the next start)",
                    err_detail(&err));
    return rc == 0;
}

void proxy_close(struct proxy **proxy)
{
    struct proxy *self = *proxy;
    *proxy = NULL;
    if (self == NULL)
        return;
    listener_destroy(&self->listener);
    scrape_close(&self->scrape);
    if (!close_spool(self))
        return;
    signals_close(&self->signals);
    ticker_destroy(&self->watchdog);
    ticker_destroy(&self->stopper);
    ticker_destroy(&self->watch);
    if (self->woken_open)
        uv_close((uv_handle_t *)&self->woken, NULL);
    (void)uv_run(&self->loop, UV_RUN_DEFAULT); /* the close callbacks */
    (void)uv_loop_close(&self->loop);
    allow_destroy(&self->allow);
    identity_destroy(&self->identity);
    config_destroy(&self->config);
    free(self);
}
