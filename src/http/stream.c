/* SPDX-License-Identifier: Apache-2.0
 *
 * stream: see stream.h. The handler's reply is the stream's until it is over, so that the loop never reads
 * what the handler may still write; what the head needs is set aside with the first bytes.
 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { PIECE_BYTES = 64 * 1024, BUFFER_BYTES = HTTP_STREAM_BYTES + PIECE_BYTES };

struct http_stream {
    struct exchange *exchange; /* its reply, state and owner are the loop's */
    pthread_t thread;
    struct http_reply reply; /* the handler's; after it the loop's */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool begun, over, cancelled, refused; /* refused: the handler was told that nobody reads */
    size_t sending_bytes;                 /* of `sending` */
    struct http_reply head;               /* since begun: status, type, fields */
    struct buf waiting;

    bool head_taken, joined; /* of the loop: */
    struct buf sending;
    size_t sent; /* of its bytes */
};

static void lock(struct http_stream *stream)
{
    (void)pthread_mutex_lock(&stream->lock);
}

static void unlock(struct http_stream *stream)
{
    (void)pthread_mutex_unlock(&stream->lock);
}

static void ring(struct http_stream *stream)
{
    bell_ring(&stream->exchange->http->bell, stream->exchange);
}

/* ---- the handler's side -------------------------------------------------------------------------- */

/* Under the lock. */
static void begin(struct http_stream *stream)
{
    stream->begun = true;
    stream->head = stream->reply;
    stream->head.body = (struct buf){NULL, 0, 0, 0};
    buf_init(&stream->reply.fields, HTTP_FIELDS_BYTES); /* they are the head's now */
}

static int write_piece(struct http_stream *stream, const char *bytes, size_t n)
{
    lock(stream);
    if (!stream->begun)
        begin(stream);
    while (!stream->cancelled && stream->waiting.n + stream->sending_bytes >= HTTP_STREAM_BYTES)
        (void)pthread_cond_wait(&stream->changed, &stream->lock);
    int rc = stream->cancelled ? ERR_CANCELLED : buf_add(&stream->waiting, bytes, n);
    stream->refused = stream->refused || rc != 0;
    unlock(stream);
    if (rc == 0)
        ring(stream);
    return rc;
}

int http_stream_write(struct http_stream *stream, const void *bytes, size_t n)
{
    int rc = 0;
    const char *at = bytes;
    while (rc == 0 && n > 0) {
        size_t piece = n < PIECE_BYTES ? n : PIECE_BYTES;
        rc = write_piece(stream, at, piece);
        at += piece;
        n -= piece;
    }
    return rc;
}

int http_stream_wait(struct http_stream *stream, uint64_t ms)
{
    struct timespec until;
    int timed_out = 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    lock(stream);
    while (!stream->cancelled && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
    bool cancelled = stream->cancelled;
    stream->refused = stream->refused || cancelled;
    unlock(stream);
    return cancelled ? ERR_CANCELLED : 0;
}

static void *handle(void *arg)
{
    struct http_stream *stream = arg;
    struct exchange *exchange = stream->exchange;
    exchange->route->handle(exchange->http->options.arg, &exchange->request, &stream->reply);
    lock(stream);
    stream->over = true;
    unlock(stream);
    ring(stream);
    return NULL;
}

/* ---- the loop's side ----------------------------------------------------------------------------- */

static struct http_stream *create(struct exchange *exchange)
{
    pthread_condattr_t attr;
    struct http_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->exchange = exchange;
    (void)pthread_mutex_init(&stream->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&stream->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    buf_init(&stream->reply.body, HTTP_REPLY_BYTES);
    buf_init(&stream->reply.fields, HTTP_FIELDS_BYTES);
    buf_init(&stream->waiting, BUFFER_BYTES);
    buf_init(&stream->sending, BUFFER_BYTES);
    stream->reply.status = 200;
    return stream;
}

int stream_start(struct exchange *exchange)
{
    struct http_stream *stream = create(exchange);
    if (stream == NULL)
        return ERR_NO_MEMORY;
    exchange->request.stream = stream;
    exchange->stream = stream;
    if (pthread_create(&stream->thread, NULL, handle, stream) == 0)
        return 0;
    stream->joined = true;
    exchange->request.stream = NULL;
    stream_destroy(&exchange->stream);
    return ERR_NO_MEMORY;
}

void stream_destroy(struct http_stream **stream)
{
    struct http_stream *self = *stream;
    *stream = NULL;
    if (self == NULL)
        return;
    assert(self->joined);
    (void)pthread_mutex_destroy(&self->lock);
    (void)pthread_cond_destroy(&self->changed);
    buf_fini(&self->reply.body);
    buf_fini(&self->reply.fields);
    buf_fini(&self->head.fields);
    buf_fini(&self->waiting);
    buf_fini(&self->sending);
    free(self);
}

bool stream_begins(struct http_stream *stream, struct http_reply *head)
{
    lock(stream);
    bool first = stream->begun && !stream->head_taken;
    if (first) {
        stream->head_taken = true;
        head->status = stream->head.status;
        head->type = stream->head.type;
        buf_fini(&head->fields);
        head->fields = stream->head.fields;
        stream->head.fields = (struct buf){NULL, 0, 0, 0};
    }
    unlock(stream);
    return first;
}

bool stream_over(struct http_stream *stream)
{
    lock(stream);
    bool over = stream->over;
    unlock(stream);
    if (over && !stream->joined) {
        (void)pthread_join(stream->thread, NULL);
        stream->joined = true;
        bell_forget(&stream->exchange->http->bell, stream->exchange);
    }
    return over;
}

bool stream_reply(struct http_stream *stream, struct http_reply *reply)
{
    if (stream->begun)
        return false;
    buf_fini(&reply->body);
    buf_fini(&reply->fields);
    *reply = stream->reply;
    buf_init(&stream->reply.body, HTTP_REPLY_BYTES);
    buf_init(&stream->reply.fields, HTTP_FIELDS_BYTES);
    return true;
}

void stream_cancel(struct http_stream *stream)
{
    lock(stream);
    stream->cancelled = true;
    (void)pthread_cond_broadcast(&stream->changed);
    unlock(stream);
}

struct slice stream_pending(struct http_stream *stream)
{
    lock(stream);
    if (stream->sent == stream->sending.n) {
        struct buf empty = stream->sending;
        buf_clear(&empty);
        stream->sending = stream->waiting;
        stream->waiting = empty;
        stream->sent = 0;
        stream->sending_bytes = stream->sending.n;
    }
    unlock(stream);
    return (struct slice){stream->sending.p + stream->sent, stream->sending.n - stream->sent};
}

void stream_taken(struct http_stream *stream, size_t n)
{
    lock(stream);
    assert(n <= stream->sending_bytes);
    stream->sent += n;
    stream->sending_bytes -= n;
    (void)pthread_cond_broadcast(&stream->changed);
    unlock(stream);
}

bool stream_broken(const struct http_stream *stream)
{
    return stream->refused || stream->reply.status >= 400;
}
