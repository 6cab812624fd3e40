/* SPDX-License-Identifier: Apache-2.0
 *
 * job: the list of long pieces of work, as control data: it outlives the hub. Whoever asks adds a row; the
 * hub's runner takes them one at a time in order of id, stores how far it came, and goes on after a restart
 * with what is left. Kinds and their arguments are the runner's affair (hub/jobs.h). One handle a thread.
 */
#ifndef ACCOUNT_JOB_H
#define ACCOUNT_JOB_H

#include "account.h"

enum {
    JOB_KIND_BYTES = 32,
    JOB_TEXT_BYTES = 16384, /* arguments, how far it came, result: each at most */
    JOBS_WAITING = 1000,    /* more are refused */
    JOBS_KEPT = 10000,      /* ended ones: older ones are forgotten */
};

#define JOB_STATES(X)                                                                                        \
    X(WAITING, "waiting")                                                                                    \
    X(RUNNING, "running")                                                                                    \
    X(DONE, "done")                                                                                          \
    X(FAILED, "failed") X(CANCELLED, "cancelled")
#define X(name, text) JOB_##name,
enum job_state { JOB_STATES(X) JOB_STATE_COUNT };
#undef X
const char *account_job_state(enum job_state state); /* static */

/* Texts are valid during the call that hands the job out. */
struct account_job {
    uint64_t id;
    uint32_t tenant; /* 0: the operator's */
    enum job_state state;
    bool cancel;                              /* somebody wants it to end */
    uint64_t done, all;                       /* of whatever it counts; all 0: not known */
    int64_t created_us, started_us, ended_us; /* 0: not yet */
    const char *kind;
    const char *arguments; /* a JSON object */
    const char *resume;    /* the kind's own: how far it came; "" at first */
    const char
        *result;     /* a JSON object when done; when failed: the code's name, a newline, and why; else "" */
    const char *who; /* for the audit */
};

/* Takes tenant, kind, arguments and who. ERR_LIMIT: JOBS_WAITING. */
MUST_CHECK int account_job_add(struct account *a, const struct account_job *job, uint64_t *id,
                               struct err *err);

/* Hands the job to row(); tenant 0: whosever it is. ERR_NOT_FOUND. */
MUST_CHECK int account_job_get(struct account *a, uint32_t tenant, uint64_t id,
                               int (*row)(void *, const struct account_job *), void *arg, struct err *err);
/* Newest first, those with an id below `below` (0: from the newest), at most `limit`. */
MUST_CHECK int account_job_list(struct account *a, uint32_t tenant, uint64_t below, unsigned limit,
                                int (*row)(void *, const struct account_job *), void *arg, struct err *err);

/* Ends a waiting job, asks a running one to end; *state is what it is in then. ERR_NOT_FOUND; ERR_CONFLICT:
 * it has ended already. */
MUST_CHECK int account_job_cancel(struct account *a, uint32_t tenant, uint64_t id, enum job_state *state,
                                  struct err *err);

/* For the runner. */

/* The job to be worked on: the one that was running when the hub ended, or the first that waits.
 * ERR_NOT_FOUND. */
MUST_CHECK int account_job_next(struct account *a, int (*row)(void *, const struct account_job *), void *arg,
                                struct err *err);
MUST_CHECK int account_job_start(struct account *a, uint64_t id, struct err *err);
/* resume NULL: as it is. */
MUST_CHECK int account_job_progress(struct account *a, uint64_t id, uint64_t done, uint64_t all,
                                    const char *resume, struct err *err);
MUST_CHECK int account_job_end(struct account *a, uint64_t id, enum job_state state, const char *result,
                               struct err *err);
/* Is one of that kind waiting or running (tenant 0: whosever)? */
MUST_CHECK int account_job_pending(struct account *a, const char *kind, bool *out, struct err *err);

/* Why it failed: *why, and the code, 0 when a release ended it that noted none. */
int account_job_failure(const struct account_job *job, const char **why);

#endif
