/* SPDX-License-Identifier: Apache-2.0
 *
 * h2_stream: one request of HTTP/2 and its reply. The fields are written as the head of an HTTP/1.1 request,
 * so that request_head.c judges them and nothing else has to: one door. See h2.h.
 */
#include "base/clock.h"
#include "h2.h"
#include "reply.h"

#include <stdlib.h>

enum { FIELD_OVERHEAD = 4, REPLY_FIELDS = 64 };

static void send_reply(struct h2_stream *stream, bool streamed);

static struct http *http_of(const struct h2_stream *stream)
{
    return h2_connection(stream->h2)->http;
}

static void set_deadline(struct h2_stream *stream, uint64_t ms)
{
    ticker_set(stream->deadline, http_of(stream)->closing ? HTTP_DRAIN_MS : ms, 0);
}

/* ---- the head ----------------------------------------------------------------------------------- */

static bool count_field(struct h2_stream *stream, struct slice name, struct slice value)
{
    stream->head_bytes += name.n + value.n + FIELD_OVERHEAD;
    return stream->head_bytes <= HTTP_HEAD_BYTES;
}

static int put_field(struct h2_stream *stream, struct slice name, struct slice value)
{
    struct buf *head = &stream->exchange->head_bytes;
    int rc = buf_add_slice(head, name);
    if (rc == 0)
        rc = buf_add(head, ": ", 2);
    if (rc == 0)
        rc = buf_add_slice(head, value);
    return rc == 0 ? buf_add(head, "\r\n", 2) : rc;
}

/* Pseudo-fields come first (RFC 9113, 8.3): with the first that is none, the request line is known. */
static int put_line(struct h2_stream *stream)
{
    struct buf *head = &stream->exchange->head_bytes;
    if (stream->has_line)
        return 0;
    stream->has_line = true;
    int rc = buf_add_slice(head, buf_slice(&stream->method));
    if (rc == 0)
        rc = buf_add(head, " ", 1);
    if (rc == 0)
        rc = buf_add_slice(head, buf_slice(&stream->path));
    if (rc == 0)
        rc = buf_add(head, " HTTP/1.1\r\n", 11);
    return rc == 0 && stream->authority.n > 0
               ? put_field(stream, SLICE("Host"), buf_slice(&stream->authority))
               : rc;
}

static int put_pseudo(struct h2_stream *stream, struct slice name, struct slice value)
{
    if (slice_equal(name, SLICE(":method")))
        return buf_add_slice(&stream->method, value);
    if (slice_equal(name, SLICE(":path")))
        return buf_add_slice(&stream->path, value);
    return slice_equal(name, SLICE(":authority")) ? buf_add_slice(&stream->authority, value) : 0;
}

static int put_plain(struct h2_stream *stream, struct slice name, struct slice value)
{
    int rc = put_line(stream);
    if (slice_equal(name, SLICE("cookie"))) { /* may come in crumbs (8.2.3) */
        if (rc == 0 && stream->cookies.n > 0)
            rc = buf_add(&stream->cookies, "; ", 2);
        return rc == 0 ? buf_add_slice(&stream->cookies, value) : rc;
    }
    if (slice_equal(name, SLICE("host")) && slice_equal(value, buf_slice(&stream->authority)))
        return rc;
    stream->has_length = stream->has_length || slice_equal(name, SLICE("content-length"));
    return rc == 0 ? put_field(stream, name, value) : rc;
}

void h2_stream_field(struct h2_stream *stream, struct slice name, struct slice value)
{
    bool line_break = memchr(value.p, '\r', value.n) != NULL || memchr(value.p, '\n', value.n) != NULL;
    stream->is_odd = stream->is_odd || line_break; /* nghttp2 lets none through; here all depends on it */
    if (stream->is_odd || !count_field(stream, name, value))
        return;
    int rc =
        name.n > 0 && name.p[0] == ':' ? put_pseudo(stream, name, value) : put_plain(stream, name, value);
    stream->is_odd = rc != 0;
}

static void refuse(struct h2_stream *stream, int status, const char *why)
{
    exchange_refuse(stream->exchange, status, why);
    send_reply(stream, false);
}

static int end_head(struct h2_stream *stream, bool last)
{
    int rc = put_line(stream);
    if (rc == 0 && stream->cookies.n > 0)
        rc = put_field(stream, SLICE("cookie"), buf_slice(&stream->cookies));
    if (rc == 0 && !last && !stream->has_length) /* in words of HTTP/1.1: how long, the end will tell */
        rc = put_field(stream, SLICE("transfer-encoding"), SLICE("chunked"));
    if (rc == 0)
        rc = buf_add(&stream->exchange->head_bytes, "\r\n", 2);
    buf_fini(&stream->method);
    buf_fini(&stream->path);
    buf_fini(&stream->authority);
    buf_fini(&stream->cookies);
    return rc;
}

