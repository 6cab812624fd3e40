/* SPDX-License-Identifier: Apache-2.0
 *
 * connection: its birth, its bounds and its end; in between its protocol has it. See inside.h.
 */
#include "inside.h"

#include <stdlib.h>

enum { TOLD_TO_LEAVE = 16 };

static void on_closed(struct channel *channel)
{
    struct connection *connection = (struct connection *)channel;
    struct http *http = connection->http;
    if (connection->prev != NULL)
        connection->prev->next = connection->next;
    else
        http->connections = connection->next;
    if (connection->next != NULL)
        connection->next->prev = connection->prev;
    http->counters->connections = --http->open;
    http->sockets -= connection->is_socket;
    if (connection->speaker != NULL)
        connection->protocol->fini(connection);
    free(connection);
    http_free_when_done(http);
}

void connection_leave(struct connection *connection)
{
    if (channel_is_closing(&connection->channel))
        return;
    channel_close(&connection->channel);
    if (connection->speaker != NULL)
        connection->protocol->leave(connection);
    ticker_destroy(&connection->deadline);
}

void connection_end(struct connection *connection)
{
    if (channel_is_closing(&connection->channel))
        return;
    if (connection->speaker != NULL)
        connection->protocol->stop(connection);
    else
        connection_leave(connection);
}

void connection_read(struct connection *connection, bool on)
{
    if (channel_read(&connection->channel, on) != 0)
        connection_leave(connection);
}

static void on_read(struct channel *channel, struct slice bytes)
{
    struct connection *connection = (struct connection *)channel;
    connection->protocol->read(connection, bytes);
}

static void on_ended(struct channel *channel, bool reset)
{
    struct connection *connection = (struct connection *)channel;
    if (connection->speaker != NULL)
        connection->protocol->ended(connection, reset);
    else
        connection_leave(connection); /* in the handshake */
}

static void on_written(struct channel *channel, int status)
{
    struct connection *connection = (struct connection *)channel;
    connection->protocol->written(connection, status);
}

static void on_told(struct channel *channel)
{
    struct connection *connection = (struct connection *)channel;
    if (connection->http->closing)
        connection_leave(connection);
}

static void on_deadline(void *arg)
{
    struct connection *connection = arg;
    if (connection->speaker != NULL) {
        connection->protocol->deadline(connection);
    } else {
        connection->http->counters->timeouts++;
        connection_leave(connection);
    }
}

/* How many connections there are beyond what is allowed. */
static unsigned excess(const struct connection *connection)
{
    const struct http *http = connection->http;
    const struct ip *peer = &connection->channel.conn.peer;
    unsigned same = 0, all = http->open - http->sockets;
    for (const struct connection *other = http->connections; other != NULL; other = other->next)
        same += !other->is_socket && ip_compare(&other->channel.conn.peer, peer) == 0;
    all -= all < http->options.max_connections ? all : http->options.max_connections;
    same -= same < http->options.max_per_address ? same : http->options.max_per_address;
    return all > same ? all : same;
}

static void speak(struct connection *connection, const struct protocol *protocol)
{
    connection->protocol = protocol;
    if (protocol->begin(connection) != 0)
        connection_leave(connection);
}

static void on_ready(struct channel *channel)
{
    speak((struct connection *)channel, secure_is_h2(channel->secure) ? &h2_protocol : &h1_protocol);
}

/* A handshake is not spent on one too many. */
static void begin_secure(struct connection *connection, bool beyond)
{
    struct http *http = connection->http;
    ticker_set(connection->deadline, http->options.head_ms, 0);
    if (beyond || channel_secure(&connection->channel, http->tls) != 0)
        connection_leave(connection);
}

static void begin(struct connection *connection, bool secure)
{
    unsigned beyond = excess(connection);
    connection->http->counters->turned_away += beyond > 0;
    if (secure) {
        begin_secure(connection, beyond > 0);
        return;
    }
    if (beyond > TOLD_TO_LEAVE)
        connection_leave(connection);
    else
        speak(connection, &h1_protocol);
    if (beyond > 0 && !channel_is_closing(&connection->channel)) /* with a word, as long as few are told */
        connection->protocol->refuse(connection, "too many connections are open: try again in a second");
}

void connection_accept(struct http *http, struct acceptor *acceptor, bool secure)
{
    static const struct channel_calls calls = {.ready = on_ready,
                                               .read = on_read,
                                               .ended = on_ended,
                                               .written = on_written,
                                               .told = on_told,
                                               .closed = on_closed};
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
    if (channel_accept(&connection->channel, acceptor, http->room, &calls) != 0)
        return;
    if (acceptor_endpoint(acceptor)->kind == ENDPOINT_UNIX)
        (void)!ip_parse(SLICE("127.0.0.1"), &connection->channel.conn.peer);
    if (ticker_create(&connection->deadline, http->loop, on_deadline, connection) != 0)
        connection_leave(connection);
    else
        begin(connection, secure);
}
