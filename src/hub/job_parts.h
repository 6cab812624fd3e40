/* SPDX-License-Identifier: Apache-2.0
 *
 * job_parts: what kinds of jobs share that write parts of the store anew. Within the hub's jobs only.
 */
#ifndef HUB_JOB_PARTS_H
#define HUB_JOB_PARTS_H

#include "hub/job.h"

/* Closes the open part, with the loader at rest. ERR_UNAVAILABLE, and as loader_at_rest. */
MUST_CHECK int job_close_part(struct job *job, struct err *err);

/* Writes every closed part anew that wanted() likes, in order; resume's member "part" is the last one that is
 * done, its other members stay. *count grows by their number. Errors of store_rewrite_part; ERR_CANCELLED. */
MUST_CHECK int job_rewrite(struct job *job, bool (*wanted)(void *arg, const struct store_part *part),
                           void *arg, const struct store_rewrite *how, uint64_t *count, struct err *err);
/* Calls fn, and while it answers ERR_BUSY again (another part is being written anew, a checkpoint is due
 * first, what goes still comes in), for half an hour at most. What its failure broke in the store is opened
 * again when it has failed, and now and then while it is busy; the loader rests for no other reason.
 * ERR_UNAVAILABLE, ERR_CANCELLED, or what fn answered last. */
MUST_CHECK int job_patiently(struct job *job,
                             int (*fn)(void *arg, struct store *store, const atomic_bool *cancelled,
                                       struct err *err),
                             void *arg, struct err *err);
/* As store_sweep, patiently. */
MUST_CHECK int job_sweep(struct job *job, const struct store_rewrite *how, struct err *err);

#endif