static void start(struct h2_stream *stream)
{
    stream->state = H2_ASKED;
    set_deadline(stream, http_of(stream)->options.request_ms);
    exchange_start(stream->exchange, &h2_connection(stream->h2)->channel);
}

static void begin_body(struct h2_stream *stream)
{
    static const nghttp2_nv go_on = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3, 0};
    struct exchange *exchange = stream->exchange;
    stream->state = H2_BODY;
    buf_init(&exchange->body, exchange->route->body_bytes);
    set_deadline(stream, http_of(stream)->options.body_ms);
    if (exchange->head.expects_continue)
        (void)nghttp2_submit_headers(h2_session(stream->h2), NGHTTP2_FLAG_NONE, stream->id, NULL, &go_on, 1,
                                     NULL);
}

void h2_stream_head_done(struct h2_stream *stream, bool last)
{
    struct exchange *exchange = stream->exchange;
    int rc = end_head(stream, last);
    if (stream->head_bytes > HTTP_HEAD_BYTES)
        refuse(stream, 431, "the head has more than 16384 bytes");
    else if (rc != 0 || stream->is_odd)
        refuse(stream, 400, "a field has characters that don't belong there");
    else if (!exchange_parse(exchange) || !exchange_route(exchange))
        send_reply(stream, false);
    else if (last)
        start(stream);
    else
        begin_body(stream);
}

/* ---- the body ----------------------------------------------------------------------------------- */

void h2_stream_data(struct h2_stream *stream, struct slice bytes)
{
    struct exchange *exchange = stream->exchange;
    if (stream->state != H2_BODY)
        return; /* it was refused meanwhile */
    int rc = bytes.n > exchange->body.limit - exchange->body.n ? ERR_LIMIT : 0;
    if (rc == 0 && !exchange_prepare_body(exchange, exchange->body.n + bytes.n))
        send_reply(stream, false);
    else if (rc == 0)
        rc = buf_add_slice(&exchange->body, bytes);
    if (rc == ERR_LIMIT)
        refuse(stream, 413, "the body is longer than this takes");
    else if (rc != 0)
        refuse(stream, 503, "there is no memory for the body");
}

void h2_stream_data_done(struct h2_stream *stream)
{
    if (stream->state == H2_BODY)
        start(stream);
}

/* ---- the reply ---------------------------------------------------------------------------------- */

static size_t copy(struct slice *from, uint8_t *to, size_t room)
{
    size_t n = from->n < room ? from->n : room;
    if (n > 0)
        memcpy(to, from->p, n);
    *from = (struct slice){from->p + n, from->n - n};
    return n;
}

static ssize_t read_whole(struct h2_stream *stream, uint8_t *out, size_t room, uint32_t *flags)
{
    const struct buf *body = &stream->exchange->reply.body;
    size_t n = copy(&stream->lead, out, room);
    struct slice rest = {body->p + stream->body_at, body->n - stream->body_at};
    size_t more = copy(&rest, out + n, room - n);
    stream->body_at += more;
    if (stream->lead.n == 0 && rest.n == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)(n + more);
}

static ssize_t read_pending(struct h2_stream *stream, uint8_t *out, size_t room, uint32_t *flags)
{
    struct slice pending = exchange_pending(stream->exchange);
    enum reply_end end = pending.n > 0 ? END_NOT_YET : exchange_reply_end(stream->exchange);
    if (end == END_BROKEN)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM: the client sees that it was not all */
    if (end == END_WHOLE) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return 0;
    }
    if (pending.n == 0) {
        stream->deferred = true;
        ticker_stop(stream->deadline); /* there is nothing that the client could take */
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = copy(&pending, out, room);
    exchange_taken(stream->exchange, n);
    set_deadline(stream, http_of(stream)->options.reply_ms);
    return (ssize_t)n;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    struct h2_stream *stream = source->ptr;
    (void)session;
    (void)id;
    (void)arg;
    return stream->streamed ? read_pending(stream, out, room, flags) : read_whole(stream, out, room, flags);
}

/* Of HTTP/1.1's lines, which are our own and well formed, the fields that HTTP/2 has, too; names in small
 * letters. Returns their number; what stands behind the empty line goes to *rest. */
static size_t to_fields(struct buf *head, nghttp2_nv fields[static REPLY_FIELDS], struct slice *rest)
{
    size_t n = 1;
    char *at = head->p, *end = head->p + head->n;
    fields[0] =
        (nghttp2_nv){(uint8_t *)(uintptr_t) ":status", (uint8_t *)at + 9, 7, 3, 0}; /* "HTTP/1.1 200" */
    for (at = (char *)memchr(at, '\n', head->n) + 1; *at != '\r' && n < REPLY_FIELDS;) {
        char *next = (char *)memchr(at, '\n', (size_t)(end - at)) + 1;
        char *colon = memchr(at, ':', (size_t)(next - at));
        struct slice name = {at, (size_t)(colon - at)}, value = {colon + 2, (size_t)(next - colon) - 4};
        text_lower(name, at);
        if (!slice_equal(name, SLICE("transfer-encoding")) && !slice_equal(name, SLICE("connection")))
            fields[n++] = (nghttp2_nv){(uint8_t *)at, (uint8_t *)(uintptr_t)value.p, name.n, value.n, 0};
        at = next;
    }
    *rest = (struct slice){at + 2, (size_t)(end - at) - 2};
    return n;
}

