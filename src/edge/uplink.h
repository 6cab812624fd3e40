/* SPDX-License-Identifier: Apache-2.0
 *
 * uplink: carries a spool to the hub, in a thread of its own so that the answer path never feels it. Reads
 * synced records from the spool's journal in order, sends them as batches within the hub's credit window,
 * retires what the hub acked, greets anew after loss, refusal or silence (back-off with jitter, 0.1 to 30 s),
 * and runs journal_maintain. Over ZeroMQ, over HTTPS, or over HTTPS while ZeroMQ's port is closed: what was
 * sent on one way and not acked goes again on the other, and the hub's WELCOME says what it has.
 */
#ifndef EDGE_UPLINK_H
#define EDGE_UPLINK_H

#include "journal/spool.h"

struct uplink;

enum uplink_transport { UPLINK_ZMQ, UPLINK_HTTPS, UPLINK_AUTO };

struct uplink_options {
    const char *server;     /* ZeroMQ endpoint: tcp://hub.example:4000 */
    const char *server_key; /* the hub's CURVE public key, Z85, 40 characters */
    const char *key_file;   /* this edge's CURVE secret, made at first use, mode 0600 */
    const char *api_key;
    const char *edge_id;
    int64_t keepalive_us;
    enum uplink_transport transport;
    /* for HTTPS; pin or authorities are there, "" or NULL for none: */
    const char *https_server; /* https://hub.example:8443 */
    const char *https_pin;    /* sha256//… */
    const char *https_ca;     /* a file */
    const char *https_proxy;  /* HOST:PORT */
    /* for UPLINK_ZMQ through a tunnel (tunnel.h); "" or NULL: none */
    const char *via_ssh, *ssh_key, *ssh_known_hosts;
    const char *ssh_socket; /* without its end, ".sock" */
};

enum uplink_state { UPLINK_CONNECTING, UPLINK_GREETING, UPLINK_READY, UPLINK_REFUSED };

struct uplink_stats {
    enum uplink_state state;
    char refusal[128]; /* the hub's last code and reason, empty when ready */
    uint64_t batches_sent, records_sent, bytes_sent, acks, records_acked, refusals, connects;
    uint64_t unsendable;     /* records too large for a batch, passed over */
    uint64_t in_flight;      /* batches sent and not acked */
    int64_t lag_us;          /* age of the oldest record not acked; 0 when there is none */
    int64_t clock_offset_us; /* own clock minus hub's, as the last WELCOME told */
    bool by_https;           /* this session, or this attempt at one */
    uint64_t fallbacks;      /* sessions over HTTPS because ZeroMQ's port was closed */
    uint64_t returns;        /* back to ZeroMQ behind them */
};

/* The strings are copied. ERR_CONFIG (endpoint, server key, edge id), and what the key file answers. The
 * spool must stay open until uplink_stop. */
MUST_CHECK int uplink_start(struct uplink **out, const struct uplink_options *options, struct spool *spool,
                            struct err *err);
/* Sends what is synced for at most drain_us more, then ends the thread. Nulls *uplink. */
void uplink_stop(struct uplink **uplink, int64_t drain_us);
void uplink_get_stats(struct uplink *uplink, struct uplink_stats *out); /* any thread */
/* What the answering side has done, for the hub to show; tell it every few seconds. Any thread. */
void uplink_tell_answers(struct uplink *uplink, uint64_t answers, uint64_t latency_p99_us);

/* `policy-proxy check`: connects, greets, says for each step of each way that is set up (HTTPS also when only
 * its pin or authorities are) whether it works and, if not, what to do. Calls say() with one line a step. 0,
 * or the error of the first step that failed; with UPLINK_AUTO it is enough when one way works. */
MUST_CHECK int uplink_check(const struct uplink_options *options,
                            void (*say)(void *arg, bool ok, const char *line), void *arg, struct err *err);

#endif
