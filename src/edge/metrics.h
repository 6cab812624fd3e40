/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics: /metrics of policy-proxy, from the one table metrics.def. Pure: it gets a snapshot.
 */
#ifndef EDGE_METRICS_H
#define EDGE_METRICS_H

#include "listener.h"
#include "loop/process.h"
#include "uplink.h"

struct snapshot {
    const struct listener_stats *port;
    struct spool_stats spool;
    struct uplink_stats uplink; /* all zero when it doesn't run */
    struct process_facts process;
    uint64_t max_connections, spool_max_bytes, reloads;
    bool greets; /* server_key and api_key are set */
    double oldest_seconds;
};

/* ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int metrics_render(const struct snapshot *from, struct buf *out);

#endif
