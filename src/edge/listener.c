/* SPDX-License-Identifier: Apache-2.0
 *
 * listener: the sockets, the limits and the clocks around clients (client.c). See listener.h.
 */
#include "listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "client.h"
#include "loop/ticker.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    EVICTION_LOOKS = 64, /* idle connections compared before one is closed */
    SWEEP_MS = 1000,
};

struct listener {
    struct clients clients; /* first */
    uv_loop_t *loop;
    uv_prepare_t prepare;
    struct ticker *sweep, *deadline;
    struct acceptor *acceptors[ACCEPTOR_INHERITED_MAX];
    int acceptor_count;
    bool destroyed, prepare_closed;
};

static void free_when_done(struct listener *listener)
{
    if (listener->destroyed && listener->prepare_closed && listener->clients.age.first == NULL)
        free(listener);
}

static void on_gone(struct clients *clients)
{
    free_when_done((struct listener *)clients);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct listener *listener = prepare->data;
    client_turn_ended(&listener->clients);
}

static void on_prepare_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    listener->prepare_closed = true;
    free_when_done(listener);
}

static void on_sweep(void *arg)
{
    struct listener *listener = arg;
    int64_t oldest_us = clock_monotonic_us() - listener->clients.options.half_timeout_us;
    for (struct client *client = listener->clients.age.first; client != NULL; client = client->age.next)
        if (client->state == CLIENT_HALF && client->half_since_us < oldest_us)
            client_give_up(client);
}

static void set_deadline(struct listener *listener)
{
    const struct client *first = listener->clients.wait.first;
    if (first == NULL) {
        ticker_stop(listener->deadline);
        return;
    }
    int64_t left_us = first->owed_since_us + LISTENER_ANSWER_WITHIN_MS * 1000 - clock_monotonic_us();
    ticker_set(listener->deadline, left_us > 0 ? (uint64_t)left_us / 1000 : 0, 0);
}

static void on_deadline(void *arg)
{
    struct listener *listener = arg;
    int64_t due_us = clock_monotonic_us() - LISTENER_ANSWER_WITHIN_MS * 1000 + 1000;
    struct client *client;
    while ((client = listener->clients.wait.first) != NULL && client->owed_since_us <= due_us)
        client_pay(client, false);
    set_deadline(listener);
}

/* libuv counts a timer from the start of the loop's turn, so it would fire early, never late: update first.
 */
static void on_wait_began(struct clients *clients)
{
    struct listener *listener = (struct listener *)clients;
    uv_update_time(listener->loop);
    set_deadline(listener);
}

void listener_synced(struct listener *listener, uint64_t seq)
{
    struct client *client = listener->clients.wait.first, *next;
    for (; client != NULL; client = next) {
        next = client->wait.next;
        if (client->owed_seq <= seq)
            client_pay(client, true);
    }
    if (listener->clients.wait.first == NULL)
        ticker_stop(listener->deadline);
}

/* Makes room: of some of the oldest connections the one that was silent longest, unless all are at work. */
static void evict(struct listener *listener)
{
    struct clients *clients = &listener->clients;
    struct client *client = clients->age.first, *found = NULL;
    uint64_t held;
    for (int i = 0; client != NULL && i < EVICTION_LOOKS; client = client->age.next, i++)
        if (client->state == CLIENT_IDLE && client->owed == 0 &&
            (found == NULL || client->last_us < found->last_us))
            found = client;
    clients->stats.evicted++;
    if (throttle_pass(&clients->full_log, clock_monotonic_us(), &held))
        log_warning(
            "connections at their limit: %llu, the longest idle one is closed for each new one (raise "
            "max_connections above Postfix's process limits; repeats %llu)",
            (unsigned long long)clients->options.max_connections, (unsigned long long)held);
    client_close(found != NULL ? found : clients->age.last);
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    struct listener *listener = arg;
    client_accept(&listener->clients, acceptor);
    if (listener->clients.stats.open > listener->clients.options.max_connections)
        evict(listener);
}

int listener_create(struct listener **out, uv_loop_t *loop, const struct listener_options *options,
                    struct err *err)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the policy port");
    listener->loop = loop;
    listener->clients.options = *options;
    listener->clients.wait_began = on_wait_began;
    listener->clients.gone = on_gone;
    (void)uv_prepare_init(loop, &listener->prepare); /* these two can't fail */
    listener->prepare.data = listener;
    (void)uv_prepare_start(&listener->prepare, on_prepare);
    if (ticker_create(&listener->sweep, loop, on_sweep, listener) != 0 ||
        ticker_create(&listener->deadline, loop, on_deadline, listener) != 0) {
        listener_destroy(&listener);
        return err_set(err, ERR_NO_MEMORY, "no memory for the policy port");
    }
    uint64_t half_ms = (uint64_t)options->half_timeout_us / 2000 + 1;
    uint64_t sweep_ms = half_ms < SWEEP_MS ? half_ms : SWEEP_MS;
    ticker_set(listener->sweep, sweep_ms, sweep_ms);
    *out = listener;
    return 0;
}

int listener_add(struct listener *listener, int fd, bool unlink_at_close, struct err *err)
{
    int i = listener->acceptor_count;
    if (i == ACCEPTOR_INHERITED_MAX) {
        close(fd);
        return err_set(err, ERR_LIMIT, "at most %d sockets can be listened on", ACCEPTOR_INHERITED_MAX);
    }
    int rc = acceptor_open(&listener->acceptors[i], listener->loop, fd, unlink_at_close, on_connection,
                           listener, err);
    if (rc != 0)
        return rc;
    listener->acceptor_count++;
    return 0;
}

void listener_announce(const struct listener *listener)
{
    char where[ENDPOINT_TEXT_BYTES];
    for (int i = 0; i < listener->acceptor_count; i++) {
        endpoint_format(acceptor_endpoint(listener->acceptors[i]), where);
        log_info("answering on %s", where);
    }
}

void listener_stop(struct listener *listener)
{
    for (int i = 0; i < listener->acceptor_count; i++)
        acceptor_close(&listener->acceptors[i]);
    listener->acceptor_count = 0;
}

void listener_destroy(struct listener **listener)
{
    struct listener *self = *listener;
    *listener = NULL;
    if (self == NULL)
        return;
    listener_stop(self);
    while (self->clients.wait.first != NULL)
        client_pay(self->clients.wait.first, false);
    for (struct client *client = self->clients.age.first; client != NULL; client = client->age.next)
        client_close(client);
    ticker_destroy(&self->sweep);
    ticker_destroy(&self->deadline);
    self->destroyed = true;
    uv_close((uv_handle_t *)&self->prepare, on_prepare_closed);
}

const struct listener_stats *listener_get_stats(const struct listener *listener)
{
    return &listener->clients.stats;
}
