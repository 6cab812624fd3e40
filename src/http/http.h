/* SPDX-License-Identifier: Apache-2.0
 *
 * http: an HTTP/1.1 and HTTP/2 server on the loop. Its owner hands in a table of routes; requests are read
 * here, judged (route, method, framing, length, type, credentials present), and only then given to a handler
 * on one of libuv's workers. Refusals are problem documents (RFC 9457) with a request id that X-Request-Id
 * repeats. Connections are kept alive and may be pipelined: one request of a connection is worked on at a
 * time, what was sent behind it waits in the kernel. HEAD is answered wherever GET is. Plain HTTP is local
 * only; beyond this machine it speaks TLS (tls.h).
 *
 * One client (one API key or cookie; without any, one address) has at most per_client requests at workers and
 * HTTP_WAITING_PER_CLIENT that wait (429); what waits is taken in turn from those who have room.
 *
 * Bounds, besides those of request_head.h and chunked.h: connections in all and by address (one more gets
 * 503 and the door), handlers at once, HTTP_WAITING requests behind them (503), the bytes of all large bodies
 * and of all unsent replies (503). Deadlines don't move with each byte: idle_ms between requests, head_ms
 * from a request's first byte to the end of its head, body_ms for its body (408 both), request_ms for queue
 * and handler (the handler is told to give up), reply_ms until the reply was taken.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/ip.h"
#include "request_head.h"

#include "base/buf.h"

#include <stdatomic.h>
#include <uv.h>

enum {
    HTTP_WAITING = 256, /* requests that wait for a worker */
    HTTP_WAITING_PER_CLIENT = 64,
    HTTP_SMALL_BODY_BYTES = 64 * 1024,      /* bodies beyond it share */
    HTTP_BODIES_BYTES = 64 * 1024 * 1024,   /* this */
    HTTP_REPLY_BYTES = 32 * 1024 * 1024,    /* a reply's body at most */
    HTTP_REPLIES_BYTES = 128 * 1024 * 1024, /* all that was not taken yet; beyond it no handler starts */
    HTTP_FIELDS_BYTES = 4096,               /* a handler's own fields of a reply */
    HTTP_H2_STREAMS = 4096,                 /* requests by HTTP/2, of all connections */
    HTTP_ID_BYTES = 17,                     /* a request's id with its NUL */
    HTTP_LINGER_MS = 1000,                  /* after a refusal: reading on, so that it is seen */
    HTTP_DRAIN_MS = 5000,                   /* from http_close to the last reply taken */
    HTTP_FILE_PIECE_BYTES = 64 * 1024,      /* of a file, in memory */
    HTTP_STREAM_BYTES = 256 * 1024,         /* of a streamed reply that wait; its handler waits then */
    HTTP_UPKEEP_MS = 10000,                 /* how often the certificate's files are looked at */
    HTTP_SOCKET_BYTES = 1024 * 1024,        /* of a WebSocket's messages that are unsent */
};

struct http_stream;
struct http_file;
struct http_later; /* a request whose reply comes later (HTTP_LATER) */

/* Lent to a handler until it returns; with HTTP_LATER until http_finish(). */
struct http_request {
    const struct http_head *head;
    struct slice method; /* GET for HEAD, too */
    struct slice body;
    struct ip peer; /* of the connection; loopback for a unix socket */
    bool secure;    /* it came by TLS */
    const char *id;
    atomic_bool
        *gone; /* nobody waits for the answer any more: ask it while you work, see http_options.cancel */
    struct http_stream *stream; /* of an HTTP_STREAM route, else NULL */
    struct http_later *later;   /* of an HTTP_LATER route, else NULL */
};

/* Filled by a handler; at first 200 without a body. A status of 400 and more with a JSON object for body gets
 * the request id as its first member. */
struct http_reply {
    int status;
    const char *type;                       /* Content-Type, static */
    struct buf body;                        /* limit HTTP_REPLY_BYTES */
    struct buf fields;                      /* more fields, each "Name: value\r\n" */
    const char *cache;                      /* Cache-Control, static; NULL: no-store */
    struct http_file *file;                 /* instead of the body: http_reply_file() */
    const struct http_socket_calls *socket; /* with status 101, of an HTTP_UPGRADE route, and nothing else: */
    void *socket_owner;                     /* whose `closed` is called in any case, on the loop thread */
};

/* A WebSocket (RFC 6455), since the handler of an HTTP_UPGRADE route said 101. The client is pinged each
 * ping_ms and ended when nothing was heard of it in the meantime, or when it takes nothing for reply_ms. It
 * is none of max_connections and max_per_address any more: behind a proxy all come from one address, and
 * those that look on for hours must not keep out those that ask; the owner bounds how many there are. Text
 * messages only, their bounds in frames.h; no extensions. All of it on the loop thread. */
struct http_socket;
struct http_socket_calls {
    void (*open)(void *owner, struct http_socket *socket); /* first, unless the client has left already */
    void (*text)(void *owner, struct slice text);          /* a whole message, UTF-8; lent */
    void (*closed)(void *owner);                           /* last: the socket is gone */
};
enum http_socket_code { /* RFC 6455, 7.4.1, and its registry */
                        HTTP_SOCKET_GOING_AWAY = 1001,
                        HTTP_SOCKET_POLICY = 1008,
                        HTTP_SOCKET_TRY_AGAIN = 1013,
};
/* The text is copied. ERR_LIMIT: too much is unsent. ERR_CANCELLED: it is being closed. ERR_NO_MEMORY. Never
 * calls `closed`. */
