/* SPDX-License-Identifier: Apache-2.0
 *
 * job_retain: lets go of what is older than its tenant keeps it (keep_events and the other
 * settings, account/retention.h). Events go by rewriting parts, which costs as much as loading them, so it
 * waits until there is something that is a week beyond its time; then everything goes that is beyond it. A
 * part is so written anew once a week at most.
 */
#include "account/retention.h"
#include "base/clock.h"
#include "hub/job_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t day_us = 86400 * US_PER_SECOND, week_us = 7 * 86400 * US_PER_SECOND;

/* How long each kind is kept, of one tenant or (0) of all others; 0: for ever. */
struct times {
    uint32_t tenant;
    int64_t keep_us[RETENTION_KIND_COUNT];
    bool own[RETENTION_KIND_COUNT];
};

struct retaining {
    struct job *job;
    int64_t now_us;
    struct times *times; /* [0]: the settings */
    size_t time_count, time_capacity;
    struct store_keep *keeps;
    size_t count;
    int64_t latest_us; /* of all moments of events */
    bool due;
    struct err *err;
};

static int add_times(struct retaining *r, struct times times)
{
    if (r->time_count == r->time_capacity) {
        size_t more = r->time_capacity != 0 ? r->time_capacity * 2 : 16;
        struct times *grown = realloc(r->times, more * sizeof *grown);
        if (grown == NULL)
            return err_set(r->err, ERR_NO_MEMORY, "out of memory");
        r->times = grown;
        r->time_capacity = more;
    }
    r->times[r->time_count++] = times;
    return 0;
}

static int add_tenant(void *arg, const struct account_retention *retention)
{
    struct retaining *r = arg;
    if (r->times[r->time_count - 1].tenant != retention->tenant) {
        struct times times = {.tenant = retention->tenant};
        memcpy(times.keep_us, r->times[0].keep_us, sizeof times.keep_us);
        int rc = add_times(r, times);
        if (rc != 0)
            return rc;
    }
    struct times *last = &r->times[r->time_count - 1];
    last->keep_us[retention->kind] = retention->keep_us;
    last->own[retention->kind] = true;
    return 0;
}

/* Whole days go, for a day's roll-up is of all its events or isn't true. */
static int64_t moment(const struct retaining *r, int64_t keep_us)
{
    int64_t before_us = r->now_us - keep_us;
    return keep_us == 0 || before_us < day_us ? INT64_MIN : before_us - before_us % day_us;
}

static int64_t longer(int64_t a_us, int64_t b_us)
{
    return a_us == 0 || b_us == 0 ? 0 : a_us > b_us ? a_us : b_us;
}

/* Roll-ups stay as long as what they are made of, which is up to a week longer than it has to: a period that
 * has none has no events, as questions see it. */
static int64_t rolled_moment(const struct retaining *r, int64_t events_us, int64_t rolled_us)
{
    int64_t events = moment(r, events_us), rolled = moment(r, longer(events_us, rolled_us));
    if (events == INT64_MIN || rolled == INT64_MIN)
        return INT64_MIN;
    return rolled < events - week_us ? rolled : events - week_us;
}

static int make_keeps(struct retaining *r)
{
    r->keeps = calloc(3 * r->time_count, sizeof *r->keeps);
    if (r->keeps == NULL)
        return err_set(r->err, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < r->time_count; i++) {
        const struct times *times = &r->times[i];
        int64_t events_us = times->keep_us[RETENTION_EVENTS];
        int64_t hourly_us = times->keep_us[RETENTION_HOURLY];
        int64_t daily_us = longer(hourly_us, times->keep_us[RETENTION_DAILY]);
        if (i == 0 || times->own[RETENTION_EVENTS]) {
            r->keeps[r->count++] =
                (struct store_keep){times->tenant, STORE_KIND_EVENTS, moment(r, events_us)};
            if (moment(r, events_us) > r->latest_us)
                r->latest_us = moment(r, events_us);
        }
        r->keeps[r->count++] =
            (struct store_keep){times->tenant, STORE_KIND_HOURLY, rolled_moment(r, events_us, hourly_us)};
        r->keeps[r->count++] =
            (struct store_keep){times->tenant, STORE_KIND_DAILY, rolled_moment(r, events_us, daily_us)};
    }
    return 0;
}

static int read_times(struct retaining *r)
{
    const struct hub_config *settings = r->job->world->settings;
    struct times times = {.keep_us = {[RETENTION_EVENTS] = settings->keep_events,
                                      [RETENTION_HOURLY] = settings->keep_hourly,
                                      [RETENTION_DAILY] = settings->keep_daily}};
    int rc = add_times(r, times);
    if (rc == 0)
        rc = account_retention_list(r->job->account, 0, add_tenant, r, r->err);
    return rc != 0 ? rc : make_keeps(r);
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
        if (r->keeps[i].tenant != 0 && r->keeps[i].kind == STORE_KIND_EVENTS &&
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
        if (keep->before_us == INT64_MIN || keep->kind != STORE_KIND_EVENTS)
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

/* What goes must stand in the roll-ups: for the days after, they are all that is left. */
static int roll_first(struct retaining *r)
{
    struct store *store;
    struct loader *loader;
    int64_t until_us = clock_monotonic_us() + 3600 * US_PER_SECOND;
    int rc = job_store(r->job, &store, &loader, r->err);
    if (rc != 0)
        return rc;
    while ((rc = store_roll(store, r->now_us, r->job->cancelled, r->err)) != 0) {
        bool passes = rc == ERR_BUSY || rc == ERR_LIMIT || rc == ERR_CANCELLED;
        if (!passes || job_check(r->job, NULL) != 0 || clock_monotonic_us() > until_us)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 200 * 1000000}, NULL);
    }
    return rc;
}

static int retain_events(struct retaining *r, uint64_t *parts)
{
    int rc = read_times(r);
    r->due = r->job->resume != NULL; /* it was, before the hub ended */
    if (rc == 0 && r->latest_us != INT64_MIN && !r->due)
        rc = look(r);
    if (rc != 0 || !r->due)
        return rc;
    rc = roll_first(r);
    if (rc == 0 && r->job->resume == NULL)
        rc = job_close_part(r->job, r->err);
    const struct store_rewrite how = {.keeps = r->keeps, .keep_count = r->count};
    return rc != 0 ? rc : job_rewrite(r->job, has_older, r, &how, parts, r->err);
}

/* Roll-ups are small: they go day by day. */
static int retain_rollups(struct retaining *r)
{
    bool any = false;
    for (size_t i = 0; i < r->count; i++)
        any = any || (r->keeps[i].kind != STORE_KIND_EVENTS && r->keeps[i].before_us != INT64_MIN);
    const struct store_rewrite how = {.keeps = r->keeps, .keep_count = r->count, .only_old = true};
    return any ? job_sweep(r->job, &how, r->err) : 0;
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
    if (rc == 0)
        rc = retain_rollups(&r);
    (void)json_object_set_new(job->result, "parts", json_integer((json_int_t)parts));
    (void)json_object_set_new(job->result, "audit_lines", json_integer((json_int_t)lines));
    free(r.times);
    free(r.keeps);
    return rc;
}
