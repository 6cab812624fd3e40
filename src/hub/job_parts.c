/* SPDX-License-Identifier: Apache-2.0
 *
 * job_parts: see job_parts.h; and the kinds that are little more than that: order (closed parts ordered by
 * tenant and time) and reclassify (a tenant's rows by its rules of now). Both may begin anew at any part.
 */
#include "hub/job_parts.h"

#include <stdlib.h>
#include <time.h>

enum { PARTS_AT_ONCE = 1024, BUSY_MS = 200 };
#define PATIENCE_US (30 * 60 * US_PER_SECOND) /* not for ever, as other jobs wait for this one */
/* A store that is broken answers ERR_BUSY as well, so it is opened again meanwhile; seldom, as the loader
 * rests for it. */
#define MEND_US (10 * US_PER_SECOND)

struct choice {
    bool (*wanted)(void *arg, const struct store_part *part);
    void *arg;
    uint64_t behind, ids[PARTS_AT_ONCE];
    size_t count;
};

static int choose(void *arg, const struct store_part *part)
{
    struct choice *choice = arg;
    if (!part->open && part->rows > 0 && part->id > choice->behind && choice->count < PARTS_AT_ONCE &&
        choice->wanted(choice->arg, part))
        choice->ids[choice->count++] = part->id;
    return 0;
}

struct step {
    struct job *job;
    uint64_t done, all; /* parts */
};

/* Thousandths of parts, so that a bar moves while a large one is written. A cancellation shows in the job's
 * flag. */
static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    const struct step *step = arg;
    (void)!job_progress(step->job, step->done * 1000 + (all > 0 ? done * 1000 / all : 0), step->all * 1000,
                        NULL, NULL);
}

static int note_part(struct step *step, uint64_t id, struct err *err)
{
    json_t *resume = json_is_object(step->job->resume) ? json_copy(step->job->resume) : json_object();
    int rc = json_object_set_new(resume, "part", json_integer((json_int_t)id)) != 0
                 ? err_set(err, ERR_NO_MEMORY, "out of memory")
                 : job_progress(step->job, ++step->done * 1000, step->all * 1000, resume, err);
    json_decref(resume);
    return rc;
}

/* On the store's thread: no rows, but what is broken is opened again. */
static int mend(void *arg, struct store *store, struct err *err)
{
    (void)arg;
    return store_append(store, NULL, 0, err);
}

/* With no events coming in nobody else would notice. When it fails, the next one or the next event tries
 * again. While the loader fills a gap it doesn't rest, and notices by itself.
 */
static int64_t mend_now(struct store *store, struct loader *loader)
{
    struct store_cursor until;
    if (!store_gap(store, &until))
        (void)!loader_at_rest(loader, mend, NULL, NULL);
    return clock_monotonic_us();
}

int job_patiently(struct job *job,
                  int (*fn)(void *arg, struct store *store, const atomic_bool *cancelled, struct err *err),
                  void *arg, struct err *err)
{
    struct store *store;
    struct loader *loader;
    int64_t mended_us = clock_monotonic_us(), until_us = mended_us + PATIENCE_US;
    int rc = job_store(job, &store, &loader, err);
    if (rc != 0)
        return rc;
    while ((rc = fn(arg, store, job->cancelled, err)) == ERR_BUSY && job_check(job, NULL) == 0 &&
           clock_monotonic_us() < until_us) {
        if (clock_monotonic_us() - mended_us >= MEND_US)
            mended_us = mend_now(store, loader);
        (void)nanosleep(&(struct timespec){.tv_nsec = BUSY_MS * 1000000}, NULL);
    }
    if (rc != 0) /* a full disk may have cost all that is open */
        (void)mend_now(store, loader);
    return rc == ERR_BUSY && job_check(job, NULL) != 0 ? job_check(job, err) : rc;
}

struct rewriting {
    struct step step;
    uint64_t id;
    const struct store_rewrite *how;
};

