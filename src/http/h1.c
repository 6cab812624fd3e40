/* SPDX-License-Identifier: Apache-2.0
 *
 * h1: HTTP/1.1 on a connection, request after request (RFC 9112). What is read goes into `in`, is cut into
 * head and body here, and what stays is the next request: one is worked on at a time.
 */
#include "base/clock.h"
#include "inside.h"
#include "reply.h"
#include "ws.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINGER_BYTES = 1024 * 1024 };

/*  state        what is read           its deadline             what ends it
 *  IDLE         a first byte           idle_ms                  HEAD
 *  HEAD         the head               head_ms                  BODY, ASKED, or WRITING a refusal
 *  BODY         the body               body_ms                  ASKED, or WRITING a refusal
 *  ASKED        no more than INPUT     request_ms               WRITING or STREAMING
 *  STREAMING    no more than INPUT     reply_ms for each piece  WRITING (the last), LINGERING
 *  WRITING      no more than INPUT     reply_ms                 IDLE, HEAD (pipelined) or LINGERING
 *  LINGERING    and forgotten          HTTP_LINGER_MS           the end */
enum state { IDLE, HEAD, BODY, ASKED, STREAMING, WRITING, LINGERING };

struct h1 {
    struct buf in;
    size_t scanned, lingered;
    enum state state;
    struct exchange *now;
    struct http_chunked chunked;
    bool last;
    bool writing; /* in STREAMING: a piece is under way */
    size_t piece_bytes;
    char piece_size[24]; /* as the chunk's first line */
};

static void proceed(struct connection *connection);

static struct h1 *h1_of(struct connection *connection)
{
    return connection->speaker;
}

/* A close with unread bytes is a reset, which can overtake the reply: read on for a while. */
static void linger(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    h1->state = LINGERING;
    buf_fini(&h1->in);
    ticker_set(connection->deadline, HTTP_LINGER_MS, 0);
    if (channel_shutdown(&connection->channel) != 0)
        connection_leave(connection);
    else
        connection_read(connection, true);
}

static void become_idle(struct connection *connection)
{
    h1_of(connection)->state = IDLE;
    ticker_set(connection->deadline, connection->http->options.idle_ms, 0);
}

static void end_reply(struct connection *connection, int status)
{
    struct h1 *h1 = h1_of(connection);
    if (status != 0) {
        connection_leave(connection);
    } else if (h1->last || connection->http->closing) {
        linger(connection);
    } else {
        become_idle(connection);
        proceed(connection);
    }
}

static bool is_head(const struct exchange *exchange)
{
    return slice_equal(exchange->head.method, SLICE("HEAD"));
}

/* Of what is sent piece by piece. */
static bool is_chunked(const struct exchange *exchange)
{
    return exchange->head.minor > 0 && exchange->reply.file == NULL;
}

static int compose(struct connection *connection, bool streamed, size_t *skip)
{
    struct h1 *h1 = h1_of(connection);
    struct exchange *exchange = h1->now;
    bool old = exchange->head.minor == 0;
    bool endless =
        old && streamed && exchange->reply.file == NULL; /* only the connection's end tells its own */
    bool keep = exchange->head.keep_alive && !h1->last && !connection->http->closing && !endless;
    struct http_reply_facts facts = {
        .now_us = clock_real_us(),
        .id = exchange->id,
        .keep_alive = keep,
        .old = old,
        .head_only = is_head(exchange),
        .streamed = streamed,
        .secure = connection->channel.secure != NULL,
    };
    h1->last = !keep;
    int rc = http_reply_head(&exchange->reply, &facts, &exchange->head_out, skip);
    if (facts.head_only)
        buf_clear(&exchange->reply.body);
    if (exchange->reply.body.n == 0)
        *skip = 0;
    return rc;
}

static void send_reply(struct connection *connection)
{
    size_t skip;
    struct h1 *h1 = h1_of(connection);
    struct exchange *exchange = h1->now;
    exchange_count(exchange);
    h1->state = WRITING;
    if (channel_is_closing(&connection->channel))
        return;
    if (compose(connection, false, &skip) != 0) {
        connection_leave(connection);
        return;
    }
    struct buf *body = &exchange->reply.body;
    struct slice parts[] = {buf_slice(&exchange->head_out), {body->p + skip, body->n - skip}};
    ticker_set(connection->deadline,
               connection->http->closing ? HTTP_DRAIN_MS : connection->http->options.reply_ms, 0);
    if (channel_write(&connection->channel, parts, 2) != 0)
        connection_leave(connection);
}

