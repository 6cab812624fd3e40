/* SPDX-License-Identifier: Apache-2.0
 *
 * job_erase: takes what a tombstone covers out of everything that the hub keeps. The tombstone was there
 * first, so whatever the loader makes from now on is without it; what follows may be done again at any point:
 *
 *   1. the loader comes to rest with the tombstones of now; the open part of the store is closed
 *   2. the receiver seals the journal's segment
 *   3. the spools of the hub's own policy port forget what was acknowledged (spools.h)
 *   4. each sealed segment is scrubbed, then the quarantines
 *   5. parts of the store that hold rows from before the moment are written anew
 *   6. the roll-ups are written anew, without what was rolled of them
 *
 * Arguments: {"tombstone": id}; resume: {"segment": last one scrubbed, "part": last one written anew}.
 */
#include "account/tombstone.h"
#include "base/log.h"
#include "hub/job_parts.h"
#include "hub/scrubber.h"
#include "hub/spools.h"

#include <stdlib.h>

struct erasing {
    struct job *job;
    struct erasures *erasures;
    struct scrubber *scrubber;
    uint64_t segments, parts; /* written anew */
    uint64_t spools_waiting;
    struct err *err;
};

static int settle(struct erasing *e)
{
    int rc = job_close_part(e->job, e->err);
    return rc != 0 ? rc : receive_rotate(e->job->world->receive, e->err);
}

static int forget_spools(struct erasing *e)
{
    const struct jobs_options *world = e->job->world;
    int rc = spools_forget(world->paths->direct, world->direct, e->job->account, e->job->cancelled,
                           &e->spools_waiting, e->err);
    if (rc == 0 && e->spools_waiting > 0)
        log_warning(
            "job %llu: %llu spools of policy_listen hold requests that the hub has yet to take: erase "
            "again when it has",
            (unsigned long long)e->job->id, (unsigned long long)e->spools_waiting);
    return rc;
}

static uint64_t sealed_after(const struct journal *journal, uint64_t number)
{
    uint64_t count = 0, records;
    while (journal_next_sealed(journal, number, &number, &records) == 0)
        count++;
    return count;
}

static int note(struct erasing *e, uint64_t number, uint64_t done, uint64_t all)
{
    json_t *resume = json_pack("{s:I}", "segment", (json_int_t)number);
    int rc = resume == NULL ? err_set(e->err, ERR_NO_MEMORY, "out of memory")
                            : job_progress(e->job, done, all, resume, e->err);
    json_decref(resume);
    return rc;
}

static int scrub_journal(struct erasing *e)
{
    struct journal *journal = e->job->world->journal;
    uint64_t number = (uint64_t)json_integer_value(json_object_get(e->job->resume, "segment")), records;
    uint64_t done = e->job->done, all = done + sealed_after(journal, number);
    int rc = 0;
    while (rc == 0 && journal_next_sealed(journal, number, &number, &records) == 0) {
        bool changed = false;
        rc = journal_scrub(journal, number, scrubber_look, e->scrubber, &changed, e->err);
        if (rc == ERR_NOT_FOUND)
            rc = 0;
        e->segments += changed;
        if (rc == 0)
            rc = note(e, number, ++done, all);
    }
    if (rc == 0)
        rc = journal_scrub_quarantine(journal, e->err);
    return rc != 0 ? rc : scrubber_quarantine(e->scrubber, e->job->world->paths->quarantine, e->err);
}

static bool may_hold(void *arg, const struct store_part *part)
{
    return part->min_hub_ts < *(const int64_t *)arg;
}

/* All tombstones at once: what an earlier job has done costs nothing more, and a restored backup has all to
 * do. */
static int erase_rows(struct erasing *e)
{
    size_t count;
    int64_t latest_us = INT64_MIN;
    const struct erasure *items = erasures_list(e->erasures, &count);
    struct store_erasure *erasures = calloc(count > 0 ? count : 1, sizeof *erasures);
    if (erasures == NULL)
        return err_set(e->err, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        erasures[i] = (struct store_erasure){items[i].tenant, items[i].address, items[i].before_us};
        if (items[i].before_us > latest_us)
            latest_us = items[i].before_us;
    }
    const struct store_rewrite how = {.erasures = erasures, .erasure_count = count};
    int rc = job_rewrite(e->job, may_hold, &latest_us, &how, &e->parts, e->err);
    if (rc == 0)
        rc = job_sweep(e->job, &how, e->err);
    free(erasures);
    return rc;
}

static void tell(struct erasing *e)
{
    struct scrubber_count count = scrubber_counted(e->scrubber);
    json_t *result = e->job->result;
    (void)json_object_set_new(result, "store_parts", json_integer((json_int_t)e->parts));
    (void)json_object_set_new(result, "journal_segments", json_integer((json_int_t)e->segments));
    (void)json_object_set_new(result, "journal_events", json_integer((json_int_t)count.events));
    (void)json_object_set_new(result, "quarantine_files", json_integer((json_int_t)count.files));
    (void)json_object_set_new(result, "spools_waiting", json_integer((json_int_t)e->spools_waiting));
    if (count.lost > 0)
        log_warning(
            "job %llu: %llu events besides had to leave the journal; they are in the store, but a rebuild "
            "would miss them",
            (unsigned long long)e->job->id, (unsigned long long)count.lost);
    (void)json_object_set_new(result, "journal_lost", json_integer((json_int_t)count.lost));
}

int job_erase(struct job *job, struct err *err)
{
    struct erasing e = {.job = job, .err = err};
    int rc = erasures_load(&e.erasures, job->account, 0, err);
    if (rc == 0)
        rc = scrubber_create(&e.scrubber, e.erasures, err);
    if (rc == 0)
        rc = settle(&e);
    if (rc == 0)
        rc = forget_spools(&e);
    if (rc == 0)
        rc = scrub_journal(&e);
    if (rc == 0)
        rc = erase_rows(&e);
    if (rc == 0)
        tell(&e);
    scrubber_destroy(&e.scrubber);
    erasures_destroy(&e.erasures);
    return rc;
}
