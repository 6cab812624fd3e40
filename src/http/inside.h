/* SPDX-License-Identifier: Apache-2.0
 *
 * inside: what the files of this room share: the server, a connection, and an exchange (one request with its
 * reply). A connection has one exchange at a time. It dies when its handle is closed and its handler, if one
 * works, has come back. Within the room only; loop thread, but for what says otherwise.
 */
#ifndef HTTP_INSIDE_H
#define HTTP_INSIDE_H

#include "chunked.h"
#include "http.h"
#include "loop/conn.h"
#include "loop/ticker.h"

enum { READ_BYTES = 64 * 1024, INPUT_BYTES = HTTP_HEAD_BYTES + READ_BYTES };

/*  state        what is read           its deadline             what ends it
 *  IDLE         a first byte           idle_ms                  HEAD
 *  HEAD         the head               head_ms                  BODY, WAITING, WORKING, or WRITING a refusal
 *  BODY         the body               body_ms                  WAITING, WORKING, or WRITING a refusal
 *  WAITING      no more than INPUT     request_ms: 503          WORKING
 *  WORKING      no more than INPUT     what is left: `gone`     WRITING
 *  WRITING      no more than INPUT     reply_ms                 IDLE, HEAD (pipelined) or LINGERING
 *  LINGERING    and forgotten          HTTP_LINGER_MS           the end */
enum state { IDLE, HEAD, BODY, WAITING, WORKING, WRITING, LINGERING };

struct exchange {
    struct connection *connection;
    struct exchange *next; /* of those that wait */
    struct buf head_bytes, body, head_out;
    struct http_head head;
    const struct http_route *route;
    struct http_chunked chunked;
    size_t shared_body, shared_reply; /* its part of the server's budgets */
    struct http_request request;
    struct http_reply reply;
    char id[HTTP_ID_BYTES];
    uv_work_t work;
    uv_write_t write;
    atomic_bool gone;
    _Atomic bool
        worker_has_it; /* passes the exchange to the worker and back; libuv's locks do that already, */
                       /* but race detectors can't look into libuv */
};

struct connection {
    struct conn conn; /* first */
    struct http *http;
    struct connection *prev, *next;
    struct ticker *deadline;
    uv_shutdown_t shutdown;
    struct buf in;
    size_t scanned, lingered;
    enum state state;
    struct exchange *now;
    bool reading, last, closed;
};

struct http {
    uv_loop_t *loop;
    struct acceptor *acceptor;
    struct http_options options;
    struct connection *connections;
    struct exchange *first, **last; /* waiting */
    unsigned waiting, working;
    size_t bodies_bytes, replies_bytes;
    uint64_t id_seed, id_count;
    bool closing;
    char read[READ_BYTES];
    struct http_counters *counters;
    unsigned open;
};

/* connection.c */
void connection_accept(struct http *http, struct acceptor *acceptor);
void connection_end(struct connection *connection); /* because the server closes */
/* The exchange has its reply: it is sent. Takes the exchange back from exchange.c. */
void connection_reply(struct connection *connection);
void connection_leave(struct connection *connection);

/* exchange.c */
struct exchange *exchange_create(struct connection *connection); /* NULL: no memory */
void exchange_destroy(struct exchange **exchange);
/* The request is whole: to its handler, now or when one is free, or 503. */
void exchange_start(struct exchange *exchange);
void exchange_refuse(struct exchange *exchange, int status, const char *why); /* fills the reply */
void exchange_withdraw(struct exchange *exchange);                            /* out of those that wait */
void exchange_cancel(struct exchange *exchange); /* nobody waits for it any more; its handler may work */

/* http.c */
void http_free_when_done(struct http *http);

#endif
