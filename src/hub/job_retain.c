/* SPDX-License-Identifier: Apache-2.0
 *
 * job_retain: lets go of what is older than its tenant keeps it (keep_events, keep_audit,
 * account/retention.h). Events go by rewriting parts, which costs as much as loading them, so it waits until
 * there is something that is a week beyond its time; then everything goes that is beyond it. A part is so
 * written anew once a week at most.
 */
#include "account/retention.h"
#include "base/clock.h"
#include "hub/job_parts.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t week_us = 7 * 86400 * US_PER_SECOND;

struct retaining {
    struct job *job;
    int64_t now_us;
    struct store_keep *keeps;
    size_t count, capacity;
    int64_t latest_us; /* of all moments */
    bool due;
    struct err *err;
};

static int add_keep(struct retaining *r, uint32_t tenant, int64_t keep_us)
{
    if (r->count == r->capacity) {
        size_t more = r->capacity != 0 ? r->capacity * 2 : 16;
        struct store_keep *keeps = realloc(r->keeps, more * sizeof *keeps);
        if (keeps == NULL)
            return err_set(r->err, ERR_NO_MEMORY, "out of memory");
        r->keeps = keeps;
        r->capacity = more;
    }
    int64_t before_us = keep_us > 0 ? r->now_us - keep_us : INT64_MIN;
    r->keeps[r->count++] = (struct store_keep){tenant, STORE_KIND_EVENTS, before_us};
    if (before_us > r->latest_us)
        r->latest_us = before_us;
    return 0;
}

static int add_tenant(void *arg, const struct account_retention *retention)
{
    struct retaining *r = arg;
    return retention->kind == RETENTION_EVENTS ? add_keep(r, retention->tenant, retention->keep_us) : 0;
}

/* --- is it due? ---------------------------------------------------------------------------------------- */

static int take_count(void *arg, const struct cell *cells, size_t count)
{
    *(uint64_t *)arg = count > 0 ? cells[count - 1].u64 : 0;
    return 0;
}

/* How many rows of the tenant (0: of all) are older than that. */
static int count_before(struct retaining *r, struct store *store, uint32_t tenant, int64_t before_us,
                        uint64_t *count)
{
    char text[128], to[CLOCK_TEXT_BYTES];
    struct query *query = NULL;
    struct query_sink sink = {.row = take_count, .arg = count};
    *count = 0;
    if (before_us <= 0)
        return 0;
    clock_format(before_us, to);
    (void)snprintf(text, sizeof text, "{\"measures\":[\"requests\"],\"from\":\"1970-01-02\",\"to\":\"%s\"}",
                   to);
    int rc = query_parse(slice_of(text), r->now_us, &query, r->err);
    if (rc != 0)
        return rc;
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    query->tenant = tenant;
    query->timeout_us = r->job->world->settings->query_timeout;
    query->cancelled = r->job->cancelled;
    rc = store_query(store, query, &sink, r->err);
    query_destroy(&query);
    return rc;
}

/* Of all but those that have a time of their own. */
static int count_others(struct retaining *r, struct store *store, int64_t before_us, uint64_t *count)
{
    uint64_t own;
    int rc = count_before(r, store, 0, before_us, count);
    for (size_t i = 0; rc == 0 && *count > 0 && i < r->count; i++)
        if (r->keeps[i].tenant != 0 &&
            (rc = count_before(r, store, r->keeps[i].tenant, before_us, &own)) == 0)
            *count -= own < *count ? own : *count;
    return rc;
}

static int look(struct retaining *r)
{
    struct store *store;
    struct loader *loader;
    int rc = job_store(r->job, &store, &loader, r->err);
    for (size_t i = 0; rc == 0 && !r->due && i < r->count; i++) {
        const struct store_keep *keep = &r->keeps[i];
        uint64_t count = 0;
        if (keep->before_us == INT64_MIN)
            continue;
        rc = keep->tenant != 0 ? count_before(r, store, keep->tenant, keep->before_us - week_us, &count)
                               : count_others(r, store, keep->before_us - week_us, &count);
        r->due = count > 0;
    }
    return rc;
}

/* --- and then ------------------------------------------------------------------------------------------ */

static bool has_older(void *arg, const struct store_part *part)
{
    const struct retaining *r = arg;
    return part->min_ts < r->latest_us;
}

static int retain_events(struct retaining *r, uint64_t *parts)
{
    int rc = add_keep(r, 0, r->job->world->settings->keep_events);
    if (rc == 0)
        rc = account_retention_list(r->job->account, 0, add_tenant, r, r->err);
    r->due = r->job->resume != NULL; /* it was, before the hub ended */
    if (rc == 0 && r->latest_us != INT64_MIN && !r->due)
        rc = look(r);
    if (rc != 0 || !r->due)
        return rc;
    if (r->job->resume == NULL)
        rc = job_close_part(r->job, r->err);
    const struct store_rewrite how = {.keeps = r->keeps, .keep_count = r->count};
    return rc != 0 ? rc : job_rewrite(r->job, has_older, r, &how, parts, r->err);
}

struct audits {
    struct retaining *r;
    uint64_t removed;
};

static int expire_audit(void *arg, const struct account_retention *retention)
{
    struct audits *audits = arg;
    const struct retaining *r = audits->r;
    return retention->kind != RETENTION_AUDIT || retention->keep_us == 0
               ? 0
               : account_audit_expire(r->job->account, retention->tenant, r->now_us - retention->keep_us,
                                      &audits->removed, r->err);
}

static int retain_audit(struct retaining *r, uint64_t *removed)
{
    struct audits audits = {r, 0};
    int64_t keep_us = r->job->world->settings->keep_audit;
    int rc = account_retention_list(r->job->account, 0, expire_audit, &audits, r->err);
    if (rc == 0 && keep_us > 0)
        rc = account_audit_expire(r->job->account, 0, r->now_us - keep_us, &audits.removed, r->err);
    *removed = audits.removed;
    return rc;
}

int job_retain(struct job *job, struct err *err)
{
    struct retaining r = {.job = job, .now_us = clock_real_us(), .latest_us = INT64_MIN, .err = err};
    uint64_t parts = 0, lines = 0;
    int rc = retain_audit(&r, &lines);
    if (rc == 0)
        rc = retain_events(&r, &parts);
    (void)json_object_set_new(job->result, "parts", json_integer((json_int_t)parts));
    (void)json_object_set_new(job->result, "audit_lines", json_integer((json_int_t)lines));
    free(r.keeps);
    return rc;
}
