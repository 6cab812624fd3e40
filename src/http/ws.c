/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: see ws.h. While more than OUT_BYTES are unsent nothing is looked at, so that no flood of pings makes a
 * flood of pongs.
 */
#include "ws.h"

#include "base/clock.h"
#include "frames.h"

#include <stdlib.h>
#include <sys/socket.h>

enum {
    OUT_BYTES = 64 * 1024,
    WAITING_BYTES = HTTP_SOCKET_BYTES + OUT_BYTES + 16 * 1024,
    LINGER_BYTES = 1024 * 1024,
    KERNEL_BYTES =
        64 * 1024, /* that wait there; by itself it would take megabytes of a client that reads none */
};

/*  state     what happens                                        what ends it
 *  OPEN      messages both ways                                  a close frame, ours or theirs
 *  CLOSING   ours was sent, theirs is waited for                 theirs, HTTP_LINGER_MS
 *  ENDING    the end was sent, what comes is forgotten           theirs, HTTP_LINGER_MS */
enum ws_state { WS_OPEN, WS_CLOSING, WS_ENDING };

struct http_socket {
    struct connection *connection;
    const struct http_socket_calls *calls; /* NULL once `closed` was called */
    void *owner;
    struct frames *frames;
    enum ws_state state;
    struct buf in; /* read, not yet looked at */
    struct buf sending;
    bool writing, looking, broken; /* broken: it leaves at the next deadline */
    bool heard;                    /* anything, since the last ping */
    size_t forgotten;
    int64_t write_began_us;
};

static struct http_socket *socket_of(struct connection *connection)
{
    return connection->speaker;
}

/* ---- out ----------------------------------------------------------------------------------------- */

/* Not at once, for whoever calls may be in the midst of its owners. */
static void leave_soon(struct http_socket *socket)
{
    socket->broken = true;
    ticker_set(socket->connection->deadline, 0, 0);
}

/* Of `sending`. */
static void write_bytes(struct http_socket *socket)
{
    struct slice bytes = buf_slice(&socket->sending);
    socket->writing = true;
    socket->write_began_us = clock_monotonic_us();
    if (channel_write(&socket->connection->channel, &bytes, 1) != 0)
        leave_soon(socket);
}

static void write_on(struct http_socket *socket)
{
    struct connection *connection = socket->connection;
    if (socket->writing || frames_waiting(socket->frames) == 0 || channel_is_closing(&connection->channel))
        return;
    buf_clear(&socket->sending);
    frames_take(socket->frames, &socket->sending);
    write_bytes(socket);
}

/* Both sides have said their close, or ours was and theirs can't be read any more: the bytes end. */
static void end_bytes(struct http_socket *socket)
{
    struct connection *connection = socket->connection;
    socket->state = WS_ENDING;
    ticker_set(connection->deadline, HTTP_LINGER_MS, 0);
    if (channel_shutdown(&connection->channel) != 0)
        leave_soon(socket);
}

/* After anything that may have put bytes or a close into frames. */
static void proceed(struct http_socket *socket)
{
    if (socket->looking || socket->broken)
        return;
    write_on(socket);
    if (socket->state == WS_OPEN && frames_closed(socket->frames)) {
        socket->state = WS_CLOSING;
        ticker_set(socket->connection->deadline, HTTP_LINGER_MS, 0);
    }
    if (socket->state == WS_CLOSING && !socket->writing && frames_waiting(socket->frames) == 0 &&
        !frames_wants_more(socket->frames))
        end_bytes(socket);
}

static size_t unsent(const struct http_socket *socket)
{
    return frames_waiting(socket->frames) + (socket->writing ? socket->sending.n : 0);
}

/* ---- in ------------------------------------------------------------------------------------------ */

static void on_text(void *arg, struct slice text)
{
    struct http_socket *socket = arg;
    if (socket->calls != NULL)
        socket->calls->text(socket->owner, text);
}

/* What was read, piece by piece, as long as what it causes gets away. */
static void look(struct http_socket *socket)
{
    while (socket->state != WS_ENDING && !socket->broken && socket->in.n > 0 && unsent(socket) < OUT_BYTES) {
        size_t n = socket->in.n < FRAMES_FEED_BYTES ? socket->in.n : FRAMES_FEED_BYTES;
        socket->looking = true;
        int rc = frames_feed(socket->frames, (struct slice){socket->in.p, n});
        socket->looking = false;
        buf_consume(&socket->in, frames_wants_more(socket->frames) ? n : socket->in.n);
        if (rc != 0)
            leave_soon(socket);
        proceed(socket);
    }
    if (socket->in.n == 0)
        buf_fini(&socket->in);
    connection_read(socket->connection, socket->in.n == 0);
}

static void ws_read(struct connection *connection, struct slice bytes)
{
    struct http_socket *socket = socket_of(connection);
    socket->heard = true;
    if (socket->state == WS_ENDING) {
        socket->forgotten += bytes.n;
        if (socket->forgotten > LINGER_BYTES)
            connection_leave(connection);
        return;
    }
    if (socket->in.p == NULL)
        buf_init(&socket->in, INPUT_BYTES);
    if (buf_add_slice(&socket->in, bytes) != 0)
        connection_leave(connection);
    else
        look(socket);
}

