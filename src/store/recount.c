/* SPDX-License-Identifier: Apache-2.0
 *
 * recount: see recount.h.
 */
#include "store/recount.h"

#include "query/match.h"
#include "store/fixture.h"

#include <search.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

struct message_size {
    struct id128 id; /* first: compared as a set of ids is */
    uint64_t size;
};

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id128));
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const struct recount_row *)a)->key, ((const struct recount_row *)b)->key);
}

/* True when id is new in the set. */
static bool set_add(void **set, const void *id)
{
    void *copy = malloc(sizeof(struct id128));
    if (copy == NULL)
        abort();
    memcpy(copy, id, sizeof(struct id128));
    void **found = tsearch(copy, set, compare_ids);
    bool is_new = *found == copy;
    if (!is_new)
        free(copy);
    return is_new;
}

struct cell recount_cell(const struct query *query, const struct event *event, enum column column,
                         char text[QUERY_CELL_BYTES])
{
    struct query_value value;
    query_value_of(query, event, column, &value);
    return query_cell(column, &value, text);
}

static bool visible(const struct query *query, const struct event *event, int64_t around_us)
{
    return (query->scope == QUERY_SCOPE_ALL || event->tenant == query->tenant) &&
           event->ts >= query->from - around_us && event->ts < query->to + around_us;
}

static bool asked(const struct query *query, const struct event *event)
{
    return visible(query, event, 0) && query_match(query, event);
}

static void note_size(struct recount *recount, const struct event *event)
{
    struct message_size *size = calloc(1, sizeof *size);
    if (size == NULL)
        abort();
    size->id = event->message_id;
    struct message_size *found = *(struct message_size **)tsearch(size, &recount->sizes, compare_ids);
    found->size = event->size > found->size ? event->size : found->size;
    if (found != size)
        free(size);
}

static uint64_t size_of(const struct recount *recount, const struct event *event)
{
    struct message_size **found =
        (struct message_size **)tfind(&event->message_id, &recount->sizes, compare_ids);
    return found != NULL ? (*found)->size : 0;
}

static struct recount_row *row_of(struct recount *recount, const char *key)
{
    struct recount_row *row = calloc(1, sizeof *row);
    if (row == NULL || (row->key = strdup(key)) == NULL)
        abort();
    struct recount_row *found = *(struct recount_row **)tsearch(row, &recount->groups, compare_rows);
    if (found != row) {
        free(row->key);
        free(row);
    }
    return found;
}

/* What the clocks show, as if it were UTC; TZ is set. */
static int64_t shown_at(int64_t ts)
{
    time_t t = (time_t)(ts / US_PER_SECOND);
    struct tm tm;
    (void)localtime_r(&t, &tm);
    return (int64_t)timegm(&tm) * US_PER_SECOND;
}

static int64_t floor_of(const struct query *query, int64_t shown)
{
    int64_t day = 24 * 3600 * US_PER_SECOND, monday = -3 * day;
    time_t t = (time_t)(shown / US_PER_SECOND);
    struct tm tm;
    if (query->interval_months > 0) {
        (void)gmtime_r(&t, &tm);
        tm.tm_mon -= tm.tm_mon % (int)query->interval_months;
        tm.tm_mday = 1;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        return (int64_t)timegm(&tm) * US_PER_SECOND;
    }
    if (query->interval_us % (7 * day) == 0)
        monday += query->first_day * day;
    return shown - (shown - monday) % query->interval_us;
}

/* Walks the clocks in quarters of an hour, or in intervals when those are shorter: a bucket begins when they
 * enter one for the first time, or have gone back by its length. Begins far enough before the range. */
static void walk_buckets(struct recount *recount)
{
    const struct query *query = recount->query;
    int64_t step = 900 * US_PER_SECOND, before = 0, highest = INT64_MIN;
    step = query->interval_us < step ? query->interval_us : step;
    int64_t at = query->from - 2 * query->interval_us - 3 * 24 * 3600 * US_PER_SECOND;
    at -= at % (24 * 3600 * US_PER_SECOND);
    recount->buckets = calloc((size_t)((query->to - at) / step + 2), sizeof *recount->buckets);
    if (recount->buckets == NULL)
        abort();
    for (; at < query->to; at += step) {
        int64_t shown = shown_at(at), floor = floor_of(query, shown);
        bool again = recount->bucket_count > 0 && before + step - shown >= query->interval_us;
        if (floor > highest || again)
            recount->buckets[recount->bucket_count++] = at;
        highest = again || floor > highest ? floor : highest;
        before = shown;
    }
}

static int64_t bucket_of(const struct recount *recount, int64_t ts)
{
    size_t i = recount->bucket_count;
    while (i > 0 && recount->buckets[i - 1] > ts)
        i--;
    return i > 0 ? recount->buckets[i - 1] : INT64_MIN;
}

