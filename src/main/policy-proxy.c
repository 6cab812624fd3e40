/* SPDX-License-Identifier: Apache-2.0
 *
 * policy-proxy: the edge. Command line, then the parts in order; src/edge does the work.
 */
#include "edge/command.h"
#include "edge/proxy.h"
#include "loop/notify.h"
#include "loop/pidfile.h"
#include "loop/process.h"

#include <malloc.h>

#define LOG_DRAIN_US (1000000) /* a log that hangs doesn't keep the process */

/* Everything up to the first answer. *ready_fd lets the parent of -D go. */
static int start(struct proxy **proxy, struct pidfile **pidfile, struct config **config, int *ready_fd,
                 struct err *err)
{
    const struct proxy_config *settings = config_proxy(*config);
    int rc = command_open_log(settings, err);
    if (rc == 0 && config_request(*config)->daemonise)
        rc = process_detach(ready_fd, err);
    if (rc == 0)
        rc = command_open_directory(pidfile, settings, err);
    if (rc == 0)
        rc = proxy_open(proxy, config, err);
    if (rc == 0)
        rc = process_become(settings->user, err);
    if (rc == 0)
        rc = log_background(err);
    if (rc == 0)
        rc = proxy_start(*proxy, err);
    return rc;
}

static int serve(struct config **config, struct err *err)
{
    struct proxy *proxy = NULL;
    struct pidfile *pidfile = NULL;
    int ready_fd = -1;
    int rc = start(&proxy, &pidfile, config, &ready_fd, err);
    if (rc == 0) {
        process_ready(&ready_fd);
        notify_ready("answering");
        proxy_run(proxy);
    }
    proxy_close(&proxy);
    pidfile_close(&pidfile);
    log_drain(LOG_DRAIN_US);
    return rc;
}

/* Batches come and go: what they took goes back to the system, and no thread keeps a heap of its own. The way
 * of an answer allocates nothing, so nobody waits. */
static void keep_small(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
    keep_small();
    struct config *config = NULL;
    struct err err = {0};
    bool served = false;
    int rc = command_load(&config, &argc, argv, &err);
    if (rc == 0)
        rc = command_run(config, argc, argv, &served, &err);
    if (rc == 0 && !served)
        rc = serve(&config, &err);
    config_destroy(&config);
    return command_end(rc, &err);
}