MUST_CHECK int http_socket_send(struct http_socket *socket, struct slice text);
size_t http_socket_unsent(const struct http_socket *socket);
void http_socket_close(struct http_socket *socket, unsigned code, const char *why); /* why: 123 bytes */

/* The body is a file's: fd, which it takes, also when it fails, from its beginning, so many bytes. It is read
 * piece by piece as the client takes it. Any thread; not with HTTP_QUICK or HTTP_STREAM. ERR_NO_MEMORY. */
MUST_CHECK int http_reply_file(struct http_reply *reply, int fd, uint64_t bytes);

/* Writes a problem document into reply: its type and title come from the status; detail is our own text, at
 * most 512 bytes. */
void http_problem(struct http_reply *reply, int status, const char *detail);

/* A reply of any length, on a route with HTTP_STREAM: its handler works on a thread of its own, sets the
 * reply's status, type and fields, and then writes the body piece by piece. A handler that returns without
 * having written answers with the reply as any other. One that wrote and returns a status of 400 or more, or
 * whose write was refused, has given up midway: the client sees that the reply is not whole.
 *
 * write: blocks while HTTP_STREAM_BYTES wait. wait: until so much time has passed. Both ERR_CANCELLED, at
 * once, when nobody reads any more: the client left, read nothing of it for reply_ms, or the server closes.
 * write also ERR_NO_MEMORY. */
MUST_CHECK int http_stream_write(struct http_stream *stream, const void *bytes, size_t n);
MUST_CHECK int http_stream_wait(struct http_stream *stream, uint64_t ms);

/* The reply is filled: it is sent, if somebody still waits for it. Once for each request of HTTP_LATER, on
 * any thread; request and reply are gone then. The server lives until the last of them. */
void http_finish(struct http_later *later);

enum http_route_flags {
    HTTP_CREDENTIALS =
        1,             /* without "Authorization: Bearer …" or a cookie it is 401 before the body is read */
    HTTP_QUICK = 2,    /* answers at once from memory, on the loop: it works while all workers are busy */
    HTTP_JSON = 4,     /* a body has to be application/json (415) */
    HTTP_STREAM = 8,   /* its handler may write the reply piece by piece (http_stream_write) */
    HTTP_UPGRADE = 16, /* for WebSockets only: others get 426 */
    HTTP_LATER = 32,   /* its handler runs on the loop and returns at once; http_finish() ends the request */
};

/* path: as base/pattern.h; of two routes that fit the first is taken. Texts outlive the server. */
struct http_route {
    const char *method, *path;
    size_t body_bytes; /* 0: takes none; else at most, and POST, PUT and PATCH must say how many come (411) */
    unsigned flags;
    void (*handle)(void *arg, const struct http_request *request, struct http_reply *reply);
};

/* What the server counts; its owner's, so that any thread may read it until the owner ends. */
struct http_counters {
    _Atomic uint64_t connections; /* open now */
    _Atomic uint64_t turned_away; /* for the number of connections */
    _Atomic uint64_t requests;    /* answered */
    _Atomic uint64_t refused;     /* of those, with a status of 400 or more */
    _Atomic uint64_t timeouts;    /* heads, bodies and replies that took too long */
    _Atomic uint64_t abandoned;   /* clients that left while a handler worked */
    _Atomic uint64_t floods;      /* HTTP/2 connections ended because they asked for nothing, too often */
};

struct http_options {
    const char *listen;              /* address:port or unix:/path, local, plain; "": none */
    const char *listen_tls;          /* address:port, by TLS; "": none */
    const char *certificate, *key;   /* PEM files of TLS, looked at again and again; outlive the server */
    const struct http_route *routes; /* outlive the server */
    size_t route_count;
    const struct http_route
        *rest; /* GET of what no route has a path for; its path is not looked at; NULL: 404 */
    void *arg; /* of the handlers */
    /* Loop thread: *gone of a request that a handler works on was set; wakes what that waits for. May be
     * NULL. */
    void (*cancel)(void *arg, atomic_bool *gone);
    struct http_counters *counters;                              /* outlive the last connection */
    unsigned max_connections, max_per_address, workers, streams; /* streams: at once, others get 503 */
    unsigned per_client;                                         /* 0: as many as there are workers */
    uint64_t idle_ms, head_ms, body_ms, request_ms, reply_ms, ping_ms;
};

struct http;

/* Loop thread. ERR_CONFIG (no local address), and as endpoint_listen and tls_open. */
MUST_CHECK int http_open(struct http **out, uv_loop_t *loop, const struct http_options *options,
                         struct err *err);
/* Accepts no more; idle connections end now, requests at a handler are still answered. The loop is to be run
 * until it has nothing left. Nulls *http; the memory goes with the last connection. Safe on NULL. */
void http_close(struct http **http);

/* Reads certificate and key anew; connections go on with what they began with. What can't be used is told in
 * the log, and the old ones stay. */
void http_reload(struct http *http);

/* The pin of its certificate (certificate.h), until it is read anew; "" without TLS. */
const char *http_pin(const struct http *http);

#endif
