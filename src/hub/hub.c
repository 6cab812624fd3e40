/* SPDX-License-Identifier: Apache-2.0
 *
 * hub: the assembly. start() goes down the list, stop() comes up again. See hub.h.
 */
#include "hub.h"

#include "base/clock.h"
#include "figures.h"
#include "loop/notify.h"
#include "loop/pidfile.h"
#include "loop/process.h"
#include "loop/scrape.h"
#include "loop/signals.h"
#include "opening.h"
#include "originals.h"
#include "paths.h"
#include "people.h"
#include "store/parquet.h"
#include "web.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    JOURNAL_COMPRESS_LEVEL = 1, /* the records in it are compressed already */
    DESCRIPTORS_BESIDES = 512,
};

static const char status_open[] = "ready";
static const char status_shut[] = "receives, but the store can't be opened: see the log";

struct hub {
    const struct config *config;
    const struct hub_config *settings; /* of the start: what a reload doesn't change */
    struct hub_paths paths;
    uv_loop_t loop;
    struct pidfile *pidfile;
    struct account *account; /* checked at start; the threads open their own */
    struct journal *journal;
    struct receive *receive;
    struct jobs *jobs;
    struct direct *direct; /* NULL: no policy_listen */
    char direct_server[256];
    _Atomic(struct store *) store; /* NULL: not open */
    _Atomic(struct loader *) loader;
    struct share *files; /* Parquet files that are being written */
    struct control *control;
    struct scrape *scrape;
    struct ingest *ingest;
    struct live *live; /* NULL: no http and no https */
    struct web *web;   /* likewise */
    struct signals *signals;
    struct ticker *watchdog;
    struct opening *opening; /* of the store */
    bool ready;              /* the store is open, or could not be opened and is tried again */
    char public_key[41];
    int64_t started_us;
};

static void on_sync(void *arg)
{
    struct hub *hub = arg;
    struct loader *loader = atomic_load(&hub->loader);
    if (loader != NULL)
        loader_wake(loader);
}

/* Any thread: what is taken from parts that live as long as the loop runs. */
static void take_figures(struct hub *hub, struct figures *out)
{
    *out = (struct figures){.engine = hub->settings->store};
    out->store_opening = opening_get_state(hub->opening, out->store_error) == OPENING_FIRST;
    struct store *store = atomic_load(&hub->store); /* after that: who reads that it is done finds it */
    struct loader *loader = atomic_load(&hub->loader);
    out->store_open = store != NULL;
    out->uptime_us = clock_monotonic_us() - hub->started_us;
    memcpy(out->public_key, hub->public_key, sizeof out->public_key);
    receive_get_stats(hub->receive, &out->receive);
    journal_get_stats(hub->journal, &out->journal);
    if (hub->control != NULL)
        control_get_stats(hub->control, &out->control);
    if (hub->direct != NULL)
        direct_get_stats(hub->direct, &out->direct);
    if (hub->web != NULL)
        web_get_stats(hub->web, &out->http);
    if (hub->ingest != NULL)
        ingest_get_stats(hub->ingest, &out->ingest);
    if (hub->live != NULL)
        live_get_stats(hub->live, &out->live);
    if (store != NULL)
        store_get_stats(store, &out->store);
    if (hub->jobs != NULL)
        jobs_get_stats(hub->jobs, &out->jobs);
    if (loader == NULL)
        return;
    loader_get_stats(loader, &out->loader);
    if (out->loader.stalled)
        (void)snprintf(out->store_error, sizeof out->store_error, "%s", out->loader.error);
}

static int write_status(void *arg, struct buf *json)
{
    struct figures figures;
    take_figures(arg, &figures);
    return figures_write_json(&figures, json);
}

static int write_metrics(void *arg, struct buf *text)
{
    struct figures figures;
    take_figures(arg, &figures);
    return figures_write_metrics(&figures, text);
}

static int write_edges(void *arg, uint32_t tenant, struct buf *json)
{
    struct hub *hub = arg;
    return receive_edges(hub->receive, tenant, json);
}

static bool was_heard(void *arg, uint32_t tenant)
{
    struct hub *hub = arg;
    return receive_heard(hub->receive, tenant);
}

static void on_job(void *arg, uint64_t cancelled)
{
    struct hub *hub = arg;
    jobs_poke(hub->jobs, cancelled);
}

static struct store *store_of(void *arg)
{
    struct hub *hub = arg;
    return atomic_load(&hub->store);
}

static struct loader *loader_of(void *arg)
{
    struct hub *hub = arg;
    return atomic_load(&hub->loader);
}

