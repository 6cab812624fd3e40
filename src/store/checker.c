/* SPDX-License-Identifier: Apache-2.0
 *
 * checker: see checker.h.
 */
#include "store/checker.h"

#include "store/recount.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is wrong is told after the answer: to jump out of the sink would leave the engine waiting for it. */
struct check {
    char wrong[512];
    char doubted[QUERY_MEASURES][256]; /* the first figure of a measure that is not as it was recounted */
    double off[QUERY_MEASURES];        /* how far the worst one of a measure is off, as a part of it */
    const struct query *query;
    const struct recount *recount;
    const struct recount *before; /* of the period that is compared with, or NULL */
    size_t rows, keys;
    uint64_t last, requests; /* of all rows, the rest's too */
    bool totals;
};

#define WRONG(check, ...) ((void)snprintf((check)->wrong, sizeof(check)->wrong, __VA_ARGS__), -7)

/* A figure from the measures as they were recounted, slowly and plainly. */
static double figure_of(const struct recount *recount, const struct query_figure *figure,
                        const struct recount_row *row, int64_t from, int64_t to)
{
    enum measure measure = recount->query->measures[figure->measure];
    double value = row != NULL ? (double)row->measures[measure] : 0, seconds = (double)(to - from) / 1e6;
    uint64_t total = recount->total.measures[measure];
    switch (figure->kind) {
    case FIGURE_SHARE:
        return total > 0 ? value / (double)total : 0;
    case FIGURE_PER_SECOND:
        return value / seconds;
    case FIGURE_PER_MINUTE:
        return value / (seconds / 60);
    case FIGURE_PER_HOUR:
        return value / (seconds / 3600);
    default:
        return value;
    }
}

/* Whether that is wrong depends on what the answer calls approximate, which is known when it is complete. */
static void doubt(struct check *check, struct query_figure figure, const char *key, double got,
                  double expected)
{
    double off = fabs(got - expected) / fmax(fabs(expected), 1);
    char *text = check->doubted[figure.measure];
    check->off[figure.measure] = fmax(off, check->off[figure.measure]);
    if (text[0] == '\0')
        (void)snprintf(text, sizeof check->doubted[0], "%s%s of %.100s: %.12g, recounted %.12g",
                       query_measure_name(check->query->measures[figure.measure]),
                       query_figure_suffix(figure.kind), key, got, expected);
}

static int check_figures(struct check *check, const struct cell *cells, const struct recount_row *row,
                         int64_t from, int64_t to, const char *key)
{
    const struct query *query = check->query;
    size_t count = query->figure_count > 0 ? query->figure_count : query->measure_count;
    size_t each = query->compares ? 3 : 1;
    for (size_t i = 0; i < count; i++, cells += each) {
        struct query_figure figure = {.measure = i};
        if (query->figure_count > 0)
            figure = query->figures[i];
        double expected = figure_of(check->recount, &figure, row, from, to);
        double got = cells[0].type == CELL_F64 ? cells[0].f64 : (double)cells[0].u64;
        if (cells[0].type != (figure.kind == FIGURE_PLAIN ? CELL_U64 : CELL_F64))
            return WRONG(check, "figure %zu of %s has another type", i, key);
        if (fabs(got - expected) > 1e-9 * fabs(expected))
            doubt(check, figure, key, got, expected);
    }
    return 0;
}

/* What stands beside the figures: those of the period before, and the change. from < to: there was one. */
static int check_beside(struct check *check, const struct cell *cells, const struct recount_row *row,
                        int64_t from, int64_t to, const char *key)
{
    const struct query *query = check->query;
    for (size_t i = 0; i < query->figure_count; i++, cells += 3) {
        double now = cells[0].type == CELL_F64 ? cells[0].f64 : (double)cells[0].u64;
        double got = cells[1].type == CELL_F64 ? cells[1].f64 : (double)cells[1].u64;
        double before = figure_of(check->before, &query->figures[i], row, from, to);
        if (from >= to && (cells[1].type != CELL_NULL || cells[2].type != CELL_NULL))
            return WRONG(check, "%s: there was no such bucket before", key);
        if (from >= to)
            continue;
        if (cells[1].type != cells[0].type || fabs(got - before) > 1e-9 * fabs(before))
            return WRONG(check, "before %s of %s: %.12g, recounted %.12g",
                         query_measure_name(query->measures[query->figures[i].measure]), key, got, before);
        if (before == 0 ? cells[2].type != CELL_NULL
                        : cells[2].type != CELL_F64 ||
                              fabs(cells[2].f64 - (now - before) / before) > 1e-9 * (1 + fabs(now / before)))
            return WRONG(check, "change of %s: %.12g from %.12g to %.12g", key, cells[2].f64, before, now);
    }
    return 0;
}

