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
    if (!channel_is_closing(&connection->channel))
        connection->protocol->stop(connection);
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
    connection->protocol->ended(connection, reset);
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
    connection->protocol->deadline(connection);
}

/* How many connections there are beyond what is allowed. */
static unsigned excess(const struct connection *connection)
{
    const struct http *http = connection->http;
    const struct ip *peer = &connection->channel.conn.peer;
    unsigned same = 0, all = http->open;
    for (const struct connection *other = http->connections; other != NULL; other = other->next)
        same += ip_compare(&other->channel.conn.peer, peer) == 0;
    all -= all < http->options.max_connections ? all : http->options.max_connections;
    same -= same < http->options.max_per_address ? same : http->options.max_per_address;
    return all > same ? all : same;
}

/* With a word, as long as few are told. */
static void begin(struct connection *connection)
{
    unsigned beyond = excess(connection);
    connection->http->counters->turned_away += beyond > 0;
    connection->protocol = &h1_protocol;
    if (beyond > TOLD_TO_LEAVE || connection->protocol->begin(connection) != 0)
        connection_leave(connection);
    else if (beyond > 0)
        connection->protocol->refuse(connection, "too many connections are open: try again in a second");
}

void connection_accept(struct http *http, struct acceptor *acceptor)
{
    static const struct channel_calls calls = {
        .read = on_read, .ended = on_ended, .written = on_written, .told = on_told, .closed = on_closed};
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
        begin(connection);
}