/* ---- what the connection tells ------------------------------------------------------------------- */

static void ws_ended(struct connection *connection, bool reset)
{
    (void)reset;
    connection_leave(connection);
}

static void ws_written(struct connection *connection, int status)
{
    struct http_socket *socket = socket_of(connection);
    socket->writing = false;
    if (status != 0) {
        connection_leave(connection);
        return;
    }
    proceed(socket);
    if (socket->in.n > 0)
        look(socket);
}

/* In OPEN each ping_ms: who has said nothing since the last ping is gone, who takes nothing as well. */
static void ws_deadline(struct connection *connection)
{
    struct http_socket *socket = socket_of(connection);
    const struct http_options *options = &connection->http->options;
    bool stuck =
        socket->writing && clock_monotonic_us() - socket->write_began_us > (int64_t)options->reply_ms * 1000;
    if (socket->state != WS_OPEN || socket->broken || !socket->heard || stuck) {
        connection->http->counters->timeouts += socket->state == WS_OPEN && !socket->broken;
        connection_leave(connection);
        return;
    }
    socket->heard = false;
    if (unsent(socket) == 0)
        (void)!frames_ping(socket->frames); /* without it the next deadline is the end */
    proceed(socket);
}

static void ws_refuse(struct connection *connection, const char *why)
{
    (void)why;
    connection_leave(connection);
}

static void ws_stop(struct connection *connection)
{
    struct http_socket *socket = socket_of(connection);
    if (socket->state == WS_OPEN)
        http_socket_close(socket, HTTP_SOCKET_GOING_AWAY, "the hub is stopping");
}

static void ws_leave(struct connection *connection)
{
    struct http_socket *socket = socket_of(connection);
    const struct http_socket_calls *calls = socket->calls;
    socket->calls = NULL;
    if (calls != NULL)
        calls->closed(socket->owner);
}

static void ws_fini(struct connection *connection)
{
    struct http_socket *socket = socket_of(connection);
    frames_destroy(&socket->frames);
    buf_fini(&socket->in);
    buf_fini(&socket->sending);
    free(socket);
}

static const struct protocol ws_protocol = {
    .read = ws_read,
    .ended = ws_ended,
    .written = ws_written,
    .deadline = ws_deadline,
    .refuse = ws_refuse,
    .stop = ws_stop,
    .leave = ws_leave,
    .fini = ws_fini,
};

/* ---- its birth ----------------------------------------------------------------------------------- */

static int create(struct http_socket **out, struct connection *connection, const struct exchange *exchange,
                  struct slice rest)
{
    struct http_socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        return ERR_NO_MEMORY;
    socket->connection = connection;
    socket->calls = exchange->reply.socket;
    socket->owner = exchange->reply.socket_owner;
    socket->heard = true;
    buf_init(&socket->in, INPUT_BYTES);
    buf_init(&socket->sending, WAITING_BYTES);
    int rc = frames_create(&socket->frames, WAITING_BYTES, on_text, socket);
    if (rc == 0)
        rc = buf_addf(&socket->sending,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: %s\r\n\r\n",
                      exchange->accept);
    if (rc == 0)
        rc = buf_add_slice(&socket->in, rest);
    if (rc == 0) {
        *out = socket;
        return 0;
    }
    frames_destroy(&socket->frames);
    buf_fini(&socket->sending);
    buf_fini(&socket->in);
    free(socket);
    return rc;
}

int ws_take_over(struct connection *connection, struct exchange *exchange, struct slice rest)
{
    struct http_socket *socket;
    int rc = create(&socket, connection, exchange, rest);
    if (rc != 0)
        return rc;
    exchange->reply.socket = NULL; /* the owner is the socket's now */
    connection->is_socket = true;
    connection->http->sockets++;
    connection->protocol = &ws_protocol;
    connection->speaker = socket;
    int kernel_bytes = KERNEL_BYTES;
    (void)setsockopt(connection->channel.conn.fd, SOL_SOCKET, SO_SNDBUF, &kernel_bytes, sizeof kernel_bytes);
    uint64_t ping_ms = connection->http->options.ping_ms;
    ticker_set(connection->deadline, ping_ms, ping_ms);
    write_bytes(socket);
    socket->calls->open(socket->owner, socket);
    look(socket);
    return 0;
}

/* ---- what its owner may do ----------------------------------------------------------------------- */

int http_socket_send(struct http_socket *socket, struct slice text)
{
    if (socket->state != WS_OPEN || socket->broken)
        return ERR_CANCELLED;
    if (text.n > HTTP_SOCKET_BYTES || unsent(socket) > HTTP_SOCKET_BYTES - text.n)
        return ERR_LIMIT;
    int rc = frames_say(socket->frames, text);
    proceed(socket);
    return rc;
}

size_t http_socket_unsent(const struct http_socket *socket)
{
    return unsent(socket);
}

void http_socket_close(struct http_socket *socket, unsigned code, const char *why)
{
    if (frames_close(socket->frames, code, why) != 0)
        leave_soon(socket);
    proceed(socket);
}
