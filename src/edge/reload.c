/* SPDX-License-Identifier: Apache-2.0
 *
 * reload: SIGHUP. What may wait (files, the old uplink's end) is done on a worker, so that answers go on; log
 * level and allow list change on the loop, at once. Settings that can't change in a running proxy are named
 * in the log. A wrong configuration changes nothing.
 */
#include "loop/notify.h"
#include "proxy_inside.h"

#include <stdlib.h>

struct reload {
    uv_work_t work; /* used twice: load, then greet */
    struct proxy *proxy;
    /* The new ones; after the swap the old ones. */
    struct config *config;
    struct identity *identity;
    struct allow *allow;

    struct uplink *uplink;
    int rc;
    struct err err;
};

static void finish(struct reload *reload)
{
    struct proxy *proxy = reload->proxy;
    if (reload->rc == 0) {
        proxy->reloads++;
        log_info("configuration reloaded");
    } else {
        log_error("reload failed: %s", err_detail(&reload->err));
    }
    config_destroy(&reload->config);
    allow_destroy(&reload->allow);
    identity_destroy(&reload->identity);
    free(reload);
    proxy->reload = NULL;
    bool again = proxy->reload_again;
    proxy->reload_again = false;
    notify_ready("answering");
    if (again && proxy->stop == STOP_NOT)
        reload_begin(proxy);
}

/* On the worker. */
static void greet(uv_work_t *work)
{
    struct reload *reload = work->data;
    uplink_stop(&reload->uplink, 0);
    if (identity_can_greet(reload->identity))
        reload->rc =
            uplink_start(&reload->uplink, &reload->identity->uplink, reload->proxy->spool, &reload->err);
}

static void after_greet(uv_work_t *work, int status)
{
    struct reload *reload = work->data;
    (void)status;
    reload->proxy->uplink = reload->uplink;
    struct identity *identity = reload->proxy->identity;
    reload->proxy->identity = reload->identity;
    reload->identity = identity;
    finish(reload);
}

static void name_unchangeable(const struct proxy_config *old, const struct proxy_config *new)
{
    const struct {
        const char *key;
        bool changed;
    } fixed[] = {
        {"listen", strcmp(old->listen, new->listen) != 0},
        {"max_connections", old->max_connections != new->max_connections},
        {"spool", strcmp(old->spool, new->spool) != 0},
        {"spool_max", old->spool_max != new->spool_max},
        {"ring_dir", strcmp(old->ring_dir, new->ring_dir) != 0},
        {"ring", old->ring != new->ring},
        {"sync", strcmp(old->sync, new->sync) != 0},
        {"sync_interval", old->sync_interval != new->sync_interval},
        {"metrics", strcmp(old->metrics, new->metrics) != 0},
        {"pid_file", strcmp(old->pid_file, new->pid_file) != 0},
        {"log_output", strcmp(old->log_output, new->log_output) != 0},
        {"user", strcmp(old->user, new->user) != 0},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (fixed[i].changed)
            log_warning("setting %s has changed, which a reload can't apply (restart policy-proxy)",
                        fixed[i].key);
}

/* Swaps old and new. */
static void apply(struct reload *reload)
{
    struct proxy *proxy = reload->proxy;
    enum log_level level;
    name_unchangeable(config_proxy(proxy->config), config_proxy(reload->config));
    if (log_level_parse(config_proxy(reload->config)->log_level, &level) == 0)
        log_set_level(level);
    struct config *config = proxy->config;
    proxy->config = reload->config;
    reload->config = config;
    struct allow *allow = proxy->allow;
    proxy->allow = reload->allow;
    reload->allow = allow;
}

/* On the worker. */
static void load(uv_work_t *work)
{
    struct reload *reload = work->data;
    struct err err = {0};
    reload->rc = config_reload(&reload->config, reload->proxy->config, &reload->err);
    if (reload->rc == 0)
        reload->rc = identity_create(&reload->identity, config_proxy(reload->config), &reload->err);
    if (reload->rc == 0)
        reload->rc =
            allow_create(&reload->allow, slice_of(config_proxy(reload->config)->allow), &reload->err);
    if (log_reopen(&err) != 0)
        log_warning("log goes on in the old file: %s", err_detail(&err));
}

static void after_load(uv_work_t *work, int status)
{
    struct reload *reload = work->data;
    struct proxy *proxy = reload->proxy;
    (void)status;
    if (reload->rc != 0) {
        finish(reload);
        return;
    }
    /* Without an uplink there is one to start, even for the same hub: the last start of one failed. */
    bool same_hub = identity_equal(proxy->identity, reload->identity) &&
                    (proxy->uplink != NULL || !identity_can_greet(reload->identity));
    apply(reload);
    if (!identity_can_greet(reload->identity))
        log_warning("nothing is sent, records only gather in %s: " IDENTITY_MISSING,
                    proxy->identity->spool_dir);
    if (same_hub) {
        finish(reload);
        return;
    }
    reload->uplink = proxy->uplink;
    proxy->uplink = NULL;
    if (uv_queue_work(&proxy->loop, &reload->work, greet, after_greet) != 0) {
        proxy->uplink = reload->uplink;
        reload->rc = err_set(&reload->err, ERR_NO_MEMORY, "no worker for the new uplink");
        finish(reload);
    }
}

void reload_begin(struct proxy *proxy)
{
    if (proxy->reload != NULL || proxy->opener != NULL) { /* the opener reads the settings there are */
        proxy->reload_again = true;
        return;
    }
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload == NULL)
        return;
    reload->proxy = proxy;
    reload->work.data = reload;
    notify_reloading();
    proxy->reload = reload;
    if (uv_queue_work(&proxy->loop, &reload->work, load, after_load) != 0) {
        reload->rc = err_set(&reload->err, ERR_NO_MEMORY, "no worker for the reload");
        finish(reload);
    }
}
