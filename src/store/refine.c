/* SPDX-License-Identifier: Apache-2.0
 *
 * refine: see refine.h. Rows stream through; what is kept are the series of top, one bucket of them while
 * buckets are filled, and the groups of an earlier period.
 */
#include "store/refine.h"

#include "store/earlier.h"
#include "store/figures.h"
#include "store/series.h"

#include <stdlib.h>

enum { CELLS = 2 + QUERY_DIMENSIONS + 3 * QUERY_FIGURES };

struct refine {
    struct store *store;
    const struct store_engine *engine;
    const struct query *query;
    struct query_sink *sink;
    struct err *err;
    int64_t deadline_us; /* monotonic */
    uint64_t totals[QUERY_MEASURES], before_totals[QUERY_MEASURES];
    struct series top[QUERY_TOP];
    size_t top_count;
    int64_t next_bucket; /* with fill: the one that no row was seen of yet */
    uint32_t rows;
    bool is_rest;
    const struct query *before; /* the earlier period, when it is compared with */
    struct earlier *earlier;
    bool earlier_is_cut; /* what isn't there may have been cut off */
};

/* One plain question to the engine, within what is left of the time. */
static int ask(struct refine *refine, struct query *part, int (*row)(void *, const struct cell *, size_t),
               bool *truncated)
{
    struct query_sink sink = {.row = row, .arg = refine};
    part->timeout_us = refine->deadline_us - clock_monotonic_us();
    if (part->timeout_us <= 0)
        return err_set(refine->err, ERR_TIMEOUT, "the question took too long; narrow its range or filters");
    int rc = refine->engine->query(refine->store, part, &sink, refine->err);
    *truncated = sink.truncated;
    refine->sink->fast = refine->sink->fast || sink.fast;
    refine->sink->approximate |= sink.approximate;
    return rc;
}

/* The same question without its columns; what measures count stays as it was with them. */
static struct query without_columns(const struct query *query, bool keep_buckets)
{
    struct query part = *query;
    part.keeps_recipients = query_about_recipients(query);
    part.keeps_events = query_about_events(query);
    part.dimension_count = part.order_count = 0;
    part.limit = QUERY_LIMIT;
    if (!keep_buckets)
        part.interval_us = 0;
    else
        part.orders[part.order_count++] = (struct query_order){.by_bucket = true};
    return part;
}

static int take_totals(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    for (size_t i = 0; i < count; i++)
        refine->totals[i] = cells[i].u64;
    return 0;
}

static int take_before_totals(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    for (size_t i = 0; i < count; i++)
        refine->before_totals[i] = cells[i].u64;
    return 0;
}

/* From start to end, as far as the range reaches. */
static double seconds_between(const struct query *query, int64_t start, int64_t end)
{
    start = start > query->from ? start : query->from;
    end = end < query->to ? end : query->to;
    return (double)(end - start) / (double)US_PER_SECOND;
}

static size_t add_figures(const struct refine *refine, const struct cell *keys, const uint64_t *measures,
                          double seconds, struct cell *out)
{
    static const uint64_t none[QUERY_MEASURES];
    struct figures now = {measures, refine->totals, seconds};
    struct figures before = {NULL, refine->before_totals, 0};
    if (refine->earlier != NULL) {
        before.values = earlier_find(refine->earlier, keys, refine->is_rest);
        before.seconds = earlier_seconds(refine->earlier, keys);
        if (before.values == NULL && !refine->earlier_is_cut && before.seconds > 0)
            before.values = none; /* there was a bucket, and nothing in it */
    }
    return figures_write(refine->query, &now, &before, out);
}

/* keys: the bucket, when there are any, then the columns (of the rest: none). */
static int hand_on(struct refine *refine, const struct cell *keys, const uint64_t *measures)
{
    const struct query *query = refine->query;
    struct cell out[CELLS];
    size_t n = 0, columns = query->dimension_count, bucket = query->interval_us > 0;
    int64_t start = query->from, end = query->to;
    if (refine->rows == query->limit) {
        refine->sink->truncated = true;
        return 0;
    }
    if (bucket) {
        start = keys->ts;
        end = query_bucket_end(query, start);
        out[n++] = *keys;
    }
    for (size_t i = 0; i < columns; i++)
        out[n++] = refine->is_rest ? (struct cell){.type = CELL_NULL} : keys[bucket + i];
    n += add_figures(refine, keys, measures, seconds_between(query, start, end), out + n);
    if (query->rest)
        out[n++] = (struct cell){.type = CELL_BOOL, .u64 = refine->is_rest};
    refine->rows++;
    return refine->sink->row(refine->sink->arg, out, n);
}

