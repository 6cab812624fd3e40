/* SPDX-License-Identifier: Apache-2.0
 *
 * client: bytes from Postfix in, whole requests to keep(), answers out. A read lands in the buffer that all
 * clients share; only what is left of an unfinished request is copied aside. See listener.h for the bounds.
 */
#include "client.h"

#include "base/clock.h"
#include "base/log.h"
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum client_event { EVENT_BYTES, EVENT_END, EVENT_PAID, EVENT_STALE, EVENT_SLOW, EVENT_CLOSE, EVENTS };

typedef enum client_state (*client_action)(struct client *client, struct slice bytes);

/* 256 answers in a row: what is owed is sent from here, however much, without composing anything. */
#define ANSWER     POLICY_ANSWER_DUNNO
#define ANSWER_4   ANSWER ANSWER ANSWER ANSWER
#define ANSWER_16  ANSWER_4 ANSWER_4 ANSWER_4 ANSWER_4
#define ANSWER_64  ANSWER_16 ANSWER_16 ANSWER_16 ANSWER_16
#define ANSWER_256 ANSWER_64 ANSWER_64 ANSWER_64 ANSWER_64
enum { ANSWER_BYTES = sizeof ANSWER - 1, ANSWERS_IN_A_ROW = 256 };
static char answers[] = ANSWER_256;

static void handle(struct client *client, enum client_event event, struct slice bytes);

static void say_peer(const struct client *client, char out[static IP_TEXT_BYTES])
{
    static const struct ip unix_peer;
    if (ip_compare(&client->conn.peer, &unix_peer) == 0)
        memcpy(out, "unix", 5);
    else
        ip_format(&client->conn.peer, out);
}

/* --- sending ------------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    struct client *client = write->data;
    free(write);
    if (status != 0 && status != UV_ECANCELED)
        handle(client, EVENT_CLOSE, (struct slice){NULL, 0});
}

/* What the socket didn't take waits in libuv's queue, pointing into `answers`. */
static bool queue(struct client *client, const char *at, size_t n)
{
    if (uv_stream_get_write_queue_size(&client->conn.handle.stream) + n > LISTENER_UNSENT_BYTES)
        return false;
    uv_write_t *write = malloc(sizeof *write);
    if (write == NULL)
        return false;
    write->data = client;
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)at, (unsigned)n);
    if (uv_write(write, &client->conn.handle.stream, &bytes, 1, on_written) == 0)
        return true;
    free(write);
    return false;
}

