/* SPDX-License-Identifier: Apache-2.0
 *
 * metric: Prometheus text exposition format 0.0.4, and a latency histogram that is cheap to record. Names and
 * label values come from our own tables, never from input. Pure; a histogram belongs to one thread.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include "buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Upper bounds of the histogram's buckets in microseconds; one more bucket takes everything above. */
#define HISTOGRAM_BOUNDS_US                                                                                  \
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000

enum { HISTOGRAM_BUCKETS = sizeof((int[]){HISTOGRAM_BOUNDS_US}) / sizeof(int) + 1 };

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS]; /* not cumulative */
    uint64_t sum_us;
};

/* Counts `times` observations of the same duration; a negative one (never seen from a monotonic clock) is 0.
 */
void histogram_record(struct histogram *histogram, int64_t duration_us, uint64_t times);

/* The upper bound of the bucket that holds the quantile (0 to 1) of what `now` counted and `before` had not;
 * 0 without any. Above the last bound: the last bound. */
int64_t histogram_quantile_us(const struct histogram *now, const struct histogram *before, double quantile);

/* "# HELP" and "# TYPE" of prefix + name. ERR_LIMIT, ERR_NO_MEMORY (here and below). */
MUST_CHECK int metric_family(struct buf *out, const char *prefix, const char *name, enum metric_type type,
                             const char *help);

/* One sample. labels is "" or `key="value",...` without braces. Whole numbers are written exactly up to 2^53.
 */
MUST_CHECK int metric_sample(struct buf *out, const char *prefix, const char *name, const char *labels,
                             double value);

/* The buckets (in seconds), _sum and _count of one histogram. */
MUST_CHECK int metric_histogram(struct buf *out, const char *prefix, const char *name,
                                const struct histogram *histogram);

#endif
