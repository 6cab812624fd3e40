/* SPDX-License-Identifier: Apache-2.0
 *
 * metric: text exposition and the histogram behind it. See metric.h.
 */
#include "metric.h"

#include <math.h>

static const int64_t bounds_us[] = {HISTOGRAM_BOUNDS_US};
static const char *const type_names[] = {"counter", "gauge", "histogram"};

void histogram_record(struct histogram *histogram, int64_t duration_us, uint64_t times)
{
    size_t i = 0;
    while (i < HISTOGRAM_BUCKETS - 1 && duration_us > bounds_us[i])
        i++;
    histogram->bucket[i] += times;
    histogram->sum_us += duration_us > 0 ? (uint64_t)duration_us * times : 0;
}

int64_t histogram_quantile_us(const struct histogram *now, const struct histogram *before, double quantile)
{
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += now->bucket[i] - before->bucket[i];
    if (total == 0)
        return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        below += now->bucket[i] - before->bucket[i];
        if ((double)below >= quantile * (double)total)
            return bounds_us[i];
    }
    return bounds_us[HISTOGRAM_BUCKETS - 2];
}

int metric_family(struct buf *out, const char *prefix, const char *name, enum metric_type type,
                  const char *help)
{
    return buf_addf(out, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, name, help, prefix, name,
                    type_names[type]);
}

int metric_sample(struct buf *out, const char *prefix, const char *name, const char *labels, double value)
{
    const char *open = labels[0] != '\0' ? "{" : "", *shut = labels[0] != '\0' ? "}" : "";
    int decimals = value == floor(value) ? 0 : 6;
    return buf_addf(out, "%s%s%s%s%s %.*f\n", prefix, name, open, labels, shut, decimals, value);
}

int metric_histogram(struct buf *out, const char *prefix, const char *name, const struct histogram *histogram)
{
    uint64_t count = 0;
    int rc = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1 && rc == 0; i++) {
        count += histogram->bucket[i];
        rc = buf_addf(out, "%s%s_bucket{le=\"%g\"} %llu\n", prefix, name, (double)bounds_us[i] / 1e6,
                      (unsigned long long)count);
    }
    if (rc != 0)
        return rc;
    count += histogram->bucket[HISTOGRAM_BUCKETS - 1];
    return buf_addf(out, "%s%s_bucket{le=\"+Inf\"} %llu\n%s%s_sum %.6f\n%s%s_count %llu\n", prefix, name,
                    (unsigned long long)count, prefix, name, (double)histogram->sum_us / 1e6, prefix, name,
                    (unsigned long long)count);
}
