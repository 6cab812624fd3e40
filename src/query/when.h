/* SPDX-License-Identifier: Apache-2.0
 *
 * when: times as questions write them, on the clocks of a zone: RFC 3339, dates, and what is relative to now.
 * zone NULL: UTC. Of the query room only. Pure.
 */
#ifndef QUERY_WHEN_H
#define QUERY_WHEN_H

#include "query/zone.h"

/* "2026-03-12T14:05:09Z"; "2026-03-12", its midnight on the clocks; "now", "now-24h", "now-1M/M": steps of s,
 * m, h (durations), d, w, M, y (on the clocks), then down to the beginning of one of m, h, d, w, M, y.
 * first_day: of weeks, 0 is Monday. ERR_INVALID, also beyond the years 1970 to 9999. */
MUST_CHECK int when_parse(struct slice text, int64_t now_us, const struct zone *zone, unsigned first_day,
                          int64_t *out);

/* When the clocks first show that reading (microseconds since 1970 as if it were UTC); where they jump over
 * it, the moment they do. */
int64_t when_shown(const struct zone *zone, int64_t reading);
/* What they show at ts. */
int64_t when_reading(const struct zone *zone, int64_t ts);

/* A reading moved by whole months: the day is the month's last where it has no such day. */
int64_t when_add_months(int64_t reading, int64_t months);

#endif
