/* SPDX-License-Identifier: Apache-2.0
 *
 * figures: see figures.h.
 */
#include "figures.h"

#include "api/field.h"
#include "base/clock.h"
#include "base/metric.h"
#include "loop/process.h"

#define PREFIX "mail_analytics_"

/* Groups follow each other in the table: a new name closes the object before it. */
static int write_figure(struct buf *out, const char **group, const char *its_group, const char *name,
                        int64_t value)
{
    bool first = *group == NULL || strcmp(*group, its_group) != 0;
    int rc = 0;
    if (first)
        rc = buf_addf(out, "%s,\"%s\":{", *group != NULL ? "}" : "", its_group);
    *group = its_group;
    return rc != 0 ? rc : buf_addf(out, "%s\"%s\":%lld", first ? "" : ",", name, (long long)value);
}

int figures_write_json(const struct figures *f, struct buf *out)
{
    const char *group = NULL;
    int rc = buf_addf(out, "{\"running\":true,\"version\":\"" VERSION "\",\"uptime_us\":%lld,\"engine\":",
                      (long long)f->uptime_us);
    if (rc == 0)
        rc = field_write(out, slice_of(f->engine));
    if (rc == 0)
        rc = buf_addf(out, ",\"server_key\":");
    if (rc == 0)
        rc = field_write(out, slice_of(f->public_key));
    if (rc == 0)
        rc = buf_addf(out, ",\"store_error\":");
    if (rc == 0)
        rc = f->store_error[0] != '\0' ? field_write(out, slice_of(f->store_error)) : buf_addf(out, "null");
#define FIGURE(its_group, name, type, value, help)                                                           \
    if (rc == 0)                                                                                             \
        rc = write_figure(out, &group, #its_group, #name, (int64_t)(value));
#include "figures.def"
#undef FIGURE
    return rc != 0 ? rc : buf_addf(out, "}}");
}

static int write_metric(struct buf *out, const char *name, enum metric_type type, const char *help,
                        double value)
{
    int rc = metric_family(out, PREFIX, name, type, help);
    return rc != 0 ? rc : metric_sample(out, PREFIX, name, "", value);
}

static int write_process(struct buf *out)
{
    struct process_facts facts;
    process_get_facts(&facts);
    int rc =
        write_metric(out, "process_cpu_seconds_total", METRIC_COUNTER, "processor time", facts.cpu_seconds);
    if (rc == 0)
        rc = write_metric(out, "process_resident_bytes", METRIC_GAUGE, "resident memory",
                          (double)facts.resident_bytes);
    if (rc == 0)
        rc = write_metric(out, "process_open_descriptors", METRIC_GAUGE, "open file descriptors",
                          (double)facts.open_descriptors);
    return rc != 0 ? rc
                   : write_metric(out, "process_start_seconds", METRIC_GAUGE, "Unix time of the start",
                                  facts.start_seconds);
}

int figures_write_metrics(const struct figures *f, struct buf *out)
{
    int rc = metric_family(out, PREFIX, "build_info", METRIC_GAUGE, "always 1; the version is a label");
    if (rc == 0)
        rc = metric_sample(out, PREFIX, "build_info", "version=\"" VERSION "\"", 1);
#define NAME_COUNTER(name) name "_total"
#define NAME_GAUGE(name)   name
#define FIGURE(group, name, type, value, help)                                                               \
    if (rc == 0)                                                                                             \
        rc = write_metric(out, NAME_##type(#group "_" #name), METRIC_##type, help, (double)(value));
#include "figures.def"
#undef FIGURE
    return rc != 0 ? rc : write_process(out);
}