static int compose(struct h2_stream *stream, bool head_only, size_t *skip)
{
    struct exchange *exchange = stream->exchange;
    struct http_reply_facts facts = {
        .now_us = clock_real_us(),
        .id = exchange->id,
        .keep_alive = true,
        .head_only = head_only,
        .streamed = stream->streamed,
        .secure = true,
    };
    return http_reply_head(&exchange->reply, &facts, &exchange->head_out, skip);
}

static void send_reply(struct h2_stream *stream, bool streamed)
{
    struct exchange *exchange = stream->exchange;
    bool head_only = slice_equal(exchange->head.method, SLICE("HEAD"));
    nghttp2_nv fields[REPLY_FIELDS];
    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = read_body};
    exchange_count(exchange);
    stream->state = H2_SENDING;
    stream->streamed = streamed;
    int rc = compose(stream, head_only, &stream->body_at);
    size_t n = rc == 0 ? to_fields(&exchange->head_out, fields, &stream->lead) : 0;
    bool whole = head_only || (!streamed && stream->lead.n + exchange->reply.body.n == 0);
    if (rc == 0)
        rc = nghttp2_submit_response(h2_session(stream->h2), stream->id, fields, n, whole ? NULL : &body);
    if (rc != 0)
        (void)nghttp2_submit_rst_stream(h2_session(stream->h2), NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_INTERNAL_ERROR);
    set_deadline(stream, http_of(stream)->options.reply_ms);
    h2_flush(stream->h2);
}

static void on_answered(struct exchange *exchange)
{
    send_reply(exchange->owner_data, false);
}

static void on_more(struct exchange *exchange)
{
    struct h2_stream *stream = exchange->owner_data;
    if (stream->state == H2_ASKED) {
        send_reply(stream, true);
    } else if (stream->deferred) {
        stream->deferred = false;
        set_deadline(stream, http_of(stream)->options.reply_ms);
        (void)nghttp2_session_resume_data(h2_session(stream->h2), stream->id);
        h2_flush(stream->h2);
    }
}

/* ---- its life ----------------------------------------------------------------------------------- */

static void on_deadline(void *arg)
{
    struct h2_stream *stream = arg;
    switch (stream->state) {
    case H2_BODY:
        refuse(stream, 408, "the request's body took too long");
        break;
    case H2_ASKED:
        exchange_expire(stream->exchange);
        break;
    default:
        http_of(stream)->counters->timeouts++;
        (void)nghttp2_submit_rst_stream(h2_session(stream->h2), NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_CANCEL);
        h2_flush(stream->h2);
    }
}

void h2_stream_drain(struct h2_stream *stream)
{
    ticker_set(stream->deadline, HTTP_DRAIN_MS, 0);
    if (stream->state == H2_ASKED || stream->state == H2_SENDING)
        exchange_drain(stream->exchange); /* questions end early, changes are made */
    else
        (void)nghttp2_submit_rst_stream(h2_session(stream->h2), NGHTTP2_FLAG_NONE, stream->id,
                                        NGHTTP2_REFUSED_STREAM);
}

struct h2_stream *h2_stream_create(struct h2 *h2, int32_t id)
{
    static const struct exchange_owner owner = {.answered = on_answered, .more = on_more};
    struct h2_stream *stream = calloc(1, sizeof *stream);
    struct http *http = h2_connection(h2)->http;
    if (stream == NULL)
        return NULL;
    stream->h2 = h2;
    stream->id = id;
    buf_init(&stream->method, HTTP_HEAD_BYTES);
    buf_init(&stream->path, HTTP_HEAD_BYTES);
    buf_init(&stream->authority, HTTP_HEAD_BYTES);
    buf_init(&stream->cookies, HTTP_HEAD_BYTES);
    stream->exchange = exchange_create(http, &owner, stream);
    if (stream->exchange != NULL && ticker_create(&stream->deadline, http->loop, on_deadline, stream) == 0)
        return stream;
    exchange_destroy(&stream->exchange);
    free(stream);
    return NULL;
}

void h2_stream_destroy(struct h2_stream **stream)
{
    struct h2_stream *self = *stream;
    *stream = NULL;
    exchange_abandon(&self->exchange);
    ticker_destroy(&self->deadline);
    buf_fini(&self->method);
    buf_fini(&self->path);
    buf_fini(&self->authority);
    buf_fini(&self->cookies);
    free(self);
}