/* ---- buckets of which there is nothing ------------------------------------------------------- */

/* The next bucket, with what was seen of each series; zeros for what wasn't. */
static int hand_on_series(struct refine *refine)
{
    const struct query *query = refine->query;
    struct cell keys[1 + QUERY_DIMENSIONS] = {{.type = CELL_TS, .ts = refine->next_bucket}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < refine->top_count; i++) {
        struct series *series = &refine->top[i];
        memcpy(keys + 1, series->cells, query->dimension_count * sizeof *keys);
        rc = hand_on(refine, keys, series->measures);
        memset(series->measures, 0, sizeof series->measures);
    }
    refine->next_bucket = query_bucket_end(query, refine->next_bucket);
    return rc;
}

static int fill_series(struct refine *refine, const struct cell *cells, const uint64_t *measures)
{
    int rc = 0;
    while (rc == 0 && refine->next_bucket < cells[0].ts)
        rc = hand_on_series(refine);
    for (size_t i = 0; rc == 0 && i < refine->top_count; i++)
        if (series_is(&refine->top[i], refine->query, cells + 1))
            memcpy(refine->top[i].measures, measures, sizeof refine->top[i].measures);
    return rc;
}

/* Rows of zeros for the buckets before that one. */
static int fill_until(struct refine *refine, int64_t bucket)
{
    static const uint64_t zeros[QUERY_MEASURES];
    bool is_one = refine->query->dimension_count == 0 || refine->is_rest;
    int rc = 0;
    while (rc == 0 && refine->next_bucket < bucket) {
        struct cell time = {.type = CELL_TS, .ts = refine->next_bucket};
        if (!is_one) {
            rc = hand_on_series(refine);
            continue;
        }
        rc = hand_on(refine, &time, zeros);
        refine->next_bucket = query_bucket_end(refine->query, refine->next_bucket);
    }
    return rc;
}

static int take_row(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    const struct query *query = refine->query;
    uint64_t measures[QUERY_MEASURES] = {0};
    int rc = 0;
    bool any = !refine->is_rest; /* nothing is left: no row */
    for (size_t i = 0; i < query->measure_count; i++) {
        measures[i] = cells[count - query->measure_count + i].u64;
        any = any || measures[i] > 0;
    }
    if (!any)
        return 0;
    if (query->fill && query->dimension_count > 0 && !refine->is_rest)
        return fill_series(refine, cells, measures);
    if (query->fill) {
        rc = fill_until(refine, cells[0].ts);
        refine->next_bucket = query_bucket_end(query, cells[0].ts);
    }
    return rc != 0 ? rc : hand_on(refine, cells, measures);
}

static int take_earlier(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    (void)count;
    int rc = earlier_put(refine->earlier, cells, refine->is_rest);
    return rc != 0 ? err_set(refine->err, rc, "out of memory") : 0;
}

/* The rows of a part, those of the earlier period before them. */
static int ask_both(struct refine *refine, const struct query *part, bool *truncated)
{
    struct query now = *part, then = *part;
    int rc = 0;
    if (refine->before != NULL) {
        bool cut = false;
        then.from = refine->before->from;
        then.to = refine->before->to;
        then.pieces = refine->before->pieces;
        then.piece_count = refine->before->piece_count;
        then.limit = QUERY_LIMIT;
        rc = ask(refine, &then, take_earlier, &cut);
        refine->earlier_is_cut = refine->earlier_is_cut || cut;
    }
    if (refine->query->fill)
        refine->next_bucket = query_bucket(refine->query, refine->query->from);
    if (rc == 0)
        rc = ask(refine, &now, take_row, truncated);
    return rc == 0 && refine->query->fill && !*truncated ? fill_until(refine, refine->query->to) : rc;
}

/* ---- the largest, and the rest --------------------------------------------------------------- */

