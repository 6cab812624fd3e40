/* SPDX-License-Identifier: Apache-2.0
 *
 * connection: the life of a connection, request after request; inside.h has its states. What is read goes
 * into `in`, is cut into head and body here, and what stays is the next request.
 */
#include "base/clock.h"
#include "inside.h"
#include "reply.h"
#include "route.h"

#include <stdlib.h>

enum { LINGER_BYTES = 1024 * 1024, TOLD_TO_LEAVE = 16 };

static void proceed(struct connection *connection);

static void free_connection(struct connection *connection)
{
    struct http *http = connection->http;
    if (connection->prev != NULL)
        connection->prev->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next != NULL)
        connection->next->prev = connection->prev;
    http->counters->connections = --http->open;
    exchange_destroy(&connection->now);
    buf_fini(&connection->in);
    free(connection);
    http_free_when_done(http);
}

static void on_closed(struct conn *conn)
{
    struct connection *connection = (struct connection *)conn;
    connection->closed = true;
    if (connection->state != WORKING)
        free_connection(connection);
}

void connection_leave(struct connection *connection)
{
    if (connection->now != NULL)
        exchange_cancel(connection->now);
    if (connection->state == WAITING) {
        exchange_withdraw(connection->now);
        connection->state = IDLE;
    }
    ticker_destroy(&connection->deadline);
    conn_close(&connection->conn);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct connection *connection = handle->data;
    (void)hint;
    size_t room = INPUT_BYTES - connection->in.n; /* on_read stops reading before it is none */
    *out = uv_buf_init(connection->http->read, (unsigned)(room < READ_BYTES ? room : READ_BYTES));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes);

static void read_on(struct connection *connection, bool on)
{
    if (on == connection->reading || conn_is_closing(&connection->conn))
        return;
    connection->reading = on;
    if (!on)
        (void)uv_read_stop(&connection->conn.handle.stream);
    else if (uv_read_start(&connection->conn.handle.stream, on_alloc, on_read) != 0)
        connection_leave(connection);
}

static void linger_on(uv_shutdown_t *request, int status)
{
    (void)status;
    struct connection *connection = request->data;
    if (connection->http->closing)
        connection_leave(connection);
}

/* A close with unread bytes is a reset, which can overtake the reply: read on for a while. */
static void linger(struct connection *connection)
{
    connection->state = LINGERING;
    buf_fini(&connection->in);
    connection->shutdown.data = connection;
    ticker_set(connection->deadline, HTTP_LINGER_MS, 0);
    if (uv_shutdown(&connection->shutdown, &connection->conn.handle.stream, linger_on) != 0)
        connection_leave(connection);
    else
        read_on(connection, true);
}

static void become_idle(struct connection *connection)
{
    connection->state = IDLE;
    ticker_set(connection->deadline, connection->http->options.idle_ms, 0);
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = write->data;
    if (conn_is_closing(&connection->conn))
        return;
    exchange_destroy(&connection->now);
    if (status != 0) {
        connection_leave(connection);
    } else if (connection->last || connection->http->closing) {
        linger(connection);
    } else {
        become_idle(connection);
        proceed(connection);
    }
}

static void count(struct http *http, int status)
{
    http->counters->requests++;
    http->counters->refused += status >= 400;
    http->counters->timeouts += status == 408;
}

static int compose(struct connection *connection, size_t *skip)
{
    struct exchange *exchange = connection->now;
    bool keep = exchange->head.keep_alive && !connection->last && !connection->http->closing;
    struct http_reply_facts facts = {
        .now_us = clock_real_us(),
        .id = exchange->id,
        .keep_alive = keep,
        .old = exchange->head.minor == 0,
        .head_only = slice_equal(exchange->head.method, SLICE("HEAD")),
    };
    connection->last = !keep;
    int rc = http_reply_head(&exchange->reply, &facts, &exchange->head_out, skip);
    if (facts.head_only)
        buf_clear(&exchange->reply.body);
    if (exchange->reply.body.n == 0)
        *skip = 0;
    return rc;
}

void connection_reply(struct connection *connection)
{
    size_t skip;
    struct exchange *exchange = connection->now;
    count(connection->http, exchange->reply.status);
    connection->state = WRITING;
    if (connection->closed) {
        free_connection(connection);
        return;
    }
    if (conn_is_closing(&connection->conn))
        return;
    if (compose(connection, &skip) != 0) {
        connection_leave(connection);
        return;
    }
    struct buf *body = &exchange->reply.body;
    uv_buf_t parts[] = {uv_buf_init(exchange->head_out.p, (unsigned)exchange->head_out.n),
                        uv_buf_init(body->p + skip, (unsigned)(body->n - skip))};
    exchange->write.data = connection;
    ticker_set(connection->deadline,
               connection->http->closing ? HTTP_DRAIN_MS : connection->http->options.reply_ms, 0);
    if (uv_write(&exchange->write, &connection->conn.handle.stream, parts, body->n > skip ? 2 : 1,
                 on_written) != 0)
        connection_leave(connection);
}