static int start_jobs(struct hub *hub, struct err *err)
{
    struct jobs_options options = {
        .settings = hub->settings,
        .paths = &hub->paths,
        .journal = hub->journal,
        .receive = hub->receive,
        .direct = hub->direct,
        .store = store_of,
        .loader = loader_of,
        .arg = hub,
    };
    return jobs_start(&hub->jobs, &options, err);
}

static int write_edge_history(void *arg, uint32_t tenant, const char *id, struct buf *json)
{
    struct hub *hub = arg;
    return receive_edge_history(hub->receive, tenant, id, json);
}

/* A thread of the loader. */
static void publish(void *arg, const struct event *rows, size_t count)
{
    struct hub *hub = arg;
    audience_publish(live_audience(hub->live), rows, count, clock_real_us());
}

static int start_loader(struct hub *hub, struct store *store, struct err *err)
{
    struct loader *loader = NULL;
    struct loader_options options = {
        .journal = hub->journal,
        .store = store,
        .account_path = hub->paths.account,
        .quarantine_dir = hub->paths.quarantine,
        .commit_interval_us = hub->settings->commit_interval,
        .journal_keep_us = hub->settings->journal_keep,
        .publish = hub->live != NULL ? publish : NULL,
        .publish_arg = hub,
    };
    int rc = loader_settle(hub->journal, store, err);
    if (rc == 0)
        rc = loader_start(&loader, &options, err);
    atomic_store(&hub->loader, loader);
    return rc;
}

static int use_store(void *arg, struct store *store, struct err *err)
{
    struct hub *hub = arg;
    int rc = start_loader(hub, store, err);
    if (rc != 0)
        return rc;
    atomic_store(&hub->store, store);
    control_set_store(hub->control, store);
    if (hub->web != NULL)
        web_set_store(hub->web, store);
    log_info("store: %s open in %s", hub->settings->store, hub->paths.store);
    if (hub->ready)
        notify_status(status_open);
    return 0;
}

/* The first try to open the store is over: "ready" means answers. */
static void become_ready(void *arg, bool open)
{
    struct hub *hub = arg;
    hub->ready = true;
    log_info("hub: ready [version=%s wire=%s key=%s data=%s]", VERSION, hub->settings->server_address,
             hub->public_key, hub->paths.data);
    notify_ready(open ? status_open : status_shut);
}

static int prepare_opening(struct hub *hub, struct err *err)
{
    const struct hub_config *s = hub->settings;
    struct opening_options options = {
        .store = {.engine = s->store,
                  .dir = hub->paths.store,
                  .memory_bytes = s->store_memory,
                  .query_threads = (uint32_t)s->query_threads,
                  .query_per_tenant = (uint32_t)s->query_per_tenant},
        .opened = use_store,
        .settled = become_ready,
        .arg = hub,
    };
    return opening_create(&hub->opening, &hub->loop, &options, err);
}

static void on_stop(void *arg, int signum)
{
    struct hub *hub = arg;
    log_info("hub: stopping [signal=%d]", signum);
    notify_stopping();
    uv_stop(&hub->loop);
}

static void on_reload(void *arg)
{
    struct hub *hub = arg;
    struct config *fresh = NULL;
    struct err err = {0};
    enum log_level level = LOG_LEVEL_INFO;
    if (hub->ready) /* else the supervisor waits for that */
        notify_reloading();
    if (config_reload(&fresh, hub->config, &err) != 0) {
        log_error("hub: the configuration stays as it was [%s]", err_detail(&err));
    } else {
        /* Only the log's level is taken: the rest has been handed to threads. */
        if (log_level_parse(config_hub(fresh)->log_level, &level) == 0)
            log_set_level(level);
        config_destroy(&fresh);
    }
    if (log_reopen(&err) != 0)
        log_error("hub: %s", err_detail(&err));
    web_reload(hub->web);
    log_info("hub: reloaded");
    if (hub->ready)
        notify_ready(atomic_load(&hub->store) != NULL ? status_open : status_shut);
}

static bool has_web(const struct hub_config *settings)
{
    return settings->http[0] != '\0' || settings->https[0] != '\0';
}

