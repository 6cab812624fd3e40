/* SPDX-License-Identifier: Apache-2.0
 *
 * bucket: which bucket of the interval a time lies in, by the clocks of the question's zone. A bucket begins
 * when the clocks enter it for the first time; a bucket that they show twice because they go back by as much
 * as it is long, or more, is two. So days have 23 to 25 hours, and an hour that comes twice is there twice.
 * Between two changes of the clocks it is plain arithmetic: a list of pieces is all that an engine needs to
 * know of zones.
 */
#include "query/bucket.h"

#include <stdlib.h>

#define DAY_US (24 * 3600 * US_PER_SECOND)

static const struct query_piece utc = {.begin = INT64_MIN, .hold = INT64_MIN};

const struct query_piece *query_pieces(const struct query *query, size_t *count)
{
    *count = query->piece_count > 0 ? query->piece_count : 1;
    return query->piece_count > 0 ? query->pieces : &utc;
}

int64_t query_origin(const struct query *query)
{
    return QUERY_ORIGIN_US +
           (query->interval_us % (7 * DAY_US) == 0 ? (int64_t)query->first_day * DAY_US : 0);
}

/* The month since year 0 in which a bucket of months begins. */
static int64_t floor_month(const struct query *query, int64_t local)
{
    int64_t year, days = (local >= 0 ? local : local - DAY_US + 1) / DAY_US;
    unsigned month, day;
    zone_date(days, &year, &month, &day);
    int64_t months = year * 12 + month - 1;
    return months - months % query->interval_months;
}

static int64_t month_begins(int64_t month)
{
    return zone_days(month / 12, (unsigned)(month % 12) + 1, 1) * DAY_US;
}

/* Both on the clocks: where the bucket of that reading begins, and the one behind it. */
static int64_t floor_local(const struct query *query, int64_t local)
{
    if (query->interval_months > 0)
        return month_begins(floor_month(query, local));
    int64_t since = local - query_origin(query);
    int64_t over = (since % query->interval_us + query->interval_us) % query->interval_us;
    return local - over;
}

static int64_t next_local(const struct query *query, int64_t local)
{
    if (query->interval_months > 0)
        return month_begins(floor_month(query, local) + query->interval_months);
    return floor_local(query, local) + query->interval_us;
}

static size_t piece_of(const struct query_piece *pieces, size_t count, int64_t ts)
{
    size_t i = count - 1;
    while (i > 0 && pieces[i].begin > ts)
        i--;
    return i;
}

static int64_t bucket_within(const struct query *query, const struct query_piece *piece, int64_t ts)
{
    int64_t start = floor_local(query, ts + piece->offset_us) - piece->offset_us;
    return start > piece->hold ? start : piece->first;
}

int64_t query_bucket(const struct query *query, int64_t ts)
{
    size_t count;
    const struct query_piece *pieces = query_pieces(query, &count);
    return bucket_within(query, &pieces[piece_of(pieces, count, ts)], ts);
}

int64_t query_bucket_end(const struct query *query, int64_t start)
{
    size_t count, i;
    const struct query_piece *pieces = query_pieces(query, &count);
    int64_t at = start;
    i = piece_of(pieces, count, start);
    for (;;) {
        int64_t end = next_local(query, at + pieces[i].offset_us) - pieces[i].offset_us;
        if (i + 1 < count && end >= pieces[i + 1].begin) {
            at = pieces[++i].begin;
            if (pieces[i].first == at)
                return at;
        } else if (end > pieces[i].hold) {
            return end;
        } else {
            at = end;
        }
    }
}

/* A change of the clocks at begin, behind the piece before. */
static struct query_piece piece_from(const struct query *query, const struct query_piece *before,
                                     int64_t begin, int64_t offset_us)
{
    struct query_piece piece = {.begin = begin, .offset_us = offset_us, .hold = begin, .first = begin};
    if (query->interval_us == 0)
        return piece;
    int64_t shown = floor_local(query, begin - 1 + before->offset_us);
    int64_t shows = floor_local(query, begin + offset_us);
    bool twice = before->offset_us - offset_us >= query->interval_us;
    if (shows > shown || twice)
        return piece;
    piece.first = bucket_within(query, before, begin - 1);
    if (shown - offset_us > piece.hold)
        piece.hold = shown - offset_us; /* the clocks pass its beginning once more */
    return piece;
}

int bucket_open(struct query *query, struct err *err)
{
    /* Before the range by more than a bucket is long: its beginning must be found as well. */
    int64_t at = query->from - query->interval_us - 3 * DAY_US, next;
    query->pieces = calloc(QUERY_PIECES, sizeof *query->pieces);
    if (query->pieces == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    query->pieces[0] = utc;
    query->pieces[0].offset_us = zone_offset_us(query->zone, at);
    query->piece_count = 1;
    while (zone_next_change(query->zone, at, &next) && next < query->to) {
        if (query->piece_count == QUERY_PIECES)
            return err_set(
                err, ERR_LIMIT,
                "timezone: the clocks change more than %d times within the range; take a shorter range",
                QUERY_PIECES);
        query->pieces[query->piece_count] = piece_from(query, &query->pieces[query->piece_count - 1], next,
                                                       zone_offset_us(query->zone, next));
        query->piece_count++;
        at = next;
    }
    return 0;
}

static int check_interval(const struct query *query, struct err *err)
{
    int64_t interval = query->interval_us;
    if (query->interval_months != 0 && query->interval_months != 1 && query->interval_months != 3 &&
        query->interval_months != 12)
        return err_set(err, ERR_INVALID, "interval: month, quarter or year");
    if (interval < US_PER_SECOND || (interval < DAY_US ? DAY_US % interval != 0 : interval % DAY_US != 0) ||
        interval > QUERY_LATEST_US)
        return err_set(
            err, ERR_INVALID,
            "interval: whole seconds that divide a day (1s, 30s, 5m, 1h, 6h, …), whole days, or month, "
            "quarter, year");
    return 0;
}

int bucket_check(const struct query *query, struct err *err)
{
    if (query->first_day > 6 || query->piece_count > QUERY_PIECES)
        return err_set(err, ERR_INVALID, "first_day: a day of the week");
    if (query->interval_us == 0)
        return 0;
    int rc = check_interval(query, err);
    int64_t start = rc == 0 ? query_bucket(query, query->from) : query->to;
    for (int buckets = 0; start < query->to; buckets++) {
        if (buckets == QUERY_BUCKETS)
            return err_set(
                err, ERR_LIMIT,
                "interval: it cuts the range into more than %d buckets; take a longer interval or a "
                "shorter range",
                QUERY_BUCKETS);
        start = query_bucket_end(query, start);
    }
    return rc;
}