/* What comes behind a refused request can't be told from its body: the connection ends with the reply. */
static void refuse(struct connection *connection, int status, const char *why)
{
    if (connection->now == NULL)
        connection->now = exchange_create(connection);
    if (connection->now == NULL) {
        connection_leave(connection);
        return;
    }
    exchange_refuse(connection->now, status, why);
    connection->last = true;
    connection_reply(connection);
}

static void refuse_route(struct connection *connection, int status, const char *allow, const char *why)
{
    struct exchange *exchange = connection->now;
    exchange_refuse(exchange, status, why);
    if (status == 405)
        (void)!buf_addf(&exchange->reply.fields, "Allow: %s\r\n", allow);
    if (status == 401)
        (void)!buf_addf(&exchange->reply.fields, "WWW-Authenticate: Bearer realm=\"mail-analytics\"\r\n");
    if (exchange->head.framing != HTTP_NO_BODY)
        connection->last = true; /* nobody reads its body */
    connection_reply(connection);
}

/* Room for the body; large ones share a budget. False: it was refused. */
static bool prepare_body(struct connection *connection)
{
    struct http *http = connection->http;
    struct exchange *exchange = connection->now;
    size_t limit = exchange->route->body_bytes;
    size_t need = exchange->head.framing == HTTP_CHUNKED ? limit : exchange->head.content_length;
    buf_init(&exchange->body, limit);
    if (need <= HTTP_SMALL_BODY_BYTES)
        return true;
    if (http->bodies_bytes + need > HTTP_BODIES_BYTES) {
        refuse(connection, 503, "too many large bodies come at once: try again in a second");
        return false;
    }
    exchange->shared_body = need;
    http->bodies_bytes += need;
    return true;
}

static void begin_body(struct connection *connection)
{
    static char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct exchange *exchange = connection->now;
    if (!prepare_body(connection))
        return;
    connection->state = BODY;
    ticker_set(connection->deadline, connection->http->options.body_ms, 0);
    if (exchange->head.expects_continue && connection->in.n == 0) {
        uv_buf_t bytes = uv_buf_init(go_on, sizeof go_on - 1);
        (void)uv_try_write(&connection->conn.handle.stream, &bytes,
                           1); /* without it the client waits, then sends */
    }
}

static void take_head(struct connection *connection, size_t n)
{
    const char *why = NULL;
    char allow[HTTP_ALLOW_BYTES];
    const struct http_options *options = &connection->http->options;
    struct exchange *exchange = connection->now = exchange_create(connection);
    if (exchange == NULL || buf_add(&exchange->head_bytes, connection->in.p, n) != 0) {
        connection_leave(connection);
        return;
    }
    buf_consume(&connection->in, n);
    connection->scanned = 0;
    int status = http_head_parse(buf_slice(&exchange->head_bytes), &exchange->head, &why);
    if (status != 0) {
        refuse(connection, status, why);
        return;
    }
    status = http_route_find(options->routes, options->route_count, &exchange->head, &exchange->route, allow,
                             &why);
    if (status != 0)
        refuse_route(connection, status, allow, why);
    else if (exchange->head.framing == HTTP_NO_BODY)
        exchange_start(exchange);
    else
        begin_body(connection);
}

/* In IDLE and HEAD. */
static void find_head(struct connection *connection)
{
    struct buf *in = &connection->in;
    while (in->n >= 2 && in->p[0] == '\r' && in->p[1] == '\n') { /* RFC 9112, 2.2: before a request */
        buf_consume(in, 2);
        connection->scanned = 0;
    }
    if (connection->state == IDLE && in->n > 0) {
        connection->state = HEAD;
        ticker_set(connection->deadline, connection->http->options.head_ms, 0);
    }
    size_t n = in->n > 0 ? http_head_end(buf_slice(in), &connection->scanned) : 0;
    if (n > 0)
        take_head(connection, n);
    else if (in->n > HTTP_LINE_BYTES &&
             memchr(in->p, '\n', HTTP_LINE_BYTES + 2 < in->n ? HTTP_LINE_BYTES + 2 : in->n) == NULL)
        refuse(connection, 414, "the request line has more than 8192 bytes");
    else if (in->n > HTTP_HEAD_BYTES)
        refuse(connection, 431, "the head has more than 16384 bytes");
}

static int take_length(struct connection *connection)
{
    struct exchange *exchange = connection->now;
    uint64_t left = exchange->head.content_length - exchange->body.n;
    size_t n = connection->in.n < left ? connection->in.n : (size_t)left;
    int rc = n > 0 ? buf_add(&exchange->body, connection->in.p, n) : 0;
    buf_consume(&connection->in, n);
    return rc != 0 ? rc : n == left ? 0 : ERR_MORE;
}

