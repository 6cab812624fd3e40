/* SPDX-License-Identifier: Apache-2.0
 *
 * inside: what the files of this room share: the server, a connection, the protocol that is spoken on it, and
 * an exchange (one request with its reply). Within the room only; loop thread, but for what says otherwise.
 */
#ifndef HTTP_INSIDE_H
#define HTTP_INSIDE_H

#include "bell.h"
#include "channel.h"
#include "chunked.h"
#include "http.h"
#include "loop/ticker.h"
#include "tls.h"
#include "upgrade.h"

enum { INPUT_BYTES = HTTP_HEAD_BYTES + CHANNEL_READ_BYTES };

/*  state        what happens                            what ends it
 *  OPEN         it is being read                        WAITING, WORKING or ANSWERED
 *  WAITING      behind others, for a worker             WORKING, or ANSWERED with 503
 *  WORKING      its handler works                       BEGUN or ANSWERED
 *  BEGUN        likewise, and its owner sends already   ANSWERED
 *  ANSWERED     its owner sends the reply               the end */
enum exchange_state { OPEN, WAITING, WORKING, BEGUN, ANSWERED };

struct exchange;

/* Whoever speaks for an exchange: a connection of HTTP/1.1, a stream of HTTP/2. */
struct exchange_owner {
    void (*answered)(struct exchange *exchange); /* it has its reply: send it */
    /* Of a reply that is written piece by piece, instead: the head's part of it is there, bytes are pending,
     * or they have come to their end: exchange_pending, exchange_taken, exchange_reply_end. */
    void (*more)(struct exchange *exchange);
};

/* What comes behind the bytes that are pending. */
enum reply_end {
    END_NOT_YET,
    END_WHOLE,
    END_BROKEN /* the client has to see that it was not all */
};

struct exchange {
    struct http *http;
    const struct exchange_owner *owner; /* NULL once abandoned */
    void *owner_data;
    struct exchange *next; /* of those that wait, or of those at workers */
    uint64_t client;       /* whose it is, for fairness */
    enum exchange_state state;
    struct buf head_bytes, body, head_out;
    struct http_head head;
    const struct http_route *route;
    size_t shared_body, shared_reply; /* its part of the server's budgets */
    struct http_request request;
    struct http_reply reply;
    char id[HTTP_ID_BYTES];
    char accept[UPGRADE_ACCEPT_BYTES]; /* of HTTP_UPGRADE */
    uv_work_t work;
    struct http_stream *stream; /* of HTTP_STREAM, since its handler works */
    struct exchange *next_rung; /* of the bell */
    bool rung;
    atomic_bool gone;
    _Atomic bool
        worker_has_it; /* passes the exchange to the worker and back; libuv's locks do that already, */
                       /* but race detectors can't look into libuv */
};

struct connection;

/* What is spoken on a connection. After channel_close only fini is called. */
struct protocol {
    int (*begin)(struct connection *connection); /* ERR_NO_MEMORY */
    void (*read)(struct connection *connection, struct slice bytes);
    void (*ended)(struct connection *connection, bool reset);
    void (*written)(struct connection *connection, int status);
    void (*deadline)(struct connection *connection);
    void (*refuse)(struct connection *connection,
                   const char *why);              /* 503 before the first request, then the end */
    void (*stop)(struct connection *connection);  /* the server closes */
    void (*leave)(struct connection *connection); /* it is being closed: nobody waits for its exchanges */
    void (*fini)(struct connection *connection);
};

struct connection {
    struct channel channel; /* first */
    struct http *http;
    struct connection *prev, *next;
    struct ticker *deadline;
    const struct protocol *protocol; /* known when there is a speaker */
    void *speaker;                   /* the protocol's own; NULL: none yet */
    bool is_socket;                  /* a WebSocket: whoever owns those bounds them */
};

struct http {
    uv_loop_t *loop;
    struct acceptor *acceptor, *secure_acceptor; /* NULL: none */
    struct tls *tls;                             /* of secure_acceptor */
    struct ticker *upkeep;                       /* of tls */
    struct http_options options;
    struct connection *connections;
    struct exchange *first, **last; /* waiting */
    struct exchange *at_work;       /* at workers */
    unsigned waiting, working, streams, laters;
    unsigned h2_streams;
    struct bell bell;
    size_t bodies_bytes, replies_bytes;
    uint64_t id_seed, id_count;
    bool closing;
    char room[CHANNEL_READ_BYTES];
    struct http_counters *counters;
    unsigned open, sockets; /* sockets: of those that are open */
};

extern const struct protocol h1_protocol; /* h1.c: HTTP/1.1 */
extern const struct protocol h2_protocol; /* h2.c: HTTP/2 */

/* connection.c */
void connection_accept(struct http *http, struct acceptor *acceptor, bool secure);
void connection_end(struct connection *connection); /* because the server closes */
void connection_leave(struct connection *connection);
void connection_read(struct connection *connection, bool on); /* or it leaves */

/* exchange.c */
/* peer: of the connection. NULL: no memory. */
struct exchange *exchange_create(struct http *http, const struct exchange_owner *owner, void *owner_data);
void exchange_destroy(struct exchange **exchange); /* not while it waits or works; safe on NULL */
/* Nobody waits for it any more. It is destroyed, when a handler works on it, after that. Nulls *exchange;
 * safe on NULL. */
void exchange_abandon(struct exchange **exchange);
/* Its head is whole in head_bytes. False: it was refused, and what comes behind it can't be told apart. */
MUST_CHECK bool exchange_parse(struct exchange *exchange);
/* Finds its route. False: it was refused, its body unread. */
MUST_CHECK bool exchange_route(struct exchange *exchange);
/* Room for a body of so many bytes in all; large ones share a budget. False: it was refused (503). */
MUST_CHECK bool exchange_prepare_body(struct exchange *exchange, size_t bytes);
/* The request is whole: to its handler, now or when one is free, or 503. */
void exchange_start(struct exchange *exchange, const struct channel *channel);
void exchange_refuse(struct exchange *exchange, int status, const char *why); /* fills the reply */
void exchange_expire(struct exchange *exchange); /* queue and handler took their time: 503, or gives up */
void exchange_drain(struct exchange *exchange);  /* the server closes: likewise */
void exchange_count(const struct exchange *exchange); /* once, when the reply is composed */
/* Of one whose owner heard `more`: */
struct slice exchange_pending(struct exchange *exchange); /* lent until taken */
void exchange_taken(struct exchange *exchange, size_t n); /* they have left */
enum reply_end exchange_reply_end(const struct exchange *exchange);
void exchange_heard(struct exchange *exchange); /* the bell rang for it */

/* http.c */
void http_free_when_done(struct http *http);

#endif