static int check_totals(void *arg, const struct cell *cells, size_t count)
{
    struct check *check = arg;
    check->totals = true;
    if (count != check->query->figure_count * (check->query->compares ? 3 : 1) || check->rows > 0)
        return WRONG(check, "totals of %zu figures behind %zu rows", count, check->rows);
    int rc = check_figures(check, cells, &check->recount->total, check->query->from, check->query->to, "all");
    return rc != 0 || check->before == NULL
               ? rc
               : check_beside(check, cells, &check->before->total, check->before->query->from,
                              check->before->query->to, "all");
}

/* The bucket of that row as far as the range reaches, as the recount has it. */
static void span_of(const struct recount *recount, const struct cell *cells, int64_t *from, int64_t *to)
{
    const struct query *query = recount->query;
    *from = query->from;
    *to = query->to;
    for (size_t i = 0; query->interval_us > 0 && i < recount->bucket_count; i++)
        if (recount->buckets[i] == cells[0].ts) {
            *from = cells[0].ts > *from ? cells[0].ts : *from;
            if (i + 1 < recount->bucket_count)
                *to = recount->buckets[i + 1];
        }
}

/* Which bucket of the range begins then: its number among those that reach into it. */
static size_t first_bucket(const struct recount *recount)
{
    size_t i = 0;
    while (i + 1 < recount->bucket_count && recount->buckets[i + 1] <= recount->query->from)
        i++;
    return i;
}

/* The group of the period before that stands where this one does. */
static int check_before(struct check *check, const struct cell *cells)
{
    const struct recount *now = check->recount, *before = check->before;
    struct cell keys[1 + QUERY_DIMENSIONS];
    struct buf key;
    int64_t from = before->query->from, to = before->query->to;
    memcpy(keys, cells, check->keys * sizeof *keys);
    if (check->query->interval_us > 0) {
        size_t i = first_bucket(now), first = first_bucket(before), at;
        for (at = i; now->buckets[at] != cells[0].ts; at++)
            ;
        at = at - i + first;
        if (at >= before->bucket_count)
            return check_beside(check, cells + check->keys, NULL, 0, 0, "a bucket too many");
        keys[0].ts = before->buckets[at];
        span_of(before, keys, &from, &to);
    }
    buf_init(&key, 1 << 20);
    fixture_row(&key, keys, check->keys);
    int rc = buf_add(&key, "", 1);
    if (rc == 0)
        rc = check_beside(check, cells + check->keys, recount_find(before, key.p), from, to, key.p);
    buf_fini(&key);
    return rc;
}

/* One row against the recount's row of the same key, and against the row before it. */
static int check_row(void *arg, const struct cell *cells, size_t count)
{
    struct check *check = arg;
    const struct query *query = check->query;
    struct buf key;
    int64_t from, to;
    const struct cell *figures = cells + check->keys;
    if (count != query_column_count(query))
        return WRONG(check, "%zu cells", count);
    check->rows++;
    check->requests += figures[0].u64;
    if (query->rest && cells[count - 1].u64 != 0)
        return 0;
    buf_init(&key, 1 << 20);
    fixture_row(&key, cells, check->keys);
    int rc = buf_add(&key, "", 1);
    const struct recount_row *row = recount_find(check->recount, key.p);
    if (row == NULL && !query->fill)
        rc = WRONG(check, "no such group: %s", key.p);
    span_of(check->recount, cells, &from, &to);
    if (rc == 0)
        rc = check_figures(check, figures, row, from, to, key.p);
    if (rc == 0 && check->before != NULL)
        rc = check_before(check, cells);
    uint64_t at = query->interval_us > 0 ? (uint64_t)cells[0].ts : UINT64_MAX - figures[0].u64;
    if (rc == 0 && at < check->last && figures[0].type == CELL_U64)
        rc = WRONG(check, "out of order at %s", key.p);
    check->last = at;
    buf_fini(&key);
    return rc;
}

