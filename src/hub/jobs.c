/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs: see jobs.h.
 */
#include "hub/jobs.h"

#include "account/retention.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/nice.h"
#include "hub/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 5 };
static const int64_t look_us = US_PER_SECOND / 2, again_us = 3 * US_PER_SECOND;
static const int64_t schedule_every_us = 60 * US_PER_SECOND, day_us = 86400 * US_PER_SECOND;

static const struct kind {
    const char *name;
    int (*run)(struct job *job, struct err *err);
} kinds[] = {
    {"erase", job_erase},           {"retain", job_retain}, {"order", job_order},
    {"reclassify", job_reclassify}, {"backup", job_backup},
};

struct jobs {
    struct jobs_options options;
    struct account *account;
    int64_t schedule_at_us; /* monotonic; its thread's */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t poked;
    bool poke;
    uint64_t running; /* its id; 0: none */
    struct jobs_stats stats;
    atomic_bool stopping;
    atomic_bool cancelled; /* the running one is to end */
    bool asked;            /* somebody cancelled it, not only the hub's stop */
};

/* --- what kinds call ----------------------------------------------------------------------------------- */

int job_check(const struct job *job, struct err *err)
{
    return atomic_load(job->cancelled) ? err_set(err, ERR_CANCELLED, "the job was cancelled") : 0;
}

int job_progress(struct job *job, uint64_t done, uint64_t all, const json_t *resume, struct err *err)
{
    int64_t now_us = clock_monotonic_us();
    char *text = NULL;
    int rc = 0;
    job->done = done;
    job->all = all;
    if (resume != NULL && (text = json_dumps(resume, JSON_COMPACT)) == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a job's notes");
    if (resume != NULL || now_us - job->stored_us >= look_us) {
        job->stored_us = now_us;
        rc = account_job_progress(job->account, job->id, done, all, text, err);
    }
    free(text);
    if (rc == 0 && resume != NULL) {
        json_t *kept = json_deep_copy(resume);
        json_decref(job->resume);
        job->resume = kept;
    }
    return rc != 0 ? rc : job_check(job, err);
}

int job_store(const struct job *job, struct store **store, struct loader **loader, struct err *err)
{
    *store = job->world->store(job->world->arg);
    *loader = job->world->loader(job->world->arg);
    return *store != NULL && *loader != NULL ? 0 : err_set(err, ERR_UNAVAILABLE, "the store isn't open yet");
}

/* --- one job ------------------------------------------------------------------------------------------- */

static int take_job(void *arg, const struct account_job *from)
{
    struct job *job = arg;
    job->id = from->id;
    job->tenant = from->tenant;
    job->done = from->done;
    job->all = from->all;
    (void)snprintf(job->kind, sizeof job->kind, "%s", from->kind);
    (void)snprintf(job->who, sizeof job->who, "%s", from->who);
    job->arguments = json_loads(from->arguments, 0, NULL);
    job->resume = json_loads(from->resume, 0, NULL); /* none: NULL */
    job->result = json_object();
    return from->cancel ? ERR_CANCELLED : 0;
}

static void drop_job(struct job *job)
{
    json_decref(job->arguments);
    json_decref(job->resume);
    json_decref(job->result);
}

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* Waits, unless it is time to stop or to cancel. */
static void pause_for(struct jobs *jobs, int64_t us, bool any_poke)
{
    int64_t until_us = clock_monotonic_us() + us;
    struct timespec at = {.tv_sec = until_us / US_PER_SECOND, .tv_nsec = until_us % US_PER_SECOND * 1000};
    int rc = 0;
    pthread_mutex_lock(&jobs->lock);
    while (rc == 0 && !jobs->stopping && !(any_poke ? jobs->poke : jobs->cancelled))
        rc = pthread_cond_timedwait(&jobs->poked, &jobs->lock, &at);
    jobs->poke = false;
    pthread_mutex_unlock(&jobs->lock);
}

/* Tries until it works, is cancelled, or has failed too often. */
static int run_kind(struct jobs *jobs, const struct kind *kind, struct job *job, struct err *err)
{
    for (int tries = 1;; tries++) {
        *err = (struct err){0};
        int rc = job_check(job, err);
        if (rc == 0)
            rc = kind->run(job, err);
        if (rc == 0 || rc == ERR_CANCELLED || !err_retryable(rc) || tries == TRIES)
            return rc;
        if (rc == ERR_UNAVAILABLE)
            tries--; /* as long as it takes */
        else
            log_warning("job %llu (%s): %s; it is tried again", (unsigned long long)job->id, job->kind,
                        err_detail(err));
        pause_for(jobs, again_us, false);
    }
}

static void set_running(struct jobs *jobs, uint64_t id)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->running = id;
    jobs->asked = false;
    atomic_store(&jobs->cancelled, jobs->stopping);
    pthread_mutex_unlock(&jobs->lock);
}

