/* SPDX-License-Identifier: Apache-2.0
 *
 * listener: the policy port. Accepts connections from Postfix, hands each whole request to keep(), answers
 * DUNNO. On the way of one request there are three system calls (epoll_wait, read, write), no lock, no
 * allocation, no DNS. Input: SMTPD_POLICY_README as policy.h frames it, split at any byte, several requests
 * in a segment; what is no request costs a line in the log (one in ten seconds), a counter and the
 * connection.
 *
 * Bounds: max_connections; POLICY_REQUEST_BYTES held for a connection, and only while it holds part of a
 * request; a half request older than half_timeout_us closes its connection; answers that the peer doesn't
 * read are queued up to LISTENER_UNSENT_BYTES, then it is closed.
 *
 * All on the loop's thread.
 */
#ifndef EDGE_LISTENER_H
#define EDGE_LISTENER_H

#include "base/ip.h"
#include "base/metric.h"

#include <uv.h>

enum {
    LISTENER_UNSENT_BYTES = 16 * 1024,
    LISTENER_ANSWER_WITHIN_MS = 45, /* the promise is 50: the rest is for waking up and sending */
};

#define LISTENER_HALF_TIMEOUT_US (100 * US_PER_SECOND) /* Postfix's own smtpd_policy_service_timeout */

struct listener;

struct listener_options {
    uint64_t max_connections;
    int64_t half_timeout_us;
    bool wait_synced; /* answers wait for listener_synced, at most LISTENER_ANSWER_WITHIN_MS */

    /* May this peer (all zero: unix socket) ask? Once a connection. */
    bool (*admit)(void *arg, const struct ip *peer);
    /* Keeps one whole request, as sent, with its empty line; ts_us is its arrival (wall clock, once a loop
     * turn). Must not block. 0 and its seq, or an error: it is answered all the same and counted lost. */
    int (*keep)(void *arg, const struct ip *peer, int64_t ts_us, struct slice request, uint64_t *seq);
    void *arg;
};

struct listener_stats {
    uint64_t open; /* connections now */
    uint64_t accepted;
    uint64_t refused; /* not admitted */
    uint64_t evicted; /* closed for a newer one, or turned away, at max_connections */
    uint64_t requests;
    uint64_t answered;
    uint64_t answered_lost;     /* keep failed */
    uint64_t answered_unsynced; /* the wait ran out */
    uint64_t garbage;
    uint64_t stale;          /* half requests given up */
    uint64_t slow;           /* closed with too many unread answers */
    struct histogram answer; /* first read of the loop's turn → the end of the turn that sent the answer */
};

MUST_CHECK int listener_create(struct listener **out, uv_loop_t *loop, const struct listener_options *options,
                               struct err *err);
/* Listens on one more socket; takes fd, also when it fails. unlink_at_close: a unix socket's file is ours. */
MUST_CHECK int listener_add(struct listener *listener, int fd, bool unlink_at_close, struct err *err);

/* Says in the log where it listens. */
void listener_announce(const struct listener *listener);

/* Everything up to seq is safe: lets the answers go that waited for it. */
void listener_synced(struct listener *listener, uint64_t seq);

/* No new connections; those that are open are served on. */
void listener_stop(struct listener *listener);
/* Sends the answers that wait, closes everything; the memory goes with the last close callback. Nulls
 * *listener; safe on NULL. */
void listener_destroy(struct listener **listener);

const struct listener_stats *listener_get_stats(const struct listener *listener);

#endif
