/* SPDX-License-Identifier: Apache-2.0
 *
 * live: GET /api/v1/live: what is being loaded, told to WebSocket clients four times a second
 * (docs/reference/live.md). A client says what it wants to see (subscription.h); those who want the same
 * share one count and one text (audience.h). A client that doesn't take what it is sent is sent nothing more;
 * what it missed is counted for it, and it gets the sum once it takes again. So a client costs what
 * LIVE_UNSENT_BYTES and one batch are at most, and nobody else's time.
 */
#ifndef HUB_LIVE_H
#define HUB_LIVE_H

#include "audience.h"

#include "http/http.h"

enum {
    LIVE_TICK_MS = 1000 / AUDIENCE_SLOTS_PER_SECOND,
    LIVE_QUIET_MS = 1000,          /* a batch without news at the latest after this */
    LIVE_CHECK_MS = 5000,          /* between two looks whether clients may still be there */
    LIVE_SUBSCRIBE_MS = 10000,     /* until the first subscription */
    LIVE_SUBSCRIPTIONS = 20,       /* of a client in each of these */
    LIVE_UNSENT_BYTES = 64 * 1024, /* beyond it a client has fallen behind */
    LIVE_BATCH_BYTES = 480 * 1024, /* of a batch at most */
    LIVE_SHARE = 2,                /* one tenant's clients have at most one part in so many of all */
};

struct live;

struct live_stats {
    uint64_t clients;
    uint64_t batches; /* sent */
    uint64_t events;  /* shown in them */
    uint64_t sampled; /* that matched and were not shown, for there were too many */
    uint64_t dropped; /* batches that were not sent, for the client had fallen behind */
    uint64_t refused; /* clients turned away, for there were too many */
};

struct live_options {
    unsigned clients;             /* at once */
    int64_t (*lag_us)(void *arg); /* loop thread: of the hub, when it is behind; else 0 */
    void *arg;
};

/* Loop thread. ERR_NO_MEMORY. */
MUST_CHECK int live_create(struct live **out, uv_loop_t *loop, const struct live_options *options);
void live_stop(struct live *live);     /* no more batches; safe on NULL */
void live_destroy(struct live **live); /* after the loop ran out; safe on NULL */

/* What a client showed to be let in; its maker knows what that is. */
struct live_pass {
    void (*destroy)(struct live_pass *pass); /* any thread */
};
/* Passes are looked at again each LIVE_CHECK_MS, on a worker thread; who has lost its right is closed. Loop
 * thread, before the first client. */
void live_check_with(struct live *live, bool (*may_stay)(void *arg, const struct live_pass *pass), void *arg);

/* Any thread: a client of that tenant (0: of all, the operator), as the answer to its request: 101, or 503.
 * It lives until its socket is closed. Takes the pass. */
void live_accept(struct live *live, uint32_t tenant, struct live_pass *taken, struct http_reply *reply);

/* For audience_publish. */
struct audience *live_audience(struct live *live);
void live_get_stats(const struct live *live, struct live_stats *out); /* any thread */

#endif
