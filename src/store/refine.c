/* SPDX-License-Identifier: Apache-2.0
 *
 * refine: see refine.h. Rows stream through; only the values of top are kept.
 */
#include "store/refine.h"

#include <stdlib.h>

enum { CELLS = 2 + QUERY_DIMENSIONS + QUERY_FIGURES };

struct refine {
    struct store *store;
    const struct store_engine *engine;
    const struct query *query;
    struct query_sink *sink;
    struct err *err;
    int64_t deadline_us; /* monotonic */
    uint64_t totals[QUERY_MEASURES];
    struct query_value top[QUERY_TOP];
    size_t top_count;
    int64_t next_bucket; /* with fill: the one that no row was seen of yet */
    uint32_t rows;
    bool is_rest;
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

/* From start to end, as far as the range reaches. */
static double seconds_between(const struct query *query, int64_t start, int64_t end)
{
    start = start > query->from ? start : query->from;
    end = end < query->to ? end : query->to;
    return (double)(end - start) / (double)US_PER_SECOND;
}

static struct cell figure_of(const struct refine *refine, const struct query_figure *figure,
                             const struct cell *measures, double seconds)
{
    static const double per[] = {[FIGURE_PER_SECOND] = 1, [FIGURE_PER_MINUTE] = 60, [FIGURE_PER_HOUR] = 3600};
    uint64_t value = measures[figure->measure].u64, total = refine->totals[figure->measure];
    struct cell cell = {.type = CELL_F64};
    if (figure->kind == FIGURE_PLAIN)
        return measures[figure->measure];
    if (figure->kind == FIGURE_SHARE)
        cell.f64 = total > 0 ? (double)value / (double)total : 0;
    else
        cell.f64 = (double)value * per[figure->kind] / seconds;
    return cell;
}

static size_t add_figures(const struct refine *refine, struct cell *out, const struct cell *measures,
                          double seconds)
{
    const struct query *query = refine->query;
    for (size_t i = 0; i < query->figure_count; i++)
        out[i] = figure_of(refine, &query->figures[i], measures, seconds);
    return query->figure_count;
}

/* keys: the bucket, when there are any, then the columns (of the rest: NULL). */
static int hand_on(struct refine *refine, const struct cell *keys, const struct cell *measures)
{
    const struct query *query = refine->query;
    struct cell out[CELLS];
    size_t n = 0, columns = query->dimension_count;
    int64_t start = query->from, end = query->to;
    if (refine->rows == query->limit) {
        refine->sink->truncated = true;
        return 0;
    }
    if (query->interval_us > 0) {
        start = keys->ts;
        end = query_bucket_end(query, start);
        out[n++] = *keys++;
    }
    for (size_t i = 0; i < columns; i++)
        out[n++] = refine->is_rest ? (struct cell){.type = CELL_NULL} : keys[i];
    n += add_figures(refine, out + n, measures, seconds_between(query, start, end));
    if (query->rest)
        out[n++] = (struct cell){.type = CELL_BOOL, .u64 = refine->is_rest};
    refine->rows++;
    return refine->sink->row(refine->sink->arg, out, n);
}

/* Rows of zeros for the buckets before that one. */
static int fill_until(struct refine *refine, int64_t bucket)
{
    static const struct cell zeros[QUERY_MEASURES] = {
        {.type = CELL_U64}, {.type = CELL_U64}, {.type = CELL_U64}, {.type = CELL_U64},
        {.type = CELL_U64}, {.type = CELL_U64}, {.type = CELL_U64}, {.type = CELL_U64},
    };
    int rc = 0;
    while (rc == 0 && refine->next_bucket < bucket) {
        struct cell time = {.type = CELL_TS, .ts = refine->next_bucket};
        rc = hand_on(refine, &time, zeros);
        refine->next_bucket = query_bucket_end(refine->query, refine->next_bucket);
    }
    return rc;
}

static int take_row(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    const struct query *query = refine->query;
    int rc = 0;
    bool any = !refine->is_rest; /* nothing is left: no row */
    for (size_t i = count - query->measure_count; i < count; i++)
        any = any || cells[i].u64 > 0;
    if (!any)
        return 0;
    if (query->fill) {
        rc = fill_until(refine, cells[0].ts);
        refine->next_bucket = query_bucket_end(query, cells[0].ts);
    }
    return rc != 0 ? rc : hand_on(refine, cells, cells + count - query->measure_count);
}

/* What a filter would have to say to find that cell again. Texts are copied. */
static int value_of(enum column column, const struct cell *cell, struct query_value *out)
{
    enum direction direction = DIRECTION_ABSENT;
    enum stage stage = STAGE_OTHER;
    int rc = 0;
    *out = (struct query_value){.absent = cell->type == CELL_NULL, .u64 = cell->u64, .ts = cell->ts};
    if (cell->type != CELL_TEXT)
        return 0;
    switch (event_columns[column].type) {
    case TYPE_IP:
        return ip_parse(cell->text, &out->ip);
    case TYPE_NETWORK:
        rc = ip_prefix_parse(cell->text, &out->prefix);
        out->ip = out->prefix.net;
        return rc;
    case TYPE_ID128:
        return text_from_hex(cell->text, out->id.b, sizeof out->id.b);
    case TYPE_STAGE:
        rc = event_stage_parse(cell->text, &stage);
        out->u64 = (uint64_t)stage;
        return rc;
    case TYPE_DIRECTION:
        rc = event_direction_parse(cell->text, &direction);
        out->u64 = (uint64_t)direction;
        return rc;
    default:
        out->text = (struct slice){malloc(cell->text.n + 1), cell->text.n};
        if (out->text.p == NULL)
            return ERR_NO_MEMORY;
        memcpy((char *)out->text.p, cell->text.p, cell->text.n);
        return 0;
    }
}

static int take_top(void *arg, const struct cell *cells, size_t count)
{
    struct refine *refine = arg;
    (void)count;
    int rc = value_of(refine->query->dimensions[0], cells, &refine->top[refine->top_count]);
    refine->top_count += rc == 0;
    return rc;
}

/* The question with one more filter: its column is (IN) or is not (NE) one of top. */
static int ask_with(struct refine *refine, struct query *part, enum query_op op, bool *truncated)
{
    const struct query *query = refine->query;
    struct query_value *values = calloc(query->value_count + refine->top_count, sizeof *values);
    if (values == NULL)
        return err_set(refine->err, ERR_NO_MEMORY, "out of memory");
    if (query->value_count > 0)
        memcpy(values, query->values, query->value_count * sizeof *values);
    memcpy(values + query->value_count, refine->top, refine->top_count * sizeof *values);
    part->values = values;
    part->filters[part->filter_count++] = (struct query_filter){.column = query->dimensions[0],
                                                                .op = op,
                                                                .first_value = query->value_count,
                                                                .value_count = refine->top_count};
    part->value_count += refine->top_count;
    int rc = ask(refine, part, take_row, truncated);
    free(values);
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
    rc = ask_with(refine, &those, OP_IN, &truncated);
    refine->sink->truncated = refine->sink->truncated || truncated;
    if (rc != 0 || !query->rest)
        return rc;
    struct query rest = without_columns(query, query->interval_us > 0);
    refine->is_rest = true;
    return ask_with(refine, &rest, OP_NE, &truncated);
}

static int ask_rows(struct refine *refine)
{
    struct query plain = *refine->query;
    bool truncated = false;
    if (plain.top > 0)
        return ask_top(refine);
    if (plain.fill)
        refine->next_bucket = query_bucket(&plain, plain.from);
    int rc = ask(refine, &plain, take_row, &truncated);
    refine->sink->truncated = refine->sink->truncated || truncated;
    return rc == 0 && plain.fill && !truncated ? fill_until(refine, plain.to) : rc;
}

static bool needs_totals(const struct query *query)
{
    bool needs = query->totals;
    for (size_t i = 0; i < query->figure_count; i++)
        needs = needs || query->figures[i].kind == FIGURE_SHARE;
    return needs;
}

static int hand_totals(struct refine *refine)
{
    struct cell measures[QUERY_MEASURES], out[CELLS];
    const struct query *query = refine->query;
    for (size_t i = 0; i < query->measure_count; i++)
        measures[i] = (struct cell){.type = CELL_U64, .u64 = refine->totals[i]};
    size_t n = add_figures(refine, out, measures, seconds_between(query, query->from, query->to));
    return refine->sink->totals(refine->sink->arg, out, n);
}

int refine(struct store *store, const struct store_engine *engine, const struct query *query,
           struct query_sink *sink, struct err *err)
{
    if (query->figure_count == 0)
        return engine->query(store, query, sink, err);
    struct refine refine = {.store = store,
                            .engine = engine,
                            .query = query,
                            .sink = sink,
                            .err = err,
                            .deadline_us = clock_monotonic_us() + query->timeout_us};
    bool truncated, totals = needs_totals(query);
    int rc = 0;
    sink->truncated = false;
    if (totals) {
        struct query part = without_columns(query, false);
        rc = ask(&refine, &part, take_totals, &truncated);
    }
    if (rc == 0 && query->totals && sink->totals != NULL)
        rc = hand_totals(&refine);
    if (rc == 0)
        rc = ask_rows(&refine);
    for (size_t i = 0; i < refine.top_count; i++)
        free((char *)refine.top[i].text.p);
    return rc;
}
