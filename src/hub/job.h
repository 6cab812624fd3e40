/* SPDX-License-Identifier: Apache-2.0
 *
 * job: one job in the runner's hands, as its kind sees it. Within the hub's jobs only.
 */
#ifndef HUB_JOB_H
#define HUB_JOB_H

#include "account/job.h"
#include "hub/jobs.h"

#include <jansson.h>
#include <stdatomic.h>

struct job {
    uint64_t id;
    uint32_t tenant; /* 0: the operator's */
    char kind[JOB_KIND_BYTES], who[ACCOUNT_NAME_BYTES];
    json_t *arguments;
    json_t *resume; /* what the last job_progress with one stored (owned); NULL: it begins */
    json_t *result; /* an object, for the kind to fill */
    uint64_t done, all;
    int64_t stored_us; /* monotonic: progress was stored */
    const struct jobs_options *world;
    struct account *account;      /* the runner's handle */
    const atomic_bool *cancelled; /* it is to end now, for good or for the hub's stop */
};

/* Stores how far it came; without resume (NULL) at most twice a second. ERR_CANCELLED: end now. Errors of
 * account_job_progress. */
MUST_CHECK int job_progress(struct job *job, uint64_t done, uint64_t all, const json_t *resume,
                            struct err *err);
MUST_CHECK int job_check(const struct job *job, struct err *err); /* ERR_CANCELLED */

/* The store and its loader; ERR_UNAVAILABLE: the store isn't open, the job waits for it. */
MUST_CHECK int job_store(const struct job *job, struct store **store, struct loader **loader,
                         struct err *err);

/* The kinds: 0, or why not; ERR_UNAVAILABLE: to be tried again when the store is open. */
int job_erase(struct job *job, struct err *err);
int job_retain(struct job *job, struct err *err);
int job_order(struct job *job, struct err *err);
int job_reclassify(struct job *job, struct err *err);
int job_backup(struct job *job, struct err *err);

#endif
