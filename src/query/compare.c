/* SPDX-License-Identifier: Apache-2.0
 *
 * compare: see compare.h. Periods move on the clocks of the question's zone, so that days stay days where the
 * clocks change between the two. Buckets are compared by their number: the first with the first. So that they
 * begin alike, the step back is a whole number of intervals, and of weeks where the range has a week or more:
 * a Monday is held against a Monday.
 */
#include "query/compare.h"

#include "query/bucket.h"
#include "query/derive.h"
#include "query/value.h"
#include "query/when.h"

#include <stdlib.h>

#define WEEK_US (7 * QUERY_DAY_US)

static bool is_midnight(int64_t reading)
{
    return reading % QUERY_DAY_US == 0;
}

static bool is_first_of_month(int64_t reading)
{
    int64_t year;
    unsigned month, day;
    zone_date(reading / QUERY_DAY_US, &year, &month, &day);
    return is_midnight(reading) && day == 1;
}

/* The fewest months, in steps, that lead from one reading to the other or beyond. */
static int64_t months_between(int64_t from, int64_t to, int64_t step)
{
    int64_t months = step;
    while (when_add_months(from, months) < to)
        months += step;
    return months;
}

static int64_t round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* How far the previous period lies back; *months instead where the calendar counts. */
static int64_t step_back(const struct query *query, int64_t from, int64_t to, int64_t *months)
{
    int64_t unit = query->interval_us > 0 ? query->interval_us : US_PER_SECOND, length = to - from;
    *months = 0;
    if (query->interval_months > 0)
        *months = months_between(from, to, query->interval_months);
    else if (unit <= QUERY_DAY_US && is_first_of_month(from) && is_first_of_month(to))
        *months = months_between(from, to, 1);
    if (length >= WEEK_US && WEEK_US % unit == 0)
        unit = WEEK_US;
    return round_up(length, unit);
}

static void move_back(struct query *query, int64_t from, int64_t to, int64_t step_us, int64_t months)
{
    const struct zone *zone = query->zone;
    if (months == 0 && step_us % QUERY_DAY_US != 0) { /* hours are hours, whatever the clocks show */
        query->before_from = query->from - step_us;
        query->before_to = query->to - step_us;
        return;
    }
    query->before_from = when_shown(zone, when_add_months(from, -months) - (months == 0 ? step_us : 0));
    query->before_to = when_shown(zone, when_add_months(to, -months) - (months == 0 ? step_us : 0));
}

int compare_open(struct query *query, const char *what, int64_t now_us, struct err *err)
{
    int64_t from = when_reading(query->zone, query->from), to = when_reading(query->zone, query->to), months;
    query->compares = true;
    if (strcmp(what, "previous") == 0) {
        int64_t step_us = step_back(query, from, to, &months);
        move_back(query, from, to, step_us, months);
    } else if (strcmp(what, "week") == 0) {
        move_back(query, from, to, WEEK_US, 0);
    } else if (strcmp(what, "year") == 0) {
        move_back(query, from, to, 0, 12);
    } else {
        if (when_parse(slice_of(what), now_us, query->zone, query->first_day, &query->before_from) != 0)
            return err_set(
                err, ERR_INVALID,
                "compare: previous, week, year, or the time at which the other period begins, not '%s'",
                value_shown(what));
        bool days = is_midnight(from) && is_midnight(to);
        query->before_to =
            days ? when_shown(query->zone, when_reading(query->zone, query->before_from) + to - from)
                 : query->before_from + query->to - query->from;
    }
    if (query->before_from < 0 || query->before_from >= query->before_to ||
        query->before_to > QUERY_LATEST_US)
        return err_set(err, ERR_INVALID,
                       "compare: the other period must lie between the years 1970 and 9999");
    return 0;
}

int query_before_open(const struct query *query, struct query *out, struct err *err)
{
    *out = *query;
    out->from = query->before_from;
    out->to = query->before_to;
    out->compares = false;
    out->pieces = NULL;
    out->piece_count = 0;
    int rc = out->zone != NULL ? bucket_open(out, err) : 0;
    if (rc == 0)
        rc = bucket_check(out, err);
    if (rc != 0)
        query_before_close(out);
    return rc;
}

void query_before_close(struct query *before)
{
    free(before->pieces);
    before->pieces = NULL;
    before->piece_count = 0;
}