/* The connection isn't ours any more. */
static void switch_protocols(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    exchange_count(h1->now);
    if (ws_take_over(connection, h1->now, buf_slice(&h1->in)) != 0) {
        connection_leave(connection);
        return;
    }
    exchange_destroy(&h1->now);
    buf_fini(&h1->in);
    free(h1);
}

static void on_answered(struct exchange *exchange)
{
    struct connection *connection = exchange->owner_data;
    if (exchange->reply.socket != NULL && !connection->http->closing) {
        switch_protocols(connection);
        return;
    }
    if (exchange->reply.socket != NULL)
        exchange_refuse(exchange, 503, "the hub is stopping");
    send_reply(connection);
}

/* ---- a reply piece by piece ---------------------------------------------------------------------- */

static void send_parts(struct connection *connection, struct slice head, struct slice size,
                       struct slice piece, struct slice tail)
{
    struct h1 *h1 = h1_of(connection);
    h1->writing = true;
    ticker_set(connection->deadline,
               connection->http->closing ? HTTP_DRAIN_MS : connection->http->options.reply_ms, 0);
    if (channel_write(&connection->channel, (const struct slice[]){head, size, piece, tail}, 4) != 0)
        connection_leave(connection);
}

/* The head, a piece, or both. */
static void send_piece(struct connection *connection, struct slice head, struct slice piece)
{
    struct h1 *h1 = h1_of(connection);
    bool chunked = is_chunked(h1->now) && piece.n > 0;
    int n = chunked ? snprintf(h1->piece_size, sizeof h1->piece_size, "%zx\r\n", piece.n) : 0;
    h1->state = STREAMING;
    h1->piece_bytes = piece.n;
    send_parts(connection, head, (struct slice){h1->piece_size, (size_t)n}, piece,
               chunked ? SLICE("\r\n") : SLICE(""));
}

static void finish(struct connection *connection)
{
    exchange_abandon(&h1_of(connection)->now); /* of HEAD its handler may still work: nobody waits */
    end_reply(connection, 0);
}

static void send_end(struct connection *connection, struct slice head)
{
    struct h1 *h1 = h1_of(connection);
    bool chunked = is_chunked(h1->now) && !is_head(h1->now);
    h1->state = WRITING;
    if (chunked || head.n > 0)
        send_parts(connection, head, SLICE(""), SLICE(""), chunked ? SLICE("0\r\n\r\n") : SLICE(""));
    else
        finish(connection);
}

/* Its handler gave up midway: chunks end without the last one, an old client sees it by a reset. */
static void break_off(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    bool chunked = is_chunked(h1->now);
    exchange_abandon(&h1->now);
    if (chunked) {
        linger(connection);
        return;
    }
    channel_break(&connection->channel);
    connection_leave(connection);
}

static void stream_on(struct connection *connection, struct slice head)
{
    struct h1 *h1 = h1_of(connection);
    struct slice piece = exchange_pending(h1->now);
    enum reply_end end = piece.n > 0 ? END_NOT_YET : exchange_reply_end(h1->now);
    if (is_head(h1->now))
        send_end(connection, head);
    else if (head.n > 0 || piece.n > 0)
        send_piece(connection, head, piece);
    else if (end == END_WHOLE)
        send_end(connection, head);
    else if (end == END_BROKEN)
        break_off(connection);
    else
        ticker_stop(connection->deadline); /* there is nothing that the client could take */
}

static void on_more(struct exchange *exchange)
{
    size_t skip;
    struct slice head = {NULL, 0};
    struct connection *connection = exchange->owner_data;
    struct h1 *h1 = h1_of(connection);
    if (channel_is_closing(&connection->channel) || h1->writing)
        return;
    if (h1->state == ASKED) {
        exchange_count(exchange);
        if (compose(connection, true, &skip) != 0) {
            connection_leave(connection);
            return;
        }
        head = buf_slice(&exchange->head_out);
    }
    stream_on(connection, head);
}