static int rewrite_one(void *arg, struct store *store, const atomic_bool *cancelled, struct err *err)
{
    struct rewriting *r = arg;
    return store_rewrite_part(store, r->id, r->how, cancelled, on_progress, &r->step, err);
}

int job_rewrite(struct job *job, bool (*wanted)(void *arg, const struct store_part *part), void *arg,
                const struct store_rewrite *how, uint64_t *count, struct err *err)
{
    struct store *store;
    struct loader *loader;
    struct choice *choice = calloc(1, sizeof *choice);
    if (choice == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    choice->wanted = wanted;
    choice->arg = arg;
    choice->behind = (uint64_t)json_integer_value(json_object_get(job->resume, "part"));
    int rc = job_store(job, &store, &loader, err);
    if (rc == 0)
        rc = store_parts(store, choose, choice, err);
    struct rewriting r = {.step = {job, 0, choice->count}, .how = how};
    for (size_t i = 0; rc == 0 && i < choice->count; i++) {
        r.id = choice->ids[i];
        rc = job_patiently(job, rewrite_one, &r, err);
        *count += rc == 0;
        if (rc == 0 || rc == ERR_NOT_FOUND) /* merged or removed meanwhile: nothing of it is left */
            rc = note_part(&r.step, r.id, err);
    }
    free(choice);
    return rc;
}

static int sweep(void *arg, struct store *store, const atomic_bool *cancelled, struct err *err)
{
    return store_sweep(store, arg, cancelled, err);
}

int job_sweep(struct job *job, const struct store_rewrite *how, struct err *err)
{
    struct store_rewrite copy = *how;
    return job_patiently(job, sweep, &copy, err);
}

/* On the store's thread. */
static int close_part(void *arg, struct store *store, struct err *err)
{
    (void)arg;
    return store_close_part(store, err);
}

int job_close_part(struct job *job, struct err *err)
{
    struct store *store;
    struct loader *loader;
    int rc = job_store(job, &store, &loader, err);
    return rc != 0 ? rc : loader_at_rest(loader, close_part, NULL, err);
}

static void tell(struct job *job, uint64_t parts)
{
    (void)json_object_set_new(job->result, "parts", json_integer((json_int_t)parts));
}

/* --- order --------------------------------------------------------------------------------------------- */

static bool is_unordered(void *arg, const struct store_part *part)
{
    (void)arg;
    return !part->ordered;
}

int job_order(struct job *job, struct err *err)
{
    uint64_t parts = 0;
    int rc = job_rewrite(job, is_unordered, NULL, NULL, &parts, err);
    tell(job, parts);
    return rc;
}

/* --- reclassify ---------------------------------------------------------------------------------------- */

struct range {
    int64_t from, to;
};

static bool overlaps(void *arg, const struct store_part *part)
{
    const struct range *range = arg;
    return part->min_ts < range->to && part->max_ts >= range->from;
}

static int classify(void *arg, struct event *event)
{
    rules_classify(arg, event);
    return 0;
}

/* Arguments: {"from", "to"}: microseconds; parts that lie beside them stay as they are. */
int job_reclassify(struct job *job, struct err *err)
{
    const json_t *to = json_object_get(job->arguments, "to");
    struct range range = {(int64_t)json_integer_value(json_object_get(job->arguments, "from")),
                          to != NULL ? (int64_t)json_integer_value(to) : INT64_MAX};
    struct rules *rules = NULL;
    uint64_t parts = 0;
    int rc = account_rules(job->account, &rules, err);
    if (rc == 0 && job->resume == NULL)
        rc = job_close_part(job, err);
    struct store_rewrite how = {
        .reclassify_tenant = job->tenant, .classify = classify, .classify_arg = rules};
    if (rc == 0)
        rc = job_rewrite(job, overlaps, &range, &how, &parts, err);
    rules_destroy(&rules);
    tell(job, parts);
    return rc;
}