/* How it ended, into the list; false: it is to go on at the next start. */
static bool note_end(struct jobs *jobs, struct job *job, int rc, const struct err *why)
{
    struct err err = {0};
    pthread_mutex_lock(&jobs->lock);
    bool asked = jobs->asked;
    enum job_state state = rc == 0 ? JOB_DONE : rc == ERR_CANCELLED ? JOB_CANCELLED : JOB_FAILED;
    if (state != JOB_CANCELLED || asked) {
        jobs->stats.done += state == JOB_DONE;
        jobs->stats.failed += state == JOB_FAILED;
        jobs->stats.cancelled += state == JOB_CANCELLED;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (state == JOB_CANCELLED && !asked)
        return false;
    char failure[ERR_DETAIL_BYTES + 64] = "";
    char *text = rc == 0 ? json_dumps(job->result, JSON_COMPACT) : NULL;
    if (state == JOB_FAILED)
        (void)snprintf(failure, sizeof failure, "%s\n%s", err_name(rc), err_detail(why));
    const char *result = text != NULL ? text : failure;
    (void)!account_job_progress(job->account, job->id, job->done, job->all, NULL, NULL);
    if (account_job_end(job->account, job->id, state, result, &err) != 0)
        log_error("job %llu: its end can't be noted, it runs again [%s]", (unsigned long long)job->id,
                  err_detail(&err));
    free(text);
    if (state == JOB_FAILED)
        log_warning("job %llu (%s) failed [%s]", (unsigned long long)job->id, job->kind, err_detail(why));
    else
        log_info("job %llu (%s): %s", (unsigned long long)job->id, job->kind, account_job_state(state));
    return true;
}

/* True: there was one, and it ended. */
static bool work(struct jobs *jobs)
{
    struct err err = {0};
    struct job job = {.world = &jobs->options, .account = jobs->account, .cancelled = &jobs->cancelled};
    int rc = account_job_next(jobs->account, take_job, &job, &err);
    if (job.id == 0) {
        if (rc != ERR_NOT_FOUND)
            log_warning("jobs: the list can't be read, trying again [%s]", err_detail(&err));
        return false;
    }
    set_running(jobs, job.id);
    if (rc == ERR_CANCELLED) {
        pthread_mutex_lock(&jobs->lock);
        jobs->asked = true;
        pthread_mutex_unlock(&jobs->lock);
    }
    const struct kind *kind = find_kind(job.kind);
    if (rc == 0)
        rc = account_job_start(jobs->account, job.id, &err);
    if (rc == 0 && (kind == NULL || !json_is_object(job.arguments)))
        rc = err_set(&err, ERR_UNSUPPORTED, "this release doesn't know such a job");
    if (rc == 0)
        rc = run_kind(jobs, kind, &job, &err);
    bool ended = note_end(jobs, &job, rc, &err);
    pthread_mutex_lock(&jobs->lock);
    jobs->running = 0;
    pthread_mutex_unlock(&jobs->lock);
    drop_job(&job);
    return ended;
}

/* --- what nobody has to ask for ------------------------------------------------------------------------ */

static int find_unordered(void *arg, const struct store_part *part)
{
    bool *found = arg;
    *found |= !part->open && !part->ordered && part->rows > 0;
    return 0;
}

static int note_latest(void *arg, const struct account_job *job)
{
    int64_t *latest_us = arg;
    if (strcmp(job->kind, "retain") == 0 && job->created_us > *latest_us)
        *latest_us = job->created_us;
    return 0;
}

static int note_any(void *arg, const struct account_retention *retention)
{
    (void)retention;
    *(bool *)arg = true;
    return 0;
}

/* Is there anything that a retention could let go of? */
static bool has_retention(struct jobs *jobs)
{
    const struct hub_config *settings = jobs->options.settings;
    bool any = settings->keep_events > 0 || settings->keep_hourly > 0 || settings->keep_daily > 0 ||
               settings->keep_audit > 0;
    return any || (account_retention_list(jobs->account, 0, note_any, &any, NULL) == 0 && any);
}

static void add_own(struct jobs *jobs, const char *kind)
{
    struct err err = {0};
    struct account_job job = {.kind = kind, .arguments = "{}", .who = "hub"};
    bool pending = true;
    int rc = account_job_pending(jobs->account, kind, &pending, &err);
    if (rc == 0 && !pending)
        rc = account_job_add(jobs->account, &job, NULL, &err);
    if (rc != 0)
        log_warning("jobs: a job of kind %s can't be added [%s]", kind, err_detail(&err));
}

/* Now and then: closed parts are put in order, and once a day what is too old goes. */
static void schedule(struct jobs *jobs)
{
    int64_t now_us = clock_monotonic_us(), latest_us = 0;
    struct store *store = jobs->options.store(jobs->options.arg);
    bool unordered = false;
    if (store == NULL || now_us < jobs->schedule_at_us)
        return;
    jobs->schedule_at_us = now_us + schedule_every_us;
    if (store_parts(store, find_unordered, &unordered, NULL) == 0 && unordered)
        add_own(jobs, "order");
    if (has_retention(jobs) &&
        account_job_list(jobs->account, 0, 0, JOBS_KEPT, note_latest, &latest_us, NULL) == 0 &&
        clock_real_us() - latest_us >= day_us)
        add_own(jobs, "retain");
}

static void *run(void *arg)
{
    struct jobs *jobs = arg;
    nice_lower(NICE_BACKGROUND);
    while (!atomic_load(&jobs->stopping)) {
        schedule(jobs);
        if (!work(jobs))
            pause_for(jobs, look_us, true);
    }
    return NULL;
}

/* --- lifetime ------------------------------------------------------------------------------------------ */

int jobs_start(struct jobs **out, const struct jobs_options *options, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    pthread_condattr_t attr;
    *out = NULL;
    if (jobs == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for jobs");
    jobs->options = *options;
    (void)pthread_mutex_init(&jobs->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&jobs->poked, &attr);
    (void)pthread_condattr_destroy(&attr);
    int rc = account_open(&jobs->account, options->paths->account, err);
    if (rc == 0) {
        int failed = pthread_create(&jobs->thread, NULL, run, jobs);
        rc = failed != 0 ? err_errno(err, failed, "the jobs' thread can't be started") : 0;
    }
    if (rc == 0) {
        *out = jobs;
        return 0;
    }
    account_close(&jobs->account);
    (void)pthread_cond_destroy(&jobs->poked);
    (void)pthread_mutex_destroy(&jobs->lock);
    free(jobs);
    return rc;
}

void jobs_stop(struct jobs **jobs)
{
    struct jobs *self = *jobs;
    *jobs = NULL;
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    atomic_store(&self->stopping, true);
    atomic_store(&self->cancelled, true);
    (void)pthread_cond_broadcast(&self->poked);
    pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
    account_close(&self->account);
    (void)pthread_cond_destroy(&self->poked);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

void jobs_poke(struct jobs *jobs, uint64_t cancelled)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->poke = true;
    if (cancelled != 0 && jobs->running == cancelled) {
        jobs->asked = true;
        atomic_store(&jobs->cancelled, true);
    }
    (void)pthread_cond_broadcast(&jobs->poked);
    pthread_mutex_unlock(&jobs->lock);
}

void jobs_get_stats(const struct jobs *jobs, struct jobs_stats *out)
{
    struct jobs *self = (struct jobs *)(uintptr_t)jobs; /* the lock is no part of what is const */
    pthread_mutex_lock(&self->lock);
    *out = self->stats;
    out->running = self->running != 0;
    pthread_mutex_unlock(&self->lock);
}
