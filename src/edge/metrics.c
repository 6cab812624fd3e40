/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics: the table as Prometheus text. See metrics.h.
 */
#include "metrics.h"

#define PREFIX      "policy_proxy_"
#define SECONDS(us) ((double)(us) / 1e6)

static int render_plain(const struct snapshot *from, struct buf *out)
{
    const struct {
        const char *name, *help;
        enum metric_type type;
        double value;
    } rows[] = {
#define METRIC(name, type, help, value) {#name, help, METRIC_##type, (double)(value)},
#include "metrics.def"
#undef METRIC
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && rc == 0; i++) {
        rc = metric_family(out, PREFIX, rows[i].name, rows[i].type, rows[i].help);
        if (rc == 0)
            rc = metric_sample(out, PREFIX, rows[i].name, "", rows[i].value);
    }
    return rc;
}

static int render_state(const struct snapshot *from, struct buf *out)
{
    static const char *const labels[] = {
        [UPLINK_CONNECTING] = "state=\"connecting\"",
        [UPLINK_GREETING] = "state=\"greeting\"",
        [UPLINK_READY] = "state=\"ready\"",
        [UPLINK_REFUSED] = "state=\"refused\"",
    };
    int rc = metric_family(out, PREFIX, "uplink_state", METRIC_GAUGE, "1 for the state the uplink is in.");
    for (size_t i = 0; i < sizeof labels / sizeof *labels && rc == 0; i++)
        rc = metric_sample(out, PREFIX, "uplink_state", labels[i],
                           from->greets && from->uplink.state == (enum uplink_state)i);
    return rc;
}

int metrics_render(const struct snapshot *from, struct buf *out)
{
    static const char answer[] = "answer_seconds";
    int rc = metric_family(out, PREFIX, "build_info", METRIC_GAUGE, "Version of policy-proxy.");
    if (rc == 0)
        rc = metric_sample(out, PREFIX, "build_info", "version=\"" VERSION "\"", 1);
    if (rc == 0)
        rc =
            metric_family(out, PREFIX, answer, METRIC_HISTOGRAM,
                          "From the start of the loop turn that read a request to its answer in the socket.");
    if (rc == 0)
        rc = metric_histogram(out, PREFIX, answer, &from->port->answer);
    if (rc == 0)
        rc = render_state(from, out);
    return rc == 0 ? render_plain(from, out) : rc;
}