static int prepare_files(struct hub *hub, struct err *err)
{
    const struct hub_config *s = hub->settings;
    const struct hub_paths *p = &hub->paths;
    const char *const ours[] = {p->data, p->journal, p->receive, p->quarantine};
    int rc = paths_of(s, &hub->paths, err);
    if (rc == 0)
        rc = paths_make(&hub->paths, true, err);
    for (size_t i = 0; rc == 0 && s->user[0] != '\0' && i < sizeof ours / sizeof *ours; i++)
        rc = process_give(s->user, ours[i], err);
    if (rc == 0 && p->pid_file[0] != '\0')
        rc = pidfile_open(&hub->pidfile, p->pid_file, err);
    if (rc == 0)
        rc = process_raise_descriptors(s->max_sessions + DESCRIPTORS_BESIDES +
                                           (s->policy_listen[0] != '\0' ? DIRECT_CONNECTIONS : 0) +
                                           (has_web(s) ? s->http_connections + s->live_clients : 0),
                                       err);
    if (rc == 0)
        rc = process_become(s->user, err);
    return rc != 0 ? rc : account_open(&hub->account, p->account, err);
}

static int start_receiving(struct hub *hub, struct err *err)
{
    const struct hub_config *s = hub->settings;
    struct journal_options journal = {
        .dir = hub->paths.journal,
        .max_bytes = s->journal_max,
        .keep_unretired = true, /* full: no acks, the edges keep what they have */
        .compress_level = JOURNAL_COMPRESS_LEVEL,
    };
    struct receive_options receive = {
        .listen = s->server_address,
        .listen_local = s->server_local_address,
        .key_file = hub->paths.key,
        .account_path = hub->paths.account,
        .state_dir = hub->paths.receive,
        .window = (uint32_t)s->window,
        .max_sessions = (uint32_t)s->max_sessions,
        .journal_max_bytes = s->journal_max,
    };
    int rc = journal_open(&hub->journal, &journal, err);
    if (rc != 0)
        return rc;
    journal_on_sync(hub->journal, on_sync, hub);
    rc = receive_start(&hub->receive, &receive, hub->journal, err);
    if (rc == 0)
        receive_public_key(hub->receive, hub->public_key);
    return rc;
}

/* The hub's own wire as seen from here: the local endpoint, or the other one by loopback. */
static void own_endpoint(const struct hub_config *s, char *out, size_t size)
{
    static const char *const wildcards[][2] = {{"tcp://*:", "tcp://127.0.0.1:"},
                                               {"tcp://0.0.0.0:", "tcp://127.0.0.1:"},
                                               {"tcp://[::]:", "tcp://[::1]:"}};
    const char *endpoint = s->server_local_address[0] != '\0' ? s->server_local_address : s->server_address;
    for (size_t i = 0; i < sizeof wildcards / sizeof *wildcards; i++) {
        size_t n = strlen(wildcards[i][0]);
        if (strncmp(endpoint, wildcards[i][0], n) == 0) {
            (void)snprintf(out, size, "%s%s", wildcards[i][1], endpoint + n);
            return;
        }
    }
    (void)snprintf(out, size, "%s", endpoint);
}

static int start_direct(struct hub *hub, struct err *err)
{
    if (hub->settings->policy_listen[0] == '\0')
        return 0;
    own_endpoint(hub->settings, hub->direct_server, sizeof hub->direct_server);
    struct direct_options options = {
        .listen = hub->settings->policy_listen,
        .account_path = hub->paths.account,
        .inlet = {.dir = hub->paths.direct, .server = hub->direct_server, .server_key = hub->public_key},
    };
    return direct_start(&hub->direct, &options, err);
}

/* The store is open and takes what comes. */
static int say_ready(void *arg, char *why, size_t size)
{
    struct hub *hub = arg;
    struct figures figures;
    take_figures(hub, &figures);
    (void)snprintf(why, size, "%s", figures.store_error);
    return figures.store_open && !figures.loader.stalled ? 0 : ERR_UNAVAILABLE;
}

/* Behind by more than a commit takes: the store refuses, or there is a backlog. */
static int64_t say_lag(void *arg)
{
    struct hub *hub = arg;
    struct loader_stats stats = {.lag_us = 0};
    struct loader *loader = atomic_load(&hub->loader);
    if (loader != NULL)
        loader_get_stats(loader, &stats);
    return stats.lag_us > AUDIENCE_LATE_US ? stats.lag_us : 0;
}

static int start_live(struct hub *hub, struct err *err)
{
    struct live_options options = {
        .clients = (unsigned)hub->settings->live_clients, .lag_us = say_lag, .arg = hub};
    return live_create(&hub->live, &hub->loop, &options) == 0
               ? 0
               : err_set(err, ERR_NO_MEMORY, "no memory for live push");
}