static int take_top(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    (void)count;
    return series_take(&refine->top[refine->top_count++], refine->query, cells);
}

/* The question with one more filter: its columns are those of top; or, for the rest, not. */
static int ask_with(struct refine *refine, struct query *part, bool *truncated)
{
    int rc = series_filter(refine->top, refine->top_count, refine->query, refine->is_rest, part);
    if (rc != 0)
        return err_set(refine->err, rc, "out of memory");
    rc = ask_both(refine, part, truncated);
    free(part->values);
    return rc;
}

static int ask_top(struct refine *refine)
{
    const struct query *query = refine->query;
    bool truncated = false;
    struct query largest = *query, those = *query;
    largest.interval_us = 0;
    largest.orders[0] = (struct query_order){.by_measure = true, .descending = true};
    largest.order_count = 1;
    largest.limit = query->top;
    int rc = ask(refine, &largest, take_top, &truncated);
    if (rc != 0 || refine->top_count == 0)
        return rc;
    rc = ask_with(refine, &those, &truncated);
    refine->sink->truncated = refine->sink->truncated || truncated;
    if (rc != 0 || !query->rest)
        return rc;
    struct query rest = without_columns(query, query->interval_us > 0);
    refine->is_rest = true;
    return ask_with(refine, &rest, &truncated);
}

static int ask_rows(struct refine *refine)
{
    bool truncated = false;
    if (refine->query->top > 0)
        return ask_top(refine);
    int rc = ask_both(refine, refine->query, &truncated);
    refine->sink->truncated = refine->sink->truncated || truncated;
    return rc;
}

/* ---- the whole answer ------------------------------------------------------------------------ */

static bool needs_totals(const struct query *query)
{
    bool needs = query->totals;
    for (size_t i = 0; i < query->figure_count; i++)
        needs = needs || query->figures[i].kind == FIGURE_SHARE;
    return needs;
}

static int ask_totals(struct refine *refine)
{
    bool truncated;
    struct query part = without_columns(refine->query, false);
    int rc = ask(refine, &part, take_totals, &truncated);
    if (rc != 0 || refine->before == NULL)
        return rc;
    part = without_columns(refine->before, false);
    return ask(refine, &part, take_before_totals, &truncated);
}

static int hand_totals(struct refine *refine)
{
    struct cell out[CELLS];
    const struct query *query = refine->query, *then = refine->before;
    struct figures now = {refine->totals, refine->totals, seconds_between(query, query->from, query->to)};
    struct figures before = {refine->before_totals, refine->before_totals,
                             then != NULL ? seconds_between(then, then->from, then->to) : 0};
    size_t n = figures_write(query, &now, &before, out);
    return refine->sink->totals(refine->sink->arg, out, n);
}

static int answer(struct refine *refine)
{
    const struct query *query = refine->query;
    int rc = needs_totals(query) ? ask_totals(refine) : 0;
    if (rc == 0 && query->totals && refine->sink->totals != NULL)
        rc = hand_totals(refine);
    return rc != 0 ? rc : ask_rows(refine);
}

static int answer_both(struct refine *refine)
{
    struct query before;
    int rc = query_before_open(refine->query, &before, refine->err);
    if (rc != 0)
        return rc;
    refine->before = &before;
    rc = earlier_create(&refine->earlier, refine->query, &before, refine->err);
    if (rc == 0)
        rc = answer(refine);
    earlier_destroy(&refine->earlier);
    query_before_close(&before);
    return rc;
}

int refine(struct store *store, const struct store_engine *engine, const struct query *query,
           struct query_sink *sink, struct err *err)
{
    if (query->figure_count == 0)
        return engine->query(store, query, sink, err);
    struct refine *refine = calloc(1, sizeof *refine);
    if (refine == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    *refine = (struct refine){.store = store,
                              .engine = engine,
                              .query = query,
                              .sink = sink,
                              .err = err,
                              .deadline_us = clock_monotonic_us() + query->timeout_us};
    sink->truncated = false;
    int rc = query->compares ? answer_both(refine) : answer(refine);
    for (size_t i = 0; i < refine->top_count; i++)
        series_fini(&refine->top[i]);
    free(refine);
    return rc;
}