/* Straight to the socket: send() costs less than the write() below uv_try_write. */
static bool send_row(struct client *client, uint32_t n)
{
    size_t bytes = (size_t)n * ANSWER_BYTES, sent = 0;
    if (uv_stream_get_write_queue_size(&client->conn.handle.stream) == 0) {
        ssize_t rc = send(client->conn.fd, answers, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (rc < 0 && errno != EAGAIN && errno != EINTR)
            return true; /* reset: the read side tells */
        sent = rc > 0 ? (size_t)rc : 0;
    }
    return sent == bytes || queue(client, answers + sent, bytes - sent);
}

/* False: the peer doesn't read its answers. */
static bool send_answers(struct client *client, uint32_t n, int64_t since_us)
{
    struct listener_stats *stats = &client->clients->stats;
    bool taken = true;
    for (uint32_t left = n; left > 0 && taken;) {
        uint32_t row = left < ANSWERS_IN_A_ROW ? left : ANSWERS_IN_A_ROW;
        taken = send_row(client, row);
        left -= row;
    }
    stats->answered += n;
    if (since_us == client->clients->turn_us)
        client->clients->turn_answers += n;
    else
        histogram_record(&stats->answer, clock_monotonic_us() - since_us, n);
    return taken;
}

/* One reading of the clock for all of a turn: none of its answers took longer. */
void client_turn_ended(struct clients *clients)
{
    if (clients->turn_answers > 0)
        histogram_record(&clients->stats.answer, clock_monotonic_us() - clients->turn_us,
                         clients->turn_answers);
    clients->turn_answers = 0;
    clients->turn_begun = false;
}

/* --- answers that wait for a sync ---------------------------------------------------------------------- */

static void wait_begin(struct client *client)
{
    struct clients *clients = client->clients;
    struct client *last = clients->wait.last;
    client->owed_since_us = clients->turn_us;
    client->wait = (struct client_link){.prev = last};
    *(last != NULL ? &last->wait.next : &clients->wait.first) = client;
    clients->wait.last = client;
    if (last == NULL)
        clients->wait_began(clients);
}

static void wait_end(struct client *client)
{
    struct clients *clients = client->clients;
    struct client *prev = client->wait.prev, *next = client->wait.next;
    *(prev != NULL ? &prev->wait.next : &clients->wait.first) = next;
    *(next != NULL ? &next->wait.prev : &clients->wait.last) = prev;
    client->owed = 0;
}

void client_pay(struct client *client, bool synced)
{
    uint32_t owed = client->owed;
    if (owed == 0)
        return;
    wait_end(client);
    if (!synced)
        client->clients->stats.answered_unsynced += owed;
    bool taken = send_answers(client, owed, client->owed_since_us);
    handle(client, taken ? EVENT_PAID : EVENT_SLOW, (struct slice){NULL, 0});
}

/* --- requests ------------------------------------------------------------------------------------------ */

static void begin_turn(struct clients *clients)
{
    if (clients->turn_begun)
        return;
    clients->turn_begun = true;
    clients->turn_us = clock_monotonic_us();
    clients->turn_real_us = clock_real_us();
}

static void tell_lost(struct client *client, int why)
{
    uint64_t held;
    client->clients->stats.answered_lost++;
    if (throttle_pass(&client->clients->lost_log, client->clients->turn_us, &held))
        log_warning("request answered but not kept: %s (the disk hangs, fails or is full: look at the "
                    "spool's file system; repeats %llu)",
                    why == ERR_UNAVAILABLE ? "the spool is not open yet" : "the spool's ring is full",
                    (unsigned long long)held);
}

/* Keeps one request; true when its answer has a sync to wait for. */
static bool keep(struct client *client, struct slice request)
{
    struct clients *clients = client->clients;
    uint64_t seq = 0;
    clients->stats.requests++;
    int rc =
        clients->options.keep(clients->options.arg, &client->conn.peer, clients->turn_real_us, request, &seq);
    if (rc != 0) {
        tell_lost(client, rc);
        return false;
    }
    client->owed_seq = seq;
    return clients->options.wait_synced;
}

/* False: too many answers unread. */
static bool answer(struct client *client, uint32_t n, bool wait)
{
    if (n == 0)
        return true;
    if (!wait && client->owed == 0)
        return send_answers(client, n, client->clients->turn_us);
    if (client->owed == 0)
        wait_begin(client);
    client->owed += n;
    if (client->owed > CLIENT_OWED_MAX)
        client_pay(client, false);
    return true;
}

static enum client_state refuse(struct client *client, const char *why)
{
    struct clients *clients = client->clients;
    char peer[IP_TEXT_BYTES];
    uint64_t held;
    clients->stats.garbage++;
    if (throttle_pass(&clients->garbage_log, clients->turn_us, &held)) {
        say_peer(client, peer);
        log_warning("client %s closed (no policy request: %s; point only check_policy_service here; "
                    "repeats %llu)",
                    peer, why, (unsigned long long)held);
    }
    return CLIENT_CLOSED;
}

/* What is left of the bytes stays with the client until the rest of it comes. */
static enum client_state hold(struct client *client, struct slice rest, bool fresh)
{
    if (rest.n == 0) {
        buf_fini(&client->half);
        return CLIENT_IDLE;
    }
    if (client->half.n > 0)
        buf_consume(&client->half, client->half.n - rest.n);
    else if (buf_add_slice(&client->half, rest) != 0)
        return refuse(client, "out of memory");
    if (fresh)
        client->half_since_us = client->clients->turn_us;
    return CLIENT_HALF;
}

static enum client_state take(struct client *client, struct slice bytes)
{
    struct slice rest = bytes;
    if (client->state == CLIENT_HALF) {
        if (buf_add_slice(&client->half, bytes) != 0)
            return refuse(client, "out of memory");
        rest = buf_slice(&client->half);
    }
    const char *why = "";
    size_t used;
    uint32_t whole = 0;
    bool wait = false;
    int rc = ERR_MORE;
    while (rest.n > 0 && (rc = policy_frame(rest, &client->seen, &used, &why)) == 0) {
        wait |= keep(client, (struct slice){rest.p, used});
        rest = (struct slice){rest.p + used, rest.n - used};
        client->seen = 0;
        whole++;
        rc = ERR_MORE;
    }
    enum client_state before = client->state;
    if (!answer(client, whole, wait)) {
        client->clients->stats.slow++;
        return CLIENT_CLOSED;
    }
    if (client->state == CLIENT_CLOSED) /* while answering */
        return CLIENT_CLOSED;
    return rc == ERR_MORE ? hold(client, rest, whole > 0 || before == CLIENT_IDLE) : refuse(client, why);
}

/* --- the state table ----------------------------------------------------------------------------------- */

static enum client_state stay(struct client *client, struct slice bytes)
{
    (void)bytes;
    return client->state;
}

static enum client_state end(struct client *client, struct slice bytes)
{
    (void)bytes;
    return client->owed > 0 ? CLIENT_LEAVING : CLIENT_CLOSED;
}

static enum client_state leave(struct client *client, struct slice bytes)
{
    (void)client;
    (void)bytes;
    return CLIENT_CLOSED;
}

static enum client_state expire(struct client *client, struct slice bytes)
{
    (void)bytes;
    client->clients->stats.stale++;
    return CLIENT_CLOSED;
}

static enum client_state overflow(struct client *client, struct slice bytes)
{
    (void)bytes;
    client->clients->stats.slow++;
    return CLIENT_CLOSED;
}

static const client_action actions[CLIENT_STATES][EVENTS] = {
    /*                  BYTES END    PAID   STALE   SLOW      CLOSE */
    [CLIENT_IDLE] = {take, end, stay, stay, overflow, leave},
    [CLIENT_HALF] = {take, end, stay, expire, overflow, leave},
    [CLIENT_LEAVING] = {stay, stay, leave, stay, overflow, leave},
    [CLIENT_CLOSED] = {stay, stay, stay, stay, stay, stay},
};

static void handle(struct client *client, enum client_event event, struct slice bytes)
{
    enum client_state next = actions[client->state][event](client, bytes);
    if (next == client->state)
        return;
    client->state = next;
    if (next == CLIENT_LEAVING)
        (void)uv_read_stop(&client->conn.handle.stream);
    if (next != CLIENT_CLOSED)
        return;
    if (client->owed > 0)
        wait_end(client);
    client->clients->stats.open--;
    conn_close(&client->conn);
}

void client_give_up(struct client *client)
{
    handle(client, EVENT_STALE, (struct slice){NULL, 0});
}

void client_close(struct client *client)
{
    handle(client, EVENT_CLOSE, (struct slice){NULL, 0});
}

/* --- its birth and its second death -------------------------------------------------------------------- */

static void on_closed(struct conn *conn)
{
    struct client *client = (struct client *)conn;
    struct clients *clients = client->clients;
    struct client *prev = client->age.prev, *next = client->age.next;
    *(prev != NULL ? &prev->age.next : &clients->age.first) = next;
    *(next != NULL ? &next->age.prev : &clients->age.last) = prev;
    buf_fini(&client->half);
    free(client);
    clients->gone(clients);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    (void)hint;
    struct client *client = handle->data;
    *out = uv_buf_init(client->clients->bytes, CLIENT_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct client *client = stream->data;
    if (n > 0) {
        begin_turn(client->clients);
        client->last_us = client->clients->turn_us;
        handle(client, EVENT_BYTES, (struct slice){bytes->base, (size_t)n});
    } else if (n < 0) {
        handle(client, n == UV_EOF ? EVENT_END : EVENT_CLOSE, (struct slice){NULL, 0});
    }
}

static bool admitted(struct client *client)
{
    struct clients *clients = client->clients;
    char peer[IP_TEXT_BYTES];
    uint64_t held;
    if (clients->options.admit(clients->options.arg, &client->conn.peer))
        return true;
    clients->stats.refused++;
    if (throttle_pass(&clients->refused_log, client->last_us, &held)) {
        say_peer(client, peer);
        log_warning(
            "client %s refused (not in allow: add its network if it is a Postfix of yours; repeats %llu)",
            peer, (unsigned long long)held);
    }
    return false;
}

void client_accept(struct clients *clients, struct acceptor *acceptor)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        acceptor_turn_away(acceptor);
        return;
    }
    client->clients = clients;
    client->last_us = clock_monotonic_us();
    buf_init(&client->half, POLICY_REQUEST_BYTES + CLIENT_READ_BYTES);
    client->age.prev = clients->age.last;
    *(clients->age.last != NULL ? &clients->age.last->age.next : &clients->age.first) = client;
    clients->age.last = client;
    clients->stats.open++;
    if (conn_accept(&client->conn, acceptor, on_closed) != 0) {
        client->state = CLIENT_CLOSED;
        clients->stats.open--;
        return;
    }
    clients->stats.accepted++;
    if (!admitted(client) || uv_read_start(&client->conn.handle.stream, on_alloc, on_read) != 0)
        client_close(client);
}