static int start_web(struct hub *hub, const struct api_context *context, struct err *err)
{
    if (!has_web(hub->settings))
        return 0;
    int rc = ingest_start(&hub->ingest, hub->receive, hub->paths.account, err);
    if (rc == 0)
        rc = start_live(hub, err);
    struct web_options options = {
        .settings = hub->settings,
        .paths = &hub->paths,
        .ingest = hub->ingest,
        .context = *context,
        .live = hub->live,
        .ready = say_ready,
        .metrics = write_metrics,
        .arg = hub,
    };
    return rc == 0 ? web_open(&hub->web, &hub->loop, &options, err) : rc;
}

static int read_originals(void *arg, struct account *account, struct raw_page *page, struct err *err)
{
    const struct hub *hub = arg;
    return originals_read(hub->journal, account, page, err);
}

static int start_loop_parts(struct hub *hub, struct err *err)
{
    static const struct signals_calls calls = {on_stop, on_reload};
    const struct hub_config *s = hub->settings;
    struct control_options control = {
        .path = hub->paths.control,
        .account_path = hub->paths.account,
        .context = {.query_timeout_us = s->query_timeout,
                    .export_dir = hub->paths.export,
                    .status = write_status,
                    .edges = write_edges,
                    .jobs = on_job,
                    .heard = was_heard,
                    .raw = read_originals,
                    .edge_history = write_edge_history,
                    .arg = hub},
    };
    parquet_sweep(hub->paths.export);
    int rc = share_create(&hub->files, PARQUET_AT_ONCE, err);
    control.context.files = hub->files;
    if (rc == 0)
        rc = signals_open(&hub->signals, &hub->loop, &calls, hub, err);
    if (rc == 0)
        rc = prepare_opening(hub, err);
    if (rc == 0)
        rc = control_open(&hub->control, &hub->loop, &control, err);
    if (rc == 0 && s->metrics[0] != '\0')
        rc = scrape_open(&hub->scrape, &hub->loop, s->metrics, write_metrics, hub, err);
    if (rc == 0)
        rc = start_web(hub, &control.context, err);
    return rc != 0 ? rc : notify_watchdog(&hub->watchdog, &hub->loop);
}

static int start(struct hub *hub, struct err *err)
{
    int rc = prepare_files(hub, err);
    if (rc == 0)
        rc = start_receiving(hub, err);
    if (rc == 0)
        rc = start_direct(hub, err);
    if (rc == 0)
        rc = start_jobs(hub, err);
    if (rc == 0)
        rc = start_loop_parts(hub, err);
    if (rc == 0)
        rc = people_make_first(hub->account, err); /* whose password is told once: no start fails behind it */
    if (rc != 0)
        return rc;
    opening_begin(hub->opening);
    notify_status("the store is being opened");
    return 0;
}

/* The loop's parts go first and the loop runs until it has nothing left; then the flow, from its mouth. */
static void stop(struct hub *hub)
{
    struct store *store = atomic_load(&hub->store);
    struct loader *loader;
    ticker_destroy(&hub->watchdog);
    scrape_close(&hub->scrape);
    web_stop(hub->web);
    live_stop(hub->live);
    control_close(&hub->control);
    opening_stop(hub->opening);
    signals_close(&hub->signals);
    (void)uv_run(&hub->loop, UV_RUN_DEFAULT); /* until the last handler is back */
    opening_destroy(&hub->opening);
    web_destroy(&hub->web);
    share_destroy(&hub->files);
    ingest_stop(&hub->ingest);
    jobs_stop(&hub->jobs);     /* while all that it works on is there */
    direct_stop(&hub->direct); /* while there is one to hand over to */
    receive_stop(&hub->receive);
    loader = atomic_exchange(&hub->loader, NULL);
    if (loader != NULL)
        loader_stop(&loader);
    live_destroy(&hub->live); /* the loader published until now */
    if (store != NULL)
        store_close(&store);
    journal_close(&hub->journal);
    account_close(&hub->account);
    pidfile_close(&hub->pidfile);
}

static void size_thread_pool(uint64_t query_threads)
{
    char number[24];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)query_threads + 5);
    (void)setenv("UV_THREADPOOL_SIZE", number, 0);
}

int hub_run(const struct config *config, struct err *err)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the hub");
    hub->config = config;
    hub->settings = config_hub(config);
    hub->started_us = clock_monotonic_us();
    size_thread_pool(hub->settings->query_threads);
    int rc = uv_loop_init(&hub->loop) != 0 ? err_set(err, ERR_NO_MEMORY, "no memory for the loop") : 0;
    if (rc == 0 && (rc = start(hub, err)) == 0)
        (void)uv_run(&hub->loop, UV_RUN_DEFAULT);
    stop(hub);
    (void)uv_loop_close(&hub->loop);
    free(hub);
    if (rc == 0)
        log_info("hub: stopped");
    return rc;
}
