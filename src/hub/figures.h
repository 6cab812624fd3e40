/* SPDX-License-Identifier: Apache-2.0
 *
 * figures: what the hub counts (figures.def), taken at one moment, as Prometheus text and as the JSON of
 * GET /api/v1/status. Pure but for taking.
 */
#ifndef HUB_FIGURES_H
#define HUB_FIGURES_H

#include "control.h"
#include "direct.h"
#include "ingest.h"
#include "jobs.h"
#include "loader.h"
#include "receive.h"
#include "web.h"

struct figures {
    struct receive_stats receive;
    struct loader_stats loader;
    struct store_stats store;
    struct journal_stats journal;
    struct control_stats control;
    struct direct_stats direct;
    struct web_stats http;
    struct ingest_stats ingest;
    struct jobs_stats jobs;
    struct live_stats live;
    bool store_open, store_opening;
    int64_t uptime_us;
    const char *engine;
    char store_error[ERR_DETAIL_BYTES]; /* why it isn't open, or why the loader stalls; empty: all is well */
    char public_key[41];
};

MUST_CHECK int figures_write_json(const struct figures *figures, struct buf *out);
MUST_CHECK int figures_write_metrics(const struct figures *figures, struct buf *out);

#endif
