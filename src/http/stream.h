/* SPDX-License-Identifier: Apache-2.0
 *
 * stream: what a handler writes piece by piece (http.h: HTTP_STREAM), on a thread of its own, until the loop
 * takes it. At most HTTP_STREAM_BYTES wait; who writes more waits as well. Of the http room only; loop
 * thread, but for http_stream_write and http_stream_wait.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include "inside.h"

/* Starts the handler. ERR_NO_MEMORY: there is no thread for it. */
MUST_CHECK int stream_start(struct exchange *exchange);
void stream_destroy(struct http_stream **stream); /* its handler is back (stream_over); safe on NULL */

/* What was written from begin on can be taken: *head is set at the first time, status, type and fields moved
 * out of the stream. */
bool stream_begins(struct http_stream *stream, struct http_reply *head);
/* The handler has returned; joins its thread. */
bool stream_over(struct http_stream *stream);
/* Of one that is over: the reply of a handler that wrote nothing, moved out; false: it wrote. */
bool stream_reply(struct http_stream *stream, struct http_reply *reply);
void stream_cancel(struct http_stream *stream); /* nobody reads any more: who writes is told */

struct slice stream_pending(struct http_stream *stream); /* lent until taken; empty: none for now */
void stream_taken(struct http_stream *stream, size_t n);
bool stream_broken(const struct http_stream *stream); /* of one that is over: its handler gave up midway */

#endif
