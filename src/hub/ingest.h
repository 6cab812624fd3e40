/* SPDX-License-Identifier: Apache-2.0
 *
 * ingest: POST /api/v1/ingest: what comes for the journal by HTTP. Two kinds of bodies: an edge's frames
 * (wire/parcel.h), where the API key is judged with the greeting as over ZeroMQ, and other programs' events
 * as lines of JSON (lines.h), where it is judged here. A thread of its own checks and cuts what came; the
 * receiving thread journals it (post.h); the reply leaves after the fdatasync, and meanwhile nobody waits: no
 * worker of http, nor its loop.
 *
 * Lines are answered with what became of them, all in one:
 *   {"accepted": 2, "known": 1, "refused": 1, "refusals": [{"line": 4, "count": 1, "code": "invalid", …}]}
 * Whatever is sent again is known, in whatever portions. When any line was refused for a reason of the hub's
 * own (its disk is full), the reply is 503 with Retry-After: all of it is to be sent again.
 */
#ifndef HUB_INGEST_H
#define HUB_INGEST_H

#include "http/http.h"
#include "receive.h"

enum {
    INGEST_BODY_BYTES = 8 * 1024 * 1024,
    INGEST_JOBS = 256,     /* at once; beyond it 503 */
    INGEST_REFUSALS = 100, /* told one by one; the rest is counted */
    INGEST_ROUNDS = 8,     /* how often what another request overtook is cut anew */
};
#define INGEST_LINES_TYPE "application/x-ndjson"

struct ingest;

struct ingest_stats {
    uint64_t requests, parcels, bad_parcels; /* bad: no parcel, or none of this hub's edges */
    uint64_t lines_accepted, lines_known, lines_refused;
};

/* Starts the thread. receive outlives it; account_path is opened by the thread's first need. ERR_NO_MEMORY.
 */
MUST_CHECK int ingest_start(struct ingest **out, struct receive *receive, const char *account_path,
                            struct err *err);
/* Once no request comes any more, and before receive_stop: those in hand are answered. Safe on NULL. */
void ingest_stop(struct ingest **ingest);

/* A handler of http (HTTP_LATER). Loop thread. */
void ingest_handle(struct ingest *ingest, const struct http_request *request, struct http_reply *reply);
void ingest_get_stats(struct ingest *ingest, struct ingest_stats *out); /* any thread */

#endif