static void on_written(struct connection *connection, int status)
{
    struct h1 *h1 = h1_of(connection);
    h1->writing = false;
    if (h1->state == STREAMING && status == 0) {
        exchange_taken(h1->now, h1->piece_bytes);
        stream_on(connection, (struct slice){NULL, 0});
        return;
    }
    if (status == 0)
        finish(connection);
    else
        end_reply(connection, status);
}

static const struct exchange_owner owner = {.answered = on_answered, .more = on_more};

/* What comes behind a refused request can't be told from its body: the connection ends with the reply. */
static void refuse(struct connection *connection, int status, const char *why)
{
    struct h1 *h1 = h1_of(connection);
    if (h1->now == NULL)
        h1->now = exchange_create(connection->http, &owner, connection);
    if (h1->now == NULL) {
        connection_leave(connection);
        return;
    }
    exchange_refuse(h1->now, status, why);
    h1->last = true;
    send_reply(connection);
}

static void start(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    h1->state = ASKED;
    ticker_set(connection->deadline, connection->http->options.request_ms, 0);
    exchange_start(h1->now, &connection->channel);
}

static void begin_body(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    struct exchange *exchange = h1->now;
    size_t limit = exchange->route->body_bytes;
    buf_init(&exchange->body, limit);
    h1->chunked = (struct http_chunked){0};
    if (!exchange_prepare_body(exchange, exchange->head.framing == HTTP_CHUNKED
                                             ? limit
                                             : (size_t)exchange->head.content_length)) {
        h1->last = true;
        send_reply(connection);
        return;
    }
    h1->state = BODY;
    ticker_set(connection->deadline, connection->http->options.body_ms, 0);
    if (exchange->head.expects_continue && h1->in.n == 0) /* unheard, the client waits, then sends */
        channel_say(&connection->channel, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void take_head(struct connection *connection, size_t n)
{
    struct h1 *h1 = h1_of(connection);
    struct exchange *exchange = h1->now = exchange_create(connection->http, &owner, connection);
    if (exchange == NULL || buf_add(&exchange->head_bytes, h1->in.p, n) != 0) {
        connection_leave(connection);
        return;
    }
    buf_consume(&h1->in, n);
    h1->scanned = 0;
    if (!exchange_parse(exchange)) {
        h1->last = true;
        send_reply(connection);
    } else if (!exchange_route(exchange)) {
        h1->last = h1->last || exchange->head.framing != HTTP_NO_BODY; /* nobody reads its body */
        send_reply(connection);
    } else if (exchange->head.framing == HTTP_NO_BODY) {
        start(connection);
    } else {
        begin_body(connection);
    }
}

/* In IDLE and HEAD. */
static void find_head(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    struct buf *in = &h1->in;
    while (in->n >= 2 && in->p[0] == '\r' && in->p[1] == '\n') { /* RFC 9112, 2.2: before a request */
        buf_consume(in, 2);
        h1->scanned = 0;
    }
    if (h1->state == IDLE && in->n > 0) {
        h1->state = HEAD;
        ticker_set(connection->deadline, connection->http->options.head_ms, 0);
    }
    size_t n = in->n > 0 ? http_head_end(buf_slice(in), &h1->scanned) : 0;
    if (n > 0)
        take_head(connection, n);
    else if (in->n > HTTP_LINE_BYTES &&
             memchr(in->p, '\n', HTTP_LINE_BYTES + 2 < in->n ? HTTP_LINE_BYTES + 2 : in->n) == NULL)
        refuse(connection, 414, "the request line has more than 8192 bytes");
    else if (in->n > HTTP_HEAD_BYTES)
        refuse(connection, 431, "the head has more than 16384 bytes");
}

static int take_length(struct h1 *h1)
{
    struct exchange *exchange = h1->now;
    uint64_t left = exchange->head.content_length - exchange->body.n;
    size_t n = h1->in.n < left ? h1->in.n : (size_t)left;
    int rc = n > 0 ? buf_add(&exchange->body, h1->in.p, n) : 0;
    buf_consume(&h1->in, n);
    return rc != 0 ? rc : n == left ? 0 : ERR_MORE;
}

static int take_chunks(struct h1 *h1)
{
    size_t used = 0;
    if (h1->in.n == 0)
        return ERR_MORE;
    int rc = http_chunked_decode(&h1->chunked, buf_slice(&h1->in), &used, &h1->now->body);
    buf_consume(&h1->in, used);
    return rc;
}

static void take_body(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    int rc = h1->now->head.framing == HTTP_CHUNKED ? take_chunks(h1) : take_length(h1);
    if (rc == 0)
        start(connection);
    else if (rc == ERR_LIMIT)
        refuse(connection, 413, "the body is longer than this takes");
    else if (rc == ERR_INVALID)
        refuse(connection, 400, "the body is not chunked as RFC 9112 says");
    else if (rc != ERR_MORE)
        refuse(connection, 503, "there is no memory for the body");
}

/* Takes what `in` holds as far as it goes. */
static void proceed(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    if (h1->state == IDLE || h1->state == HEAD)
        find_head(connection);
    if (h1->state == BODY)
        take_body(connection);
    if (channel_is_closing(&connection->channel) || h1->state == LINGERING)
        return;
    if (h1->in.n == 0)
        buf_fini(&h1->in);
    bool hungry = h1->state <= BODY;
    connection_read(connection, hungry || h1->in.n < HTTP_HEAD_BYTES);
}

/* ---- what the connection tells ----------------------------------------------------------------- */

static int h1_begin(struct connection *connection)
{
    connection->speaker = calloc(1, sizeof(struct h1));
    if (connection->speaker == NULL)
        return ERR_NO_MEMORY;
    become_idle(connection);
    proceed(connection);
    return 0;
}

static void h1_fini(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    exchange_abandon(&h1->now);
    buf_fini(&h1->in);
    free(h1);
}

static void h1_leave(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    if (h1->state == ASKED || h1->state == STREAMING) /* else channel_write may hold its bytes */
        exchange_abandon(&h1->now);
}

static void h1_ended(struct connection *connection, bool reset)
{
    struct h1 *h1 = h1_of(connection);
    h1->last = true;
    if (reset || h1->state != WRITING)
        connection_leave(connection);
    else
        connection_read(connection, false); /* it may still want the reply */
}

static void h1_read(struct connection *connection, struct slice bytes)
{
    struct h1 *h1 = h1_of(connection);
    if (h1->state == LINGERING) {
        h1->lingered += bytes.n;
        if (h1->lingered > LINGER_BYTES)
            connection_leave(connection);
        return;
    }
    if (h1->in.p == NULL)
        buf_init(&h1->in, INPUT_BYTES);
    if (buf_add_slice(&h1->in, bytes) != 0)
        connection_leave(connection);
    else
        proceed(connection);
}

static void h1_deadline(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    switch (h1->state) {
    case HEAD:
        refuse(connection, 408, "the request's head took too long");
        break;
    case BODY:
        refuse(connection, 408, "the request's body took too long");
        break;
    case ASKED:
        if (h1->now->state == WAITING)
            h1->last = true;
        exchange_expire(h1->now);
        break;
    default:
        connection->http->counters->timeouts += h1->state == WRITING || h1->state == STREAMING;
        connection_leave(connection);
    }
}

static void h1_refuse(struct connection *connection, const char *why)
{
    refuse(connection, 503, why);
}

static void h1_stop(struct connection *connection)
{
    struct h1 *h1 = h1_of(connection);
    h1->last = true;
    if (h1->state != ASKED && h1->state != STREAMING && h1->state != WRITING) {
        connection_leave(connection);
        return;
    }
    ticker_set(connection->deadline, HTTP_DRAIN_MS, 0);
    if (h1->state != WRITING)
        exchange_drain(h1->now); /* questions end early, changes are made */
}

const struct protocol h1_protocol = {
    .begin = h1_begin,
    .read = h1_read,
    .ended = h1_ended,
    .written = on_written,
    .deadline = h1_deadline,
    .refuse = h1_refuse,
    .stop = h1_stop,
    .leave = h1_leave,
    .fini = h1_fini,
};
