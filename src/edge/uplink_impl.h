/* SPDX-License-Identifier: Apache-2.0
 *
 * uplink_impl: what the files of the uplink share. Not for others.
 */
#ifndef EDGE_UPLINK_IMPL_H
#define EDGE_UPLINK_IMPL_H

#include "base/clock.h"
#include "base/log.h"
#include "link.h"
#include "outbox.h"
#include "probe.h"
#include "resolve.h"
#include "tunnel.h"
#include "uplink.h"
#include "wake.h"

#include <pthread.h>
#include <stdatomic.h>

enum { UPLINK_ENDPOINT_BYTES = 300, UPLINK_PATH_BYTES = 1024 };

/* The edge's clock against the hub's, as the last good round trip told; a step of the own clock since then is
 * seen against the monotonic one. */
struct offset {
    bool known;
    int64_t offset_us, step_base_us, round_trip_us, measured_us;
};

struct uplink {
    char server[UPLINK_ENDPOINT_BYTES], server_key[CURVE_Z85_BYTES], api_key[FRAME_KEY_BYTES + 1];
    char edge_id[BATCH_EDGE_BYTES + 1], host[FRAME_HOST_BYTES + 1];
    int64_t keepalive_us;
    enum uplink_transport transport;
    struct https_options https;
    char https_ca[UPLINK_PATH_BYTES],
        https_to[UPLINK_ENDPOINT_BYTES]; /* to: the server's or the proxy's, as an endpoint */
    struct curve_keys keys;
    struct spool *spool;
    struct wake *wake;
    pthread_t thread;
    atomic_bool stop;
    _Atomic int64_t drain_until_us; /* monotonic */
    _Atomic uint64_t answers, latency_p99_us;
    /* the thread's own: */
    struct outbox *outbox;
    struct link link;
    bool by_https;            /* this round of attempts, and the session that comes of it */
    struct probe probe;       /* for the way back, while by_https in UPLINK_AUTO */
    struct tunnel *tunnel;    /* NULL: none */
    struct resolve *resolve;  /* the hub's name is looked up; NULL: it is not */
    struct resolved resolved; /* this round of attempts goes through these */
    size_t tried;             /* of them */
    struct frame out;         /* large */
    enum uplink_state state;
    uint32_t greeting, window;
    int64_t retry_at_us, backoff_us; /* monotonic; while the link is closed */
    int64_t deadline_us;             /* of CONNECTING and GREETING */
    int64_t asked_us;                /* HELLO or STATUS whose answer is awaited; 0: none */
    int64_t status_at_us;            /* next STATUS */
    int64_t ready_since_us;
    int64_t retire_at_us, maintain_at_us, publish_at_us;
    struct offset offset;
    int64_t zmq_since_us; /* its last session, in UPLINK_AUTO; 0: none since the last fall back */
    bool fell_back;       /* the last session was one of HTTPS, in UPLINK_AUTO */
    bool reading_failed, said_refused;
    uint32_t random;
    struct uplink_stats own;
    /* shared: */
    pthread_mutex_t stats_lock;
    struct uplink_stats stats;
};

/* dialogue.c: what is said to the hub and what it answers. now_us is monotonic. */
void uplink_greet(struct uplink *uplink, int64_t now_us);
void uplink_hear(struct uplink *uplink, int64_t now_us); /* every frame that is there */
void uplink_ship(struct uplink *uplink, int64_t now_us); /* while READY: batches and STATUS */
int64_t uplink_ship_at_us(const struct uplink *uplink);  /* when a batch that is being filled is to go */
int64_t uplink_offset_us(const struct uplink *uplink);

/* uplink_options.c: copies them. ERR_CONFIG. */
MUST_CHECK int uplink_take_options(struct uplink *uplink, const struct uplink_options *options,
                                   struct err *err);

/* A tunnel as the options ask for it; *out stays NULL when they don't. name: that of its socket. ERR_CONFIG.
 */
MUST_CHECK int uplink_open_tunnel(struct tunnel **out, const struct uplink_options *options, const char *name,
                                  struct err *err);

/* uplink.c: the connection is over, or is to be; tries again later (back-off). why is for people. */
void uplink_lose(struct uplink *uplink, int64_t now_us, const char *why);

#endif
