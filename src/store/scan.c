/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: see scan.h. The stretches of a page, and what a list of messages asks of its filters.
 */
#include "store/scan.h"

#include "store/store.h"

#define STRETCH_MIN_US (60 * US_PER_SECOND)
enum { STRETCH_SHARE = 1024, GROWTH = 4, GROWTH_IF_EMPTY = 16 };

struct paging {
    struct store_scan *scan;
    int (*row)(void *arg, const struct event *event);
    void *arg;
    uint32_t rows;
    int64_t last_at; /* of the last row */
};

struct store_key scan_key(const struct event *event, enum store_order order)
{
    return (struct store_key){.at = order == STORE_BY_TIME ? event->ts : event->hub_ts,
                              .tenant = event->tenant,
                              .edge = event->edge,
                              .epoch = event->epoch,
                              .seq = event->seq};
}

int scan_check(const struct store_scan *scan, struct err *err)
{
    int rc = query_check(scan->query, err);
    if (rc != 0)
        return rc;
    if (scan->limit == 0 || scan->limit > STORE_SCAN_ROWS)
        return err_set(err, ERR_LIMIT, "limit: 1 to %d", STORE_SCAN_ROWS);
    if (scan->messages && scan->order != STORE_BY_TIME)
        return err_set(err, ERR_INVALID, "messages come in the order of time");
    return 0;
}

/* All that the order could find: by time the question's range, by loading ever. */
static void bounds(const struct store_scan *scan, int64_t *begin, int64_t *end)
{
    bool by_time = scan->order == STORE_BY_TIME;
    *begin = by_time ? scan->query->from : 0;
    *end = by_time ? scan->query->to : QUERY_LATEST_US;
    if (!scan->resumes)
        return;
    if (!scan->descending && scan->after.at > *begin)
        *begin = scan->after.at;
    if (scan->descending && scan->after.at < *end)
        *end = scan->after.at + 1;
}

static int64_t least_stretch(const struct store_scan *scan)
{
    return scan->messages ? QUERY_MESSAGE_US : STRETCH_MIN_US;
}

static int64_t first_stretch(const struct store_scan *scan, int64_t begin, int64_t end)
{
    int64_t least = least_stretch(scan), us = scan->stretch_us;
    if (us == 0 && scan->order == STORE_BY_TIME)
        us = (end - begin) / STRETCH_SHARE;
    return us > least ? us : least;
}

static int take(void *arg, const struct event *event)
{
    struct paging *paging = arg;
    paging->rows++;
    paging->last_at = scan_key(event, paging->scan->order).at;
    return paging->row(paging->arg, event);
}

/* How long the stretch behind this one is. A full page tells how many rows there are; before the first row
 * there may be years of nothing. */
static int64_t next_stretch(const struct paging *paging, const struct store_scan *part, uint32_t found)
{
    const struct store_scan *scan = paging->scan;
    int64_t us = scan->stretch_us, least = least_stretch(scan);
    if (paging->rows == scan->limit) {
        us = 2 * (scan->descending ? part->end - paging->last_at : paging->last_at - part->begin);
        return us > least ? us : least;
    }
    if (found > scan->limit / GROWTH)
        return us;
    int64_t growth = found == 0 ? GROWTH_IF_EMPTY : GROWTH;
    return us > QUERY_LATEST_US / growth ? QUERY_LATEST_US : us * growth;
}

int scan_run(struct store *store, const struct store_engine *engine, struct store_scan *scan,
             int (*row)(void *arg, const struct event *event), void *arg, struct err *err)
{
    struct paging paging = {.scan = scan, .row = row, .arg = arg};
    struct store_scan part = *scan;
    struct query question = *scan->query; /* its time limit is for all stretches together */
    int64_t begin, end, deadline_us = clock_monotonic_us() + scan->query->timeout_us;
    int rc = 0;
    bounds(scan, &begin, &end);
    scan->stretch_us = first_stretch(scan, begin, end);
    part.query = &question;
    while (rc == 0 && begin < end && paging.rows < scan->limit) {
        uint32_t before = paging.rows;
        int64_t us = scan->stretch_us < end - begin ? scan->stretch_us : end - begin;
        part.begin = scan->descending ? end - us : begin;
        part.end = part.begin + us;
        part.limit = scan->limit - paging.rows;
        question.timeout_us = deadline_us - clock_monotonic_us();
        if (question.timeout_us <= 0)
            return err_set(err, ERR_TIMEOUT, "the list took too long; narrow its range or filters");
        rc = engine->scan(store, &part, take, &paging, err);
        begin = scan->descending ? begin : part.end;
        end = scan->descending ? part.begin : end;
        scan->stretch_us = next_stretch(&paging, &part, paging.rows - before);
    }
    return rc;
}

bool scan_is_of_message(const struct query *query, size_t at)
{
    const struct query_filter *filter = &query->filters[at];
    return query_filter_is_of_message(query, at, at + 1 + (filter->kind == FILTER_TEST ? 0 : filter->span));
}

void scan_part(const struct store_scan *scan, size_t at, struct query *part, bool *inside)
{
    const struct query_filter *filter = &scan->query->filters[at];
    size_t count = 1 + (filter->kind == FILTER_TEST ? 0 : filter->span);
    *inside = !(filter->kind == FILTER_NOT || (filter->kind == FILTER_TEST && filter->op == OP_NE));
    *part = *scan->query;
    part->from = scan->begin - QUERY_MESSAGE_US;
    part->to = scan->end + QUERY_MESSAGE_US;
    if (filter->kind == FILTER_NOT) { /* its own filter instead */
        at++;
        count--;
    }
    memcpy(part->filters, scan->query->filters + at, count * sizeof *part->filters);
    part->filter_count = count;
    if (!*inside && filter->kind == FILTER_TEST)
        part->filters[0].op = OP_IN;
}