static int take_chunks(struct connection *connection)
{
    size_t used = 0;
    struct exchange *exchange = connection->now;
    if (connection->in.n == 0)
        return ERR_MORE;
    int rc = http_chunked_decode(&exchange->chunked, buf_slice(&connection->in), &used, &exchange->body);
    buf_consume(&connection->in, used);
    return rc;
}

static void take_body(struct connection *connection)
{
    struct exchange *exchange = connection->now;
    int rc = exchange->head.framing == HTTP_CHUNKED ? take_chunks(connection) : take_length(connection);
    if (rc == 0)
        exchange_start(exchange);
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
    if (connection->state == IDLE || connection->state == HEAD)
        find_head(connection);
    if (connection->state == BODY)
        take_body(connection);
    if (conn_is_closing(&connection->conn) || connection->state == LINGERING)
        return;
    if (connection->in.n == 0)
        buf_fini(&connection->in);
    bool hungry = connection->state <= BODY;
    read_on(connection, hungry || connection->in.n < HTTP_HEAD_BYTES);
}

static void on_end(struct connection *connection, bool reset)
{
    connection->last = true;
    if (connection->state == WORKING || connection->state == WAITING)
        connection->http->counters->abandoned++;
    if (reset || connection->state != WRITING)
        connection_leave(connection);
    else
        read_on(connection, false); /* it may still want the reply */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct connection *connection = stream->data;
    if (n < 0)
        on_end(connection, n != UV_EOF);
    if (n <= 0)
        return;
    if (connection->state == LINGERING) {
        connection->lingered += (size_t)n;
        if (connection->lingered > LINGER_BYTES)
            connection_leave(connection);
        return;
    }
    if (connection->in.p == NULL)
        buf_init(&connection->in, INPUT_BYTES);
    if (buf_add(&connection->in, bytes->base, (size_t)n) != 0)
        connection_leave(connection);
    else
        proceed(connection);
}

static void on_deadline(void *arg)
{
    struct connection *connection = arg;
    struct http *http = connection->http;
    switch (connection->state) {
    case HEAD:
        refuse(connection, 408, "the request's head took too long");
        break;
    case BODY:
        refuse(connection, 408, "the request's body took too long");
        break;
    case WAITING:
        exchange_withdraw(connection->now);
        connection->state = WORKING;
        refuse(connection, 503, "no worker was free in time: try again in a second");
        break;
    case WORKING:
        exchange_cancel(connection->now); /* the handler's own answer follows */
        break;
    default:
        http->counters->timeouts += connection->state == WRITING;
        connection_leave(connection);
    }
}

void connection_end(struct connection *connection)
{
    connection->last = true;
    if (conn_is_closing(&connection->conn))
        return;
    if (connection->state == WAITING) {
        exchange_withdraw(connection->now);
        connection->state = WORKING;
        refuse(connection, 503, "the hub is stopping");
    } else if (connection->state == WORKING || connection->state == WRITING) {
        exchange_cancel(connection->now); /* questions end early, changes are made */
        ticker_set(connection->deadline, HTTP_DRAIN_MS, 0);
    } else {
        connection_leave(connection);
    }
}

/* How many connections there are beyond what is allowed. */
static unsigned excess(const struct connection *connection)
{
    const struct http *http = connection->http;
    unsigned same = 0, all = http->open;
    for (const struct connection *other = http->connections; other != NULL; other = other->next)
        same += ip_compare(&other->conn.peer, &connection->conn.peer) == 0;
    all -= all < http->options.max_connections ? all : http->options.max_connections;
    same -= same < http->options.max_per_address ? same : http->options.max_per_address;
    return all > same ? all : same;
}

/* With a word, as long as few are told. */
static void turn_away(struct connection *connection)
{
    connection->http->counters->turned_away++;
    if (excess(connection) > TOLD_TO_LEAVE)
        connection_leave(connection);
    else
        refuse(connection, 503, "too many connections are open: try again in a second");
}

void connection_accept(struct http *http, struct acceptor *acceptor)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        acceptor_turn_away(acceptor);
        return;
    }
    connection->http = http;
    connection->next = http->connections;
    if (connection->next != NULL)
        connection->next->prev = connection;
    http->connections = connection;
    http->counters->connections = ++http->open;
    if (conn_accept(&connection->conn, acceptor, on_closed) != 0)
        return;
    if (acceptor_endpoint(acceptor)->kind == ENDPOINT_UNIX)
        (void)!ip_parse(SLICE("127.0.0.1"), &connection->conn.peer);
    if (ticker_create(&connection->deadline, http->loop, on_deadline, connection) != 0)
        connection_leave(connection);
    else if (excess(connection) > 0)
        turn_away(connection);
    else {
        become_idle(connection);
        proceed(connection);
    }
}