static size_t buckets_in_range(const struct recount *recount)
{
    size_t count = 0;
    for (size_t i = 0; i < recount->bucket_count; i++)
        count += i + 1 == recount->bucket_count || recount->buckets[i + 1] > recount->query->from;
    return count;
}

/* Series, each in every bucket, with the rest. */
static size_t filled_rows(const struct check *check)
{
    const struct recount *recount = check->recount;
    struct query flat = *check->query;
    struct recount series;
    size_t buckets = buckets_in_range(recount);
    if (flat.dimension_count == 0)
        return buckets;
    flat.interval_us = 0;
    recount_init(&series, &flat, recount->events, recount->event_count);
    size_t shown = series.rows < flat.top ? series.rows : flat.top;
    recount_fini(&series);
    return buckets * (shown + (flat.rest && shown > 0));
}

static struct query *parse(const char *json, uint32_t tenant)
{
    struct err err = {0};
    struct query *query;
    int rc = query_parse(slice_of(json), FIXTURE_START_US, &query, &err);
    if (rc != 0 && strstr(err.detail, "same name") != NULL)
        return NULL;
    if (rc != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    query->tenant = tenant;
    return query;
}

/* What is not called approximate is exact. */
static void judge(const struct check *check, const struct query_sink *sink, const char *json)
{
    const struct query *query = check->query;
    const struct recount *recount = check->recount;
    for (size_t i = 0; i < query->measure_count; i++)
        if (check->doubted[i][0] != '\0' && (sink->approximate >> i & 1) == 0)
            fail_msg("%s\n%s%s", json, sink->fast ? "fast: " : "", check->doubted[i]);
    size_t all = query->fill ? filled_rows(check) : recount->rows;
    size_t expected = all < query->limit ? all : query->limit;
    bool whole = (query->top == 0 || query->fill) && sink->approximate == 0;
    if (whole && (check->rows != expected || sink->truncated != (all > query->limit)))
        fail_msg("%s\n%zu rows of %zu, limit %u, truncated %d", json, check->rows, all, query->limit,
                 sink->truncated);
    bool requests = query->measures[0] == MEASURE_requests && query->figures[0].kind == FIGURE_PLAIN;
    if (query->rest && requests && !sink->truncated && sink->approximate == 0 &&
        check->requests != recount->total.measures[MEASURE_requests])
        fail_msg("%s\ntop and rest have %llu requests, recounted %llu", json,
                 (unsigned long long)check->requests,
                 (unsigned long long)recount->total.measures[MEASURE_requests]);
    if (!query->fast && (sink->fast || sink->approximate != 0))
        fail_msg("%s\nasked exactly, answered from roll-ups", json);
    assert_int_equal(check->totals, query->totals);
}

struct checked checker_ask(struct place *place, const struct fixture *fixture, const char *json,
                           uint32_t tenant)
{
    struct err err = {0};
    struct recount recount, before;
    struct query *query = parse(json, tenant), earlier;
    struct checked checked = {0};
    if (query == NULL)
        return checked;
    recount_init(&recount, query, fixture->events, fixture->count);
    struct check check = {.query = query, .recount = &recount, .keys = query_first_figure(query)};
    if (query->compares) {
        assert_int_equal(query_before_open(query, &earlier, &err), 0);
        recount_init(&before, &earlier, fixture->events, fixture->count);
        check.before = &before;
    }
    struct query_sink sink = {.row = check_row, .arg = &check, .totals = check_totals};
    if (store_query(place->store, query, &sink, &err) != 0)
        fail_msg("%s\n%s", json, check.wrong[0] != '\0' ? check.wrong : err_detail(&err));
    judge(&check, &sink, json);
    checked.fast = sink.fast;
    checked.approximate = sink.approximate;
    for (size_t i = 0; i < query->measure_count; i++)
        checked.off = fmax(checked.off, check.off[i]);
    if (query->compares) {
        recount_fini(&before);
        query_before_close(&earlier);
    }
    recount_fini(&recount);
    query_destroy(&query);
    return checked;
}
