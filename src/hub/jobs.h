/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs: the runner of long work (account/job.h): one thread that takes jobs one at a time, in order, stores
 * how far each came, and goes on after a restart with what is left. A job that fails for the environment's
 * sake is tried again a few times, then it is failed, with why. One that is cancelled ends at its next step;
 * what it did stays done. The kinds are the table in jobs.c, one file each (job_KIND.c).
 */
#ifndef HUB_JOBS_H
#define HUB_JOBS_H

#include "hub/direct.h"
#include "hub/loader.h"
#include "hub/paths.h"
#include "hub/receive.h"

struct jobs;

/* All of it outlives the jobs. */
struct jobs_options {
    const struct hub_config *settings;
    const struct hub_paths *paths;
    struct journal *journal;
    struct receive *receive;
    struct direct *direct; /* NULL: no policy_listen */
    /* NULL while the store isn't open. Any thread. */
    struct store *(*store)(void *arg);
    struct loader *(*loader)(void *arg);
    void *arg;
};

struct jobs_stats {
    uint64_t done, failed, cancelled; /* since start */
    uint64_t running;                 /* 1 while one is */
};

/* Errors of account_open; ERR_NO_MEMORY. */
MUST_CHECK int jobs_start(struct jobs **out, const struct jobs_options *options, struct err *err);
/* Before the loader and the receiver stop. A running job is left as it is, for the next start. Safe on NULL.
 */
void jobs_stop(struct jobs **jobs);
/* There is a new job (0), or that one was cancelled. Any thread. */
void jobs_poke(struct jobs *jobs, uint64_t cancelled);
void jobs_get_stats(const struct jobs *jobs, struct jobs_stats *out); /* any thread */

#endif
