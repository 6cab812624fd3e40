/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: HTTP/2 (RFC 9113) beside h1: nghttp2 frames and compresses, here its streams become exchanges, with the
 * same judgement, bounds and deadlines as a request of HTTP/1.1. h2.c has the connection, h2_stream.c one
 * stream. Of the http room only; loop thread.
 */
#ifndef HTTP_H2_H
#define HTTP_H2_H

#include "inside.h"

#include <nghttp2/nghttp2.h>

enum {
    H2_STREAMS = 100,             /* of a connection */
    H2_WINDOW_BYTES = 256 * 1024, /* of a stream, sent before we say so */
    H2_CONNECTION_WINDOW_BYTES = 1024 * 1024,
    H2_OUT_BYTES = 64 * 1024, /* frames made at once */
    H2_QUEUE = 256,           /* frames of ours that wait, with which nothing more is read */
    H2_TALK = 1000,           /* frames that ask for nothing (PING, SETTINGS, empty DATA, …) at once, */
    H2_TALK_A_SECOND = 200,   /* then so many; */
    H2_TALK_FOR_DATA = 4,     /* and so many for each frame of ours that they may answer */
    H2_RESETS = 200,          /* streams that a client opens and resets at once (CVE-2023-44487), */
    H2_RESETS_A_SECOND = 20,  /* then so many */
};

/*  state     what comes             its deadline   what ends it
 *  H2_HEAD   fields                 the connection's   BODY, ASKED, or SENDING a refusal
 *  H2_BODY   data                   body_ms        ASKED, or SENDING a refusal
 *  H2_ASKED  nothing                request_ms     SENDING
 *  H2_SENDING nothing that matters  reply_ms       the end */
enum h2_state { H2_HEAD, H2_BODY, H2_ASKED, H2_SENDING };

struct h2_stream {
    struct h2 *h2;
    struct h2_stream *prev, *next;
    int32_t id;
    enum h2_state state;
    struct exchange *exchange;
    struct ticker *deadline;
    struct buf method, path, authority, cookies; /* until the head is whole */
    size_t head_bytes;
    bool has_line, has_length, is_odd;
    bool deferred;     /* nothing to send for now */
    bool streamed;     /* piece by piece */
    struct slice lead; /* of the body, in front of it: not yet sent */
    size_t body_at;    /* of the reply's body: sent */
};

/* h2.c */
nghttp2_session *h2_session(struct h2 *h2);
struct connection *h2_connection(struct h2 *h2);
void h2_flush(struct h2 *h2); /* sends what there is, unless it is on its way or nghttp2 is at work */

/* h2_stream.c */
struct h2_stream *h2_stream_create(struct h2 *h2, int32_t id); /* NULL: no memory */
void h2_stream_destroy(struct h2_stream **stream);             /* its exchange is abandoned */
void h2_stream_field(struct h2_stream *stream, struct slice name, struct slice value);
void h2_stream_head_done(struct h2_stream *stream, bool last); /* last: no body comes */
void h2_stream_data(struct h2_stream *stream, struct slice bytes);
void h2_stream_data_done(struct h2_stream *stream);
void h2_stream_drain(struct h2_stream *stream); /* the server closes */

#endif