static void key_of(const struct recount *recount, const struct event *event, struct buf *key)
{
    const struct query *query = recount->query;
    struct cell cells[1 + QUERY_DIMENSIONS];
    char texts[QUERY_DIMENSIONS][QUERY_CELL_BYTES];
    size_t count = 0;
    buf_clear(key);
    if (query->interval_us > 0)
        cells[count++] = (struct cell){.type = CELL_TS, .ts = bucket_of(recount, event->ts)};
    for (size_t i = 0; i < query->dimension_count; i++)
        cells[count++] = recount_cell(query, event, query->dimensions[i], texts[i]);
    fixture_row(key, cells, count);
    if (buf_add(key, "", 1) != 0)
        abort();
}

/* A message counts once in each group, where it was met by an event that carries the measure. */
static void count_message(const struct recount *recount, struct recount_row *row, const struct event *event)
{
    if (!set_add(&row->messages, event->message_id.b))
        return;
    row->measures[MEASURE_messages]++;
    row->measures[MEASURE_bytes] += size_of(recount, event);
}

/* What of the event a distinct measure counts, as 128 bits; false: nothing. */
static bool distinct_of(const struct query *query, const struct event *event, enum measure measure,
                        struct id128 *out)
{
    char text[QUERY_CELL_BYTES];
    enum column column = query_measure_column(measure);
    struct cell cell = recount_cell(query, event, column, text);
    XXH128_hash_t hash =
        XXH3_128bits_withSeed(cell.text.p, cell.text.n, column == COLUMN_edge ? event->tenant : 0);
    memcpy(out, &hash, sizeof *out);
    return cell.type == CELL_TEXT;
}

static bool carries(const struct query *query, const struct event *event, enum measure measure)
{
    struct id128 unused;
    switch (query_measure_counts(query, measure)) {
    case COUNTS_FIRST:
        return event->first_of_message;
    case COUNTS_RECIPIENTS:
        return event->recipients > 0;
    case COUNTS_TRANSACTION:
        return event->stage == STAGE_MAIL || event->stage == STAGE_RCPT || event->stage == STAGE_DATA ||
               event->stage == STAGE_END_OF_MESSAGE;
    case COUNTS_PRESENT:
        return distinct_of(query, event, measure, &unused);
    default:
        return true;
    }
}

static void count_into(const struct recount *recount, struct recount_row *row, const struct event *event)
{
    const struct query *query = recount->query;
    struct id128 value;
    row->measures[MEASURE_requests]++;
    row->measures[MEASURE_recipients] += event->recipients;
    if (carries(query, event, MEASURE_messages))
        count_message(recount, row, event);
    for (unsigned m = 0; m < MEASURE_COUNT; m++)
        if (query_measure_column(m) != COLUMN_COUNT && carries(query, event, m) &&
            distinct_of(query, event, m, &value) && set_add(&row->distinct[m], value.b))
            row->measures[m]++;
}

static void count_event(struct recount *recount, const struct event *event, struct buf *key)
{
    const struct query *query = recount->query;
    bool any = false;
    for (size_t i = 0; i < query->measure_count; i++)
        any = any || carries(query, event, query->measures[i]);
    if (!any)
        return;
    key_of(recount, event, key);
    count_into(recount, row_of(recount, key->p), event);
    count_into(recount, &recount->total, event);
}

static _Thread_local size_t walked;

static void count_row(const void *node, VISIT visit, int depth)
{
    (void)node;
    (void)depth;
    if (visit == postorder || visit == leaf)
        walked++;
}

void recount_init(struct recount *recount, const struct query *query, const struct event *events,
                  size_t count)
{
    struct buf key;
    *recount = (struct recount){.query = query, .events = events, .event_count = count};
    buf_init(&key, 1 << 20);
    for (size_t i = 0; i < count; i++)
        if (visible(query, &events[i], QUERY_MESSAGE_US) && events[i].stage == STAGE_END_OF_MESSAGE &&
            events[i].retry_of == 0 && events[i].size > 0)
            note_size(recount, &events[i]);
    if (query->interval_us > 0)
        walk_buckets(recount);
    if (query->interval_us == 0 && query->dimension_count == 0)
        (void)row_of(recount, "");
    for (size_t i = 0; i < count; i++)
        if (asked(query, &events[i]))
            count_event(recount, &events[i], &key);
    buf_fini(&key);
    walked = 0;
    twalk(recount->groups, count_row);
    recount->rows = walked;
}

static void free_sets(struct recount_row *row)
{
    tdestroy(row->messages, free);
    for (size_t m = 0; m < MEASURE_COUNT; m++)
        tdestroy(row->distinct[m], free);
}

static void free_row(void *node)
{
    struct recount_row *row = node;
    free_sets(row);
    free(row->key);
    free(row);
}

void recount_fini(struct recount *recount)
{
    tdestroy(recount->groups, free_row);
    tdestroy(recount->sizes, free);
    free_sets(&recount->total);
    free(recount->buckets);
}

const struct recount_row *recount_find(const struct recount *recount, const char *key)
{
    struct recount_row wanted = {.key = (char *)key};
    struct recount_row **found = (struct recount_row **)tfind(&wanted, &recount->groups, compare_rows);
    return found != NULL ? *found : NULL;
}
