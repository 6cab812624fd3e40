/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: one request with its reply, and its way to a handler: at once (quick ones), on a worker, or
 * behind those that wait for one. See inside.h.
 */
#include "file_body.h"
#include "inside.h"
#include "route.h"
#include "stream.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Ids are not secret, only different: the counter is stirred (splitmix64), so that they don't tell how many
 * there were. */
static void make_id(struct http *http, char out[HTTP_ID_BYTES])
{
    uint64_t x = http->id_seed + ++http->id_count * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    (void)snprintf(out, HTTP_ID_BYTES, "%016llx", (unsigned long long)(x ^ x >> 31));
}

struct exchange *exchange_create(struct http *http, const struct exchange_owner *owner, void *owner_data)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->http = http;
    exchange->owner = owner;
    exchange->owner_data = owner_data;
    buf_init(&exchange->head_bytes, INPUT_BYTES);
    buf_init(&exchange->head_out, 2 * HTTP_FIELDS_BYTES);
    buf_init(&exchange->reply.body, HTTP_REPLY_BYTES);
    buf_init(&exchange->reply.fields, HTTP_FIELDS_BYTES);
    exchange->reply.status = 200;
    make_id(http, exchange->id);
    return exchange;
}

void exchange_destroy(struct exchange **exchange)
{
    struct exchange *self = *exchange;
    *exchange = NULL;
    if (self == NULL)
        return;
    assert(self->state == OPEN || self->state == ANSWERED);
    self->http->bodies_bytes -= self->shared_body;
    self->http->replies_bytes -= self->shared_reply;
    if (self->reply.socket != NULL)
        self->reply.socket->closed(self->reply.socket_owner);
    stream_destroy(&self->stream);
    buf_fini(&self->head_bytes);
    buf_fini(&self->body);
    buf_fini(&self->head_out);
    buf_fini(&self->reply.body);
    buf_fini(&self->reply.fields);
    file_body_destroy(&self->reply.file);
    free(self);
}

/* ---- what is refused before a handler sees it ------------------------------------------------- */

void exchange_refuse(struct exchange *exchange, int status, const char *why)
{
    exchange->state = ANSWERED;
    buf_clear(&exchange->reply.fields);
    http_problem(&exchange->reply, status, why);
    if (status == 503 || status == 429)
        (void)!buf_addf(&exchange->reply.fields, "Retry-After: 1\r\n");
}

bool exchange_parse(struct exchange *exchange)
{
    const char *why = NULL;
    int status = http_head_parse(buf_slice(&exchange->head_bytes), &exchange->head, &why);
    if (status != 0)
        exchange_refuse(exchange, status, why);
    return status == 0;
}

static bool is_get(const struct http_head *head)
{
    return slice_equal(head->method, SLICE("GET")) || slice_equal(head->method, SLICE("HEAD"));
}

bool exchange_route(struct exchange *exchange)
{
    const char *why = NULL;
    char allow[HTTP_ALLOW_BYTES];
    const struct http_options *options = &exchange->http->options;
    int status = http_route_find(options->routes, options->route_count, &exchange->head, &exchange->route,
                                 allow, &why);
    if (status == 404 && options->rest != NULL && is_get(&exchange->head)) {
        exchange->route = options->rest;
        status = http_route_check(exchange->route, &exchange->head, &why);
    }
    if (status == 0 && (exchange->route->flags & HTTP_UPGRADE) != 0)
        status = upgrade_check(&exchange->head, exchange->accept, &why);
    if (status == 0)
        return true;
    exchange_refuse(exchange, status, why);
    if (status == 426)
        (void)!buf_addf(&exchange->reply.fields, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (status == 405)
        (void)!buf_addf(&exchange->reply.fields, "Allow: %s\r\n", allow);
    if (status == 401)
        (void)!buf_addf(&exchange->reply.fields, "WWW-Authenticate: Bearer realm=\"mail-analytics\"\r\n");
    return false;
}

bool exchange_prepare_body(struct exchange *exchange, size_t bytes)
{
    struct http *http = exchange->http;
    size_t more = bytes > exchange->shared_body ? bytes - exchange->shared_body : 0;
    if (bytes <= HTTP_SMALL_BODY_BYTES || more == 0)
        return true;
    if (http->bodies_bytes + more > HTTP_BODIES_BYTES) {
        exchange_refuse(exchange, 503, "too many large bodies come at once: try again in a second");
        return false;
    }
    exchange->shared_body += more;
    http->bodies_bytes += more;
    return true;
}

/* ---- its handler ------------------------------------------------------------------------------ */

static void answered(struct exchange *exchange)
{
    exchange->state = ANSWERED;
    exchange->owner->answered(exchange);
}

static void handle(struct exchange *exchange)
{
    exchange->route->handle(exchange->http->options.arg, &exchange->request, &exchange->reply);
}

/* Nothing of an exchange is read on either side before worker_has_it. */
static struct exchange *exchange_of(uv_work_t *work)
{
    return (struct exchange *)((char *)work - offsetof(struct exchange, work));
}

/* Worker thread. */
static void work(uv_work_t *request)
{
    struct exchange *exchange = exchange_of(request);
    if (exchange->worker_has_it)
        handle(exchange);
    exchange->worker_has_it = false;
}

static void start_next(struct http *http);

/* Its owner went while its handler worked. */
static void end_orphan(struct exchange *exchange)
{
    struct http *http = exchange->http;
    exchange->state = ANSWERED;
    exchange_destroy(&exchange);
    http_free_when_done(http);
}

/* Its handler, wherever it was, is done with it. */
static void finished(struct exchange *exchange)
{
    exchange->shared_reply = exchange->reply.body.capacity;
    exchange->http->replies_bytes += exchange->shared_reply;
    if (exchange->reply.file != NULL) {
        exchange->shared_reply += HTTP_FILE_PIECE_BYTES;
        exchange->http->replies_bytes += HTTP_FILE_PIECE_BYTES;
    }
    if (exchange->owner == NULL) {
        exchange_count(exchange);
        end_orphan(exchange);
    } else if (exchange->reply.file != NULL) {
        exchange->state = ANSWERED;
        exchange->owner->more(exchange);
    } else {
        answered(exchange);
    }
}

static void leave_work(struct exchange *exchange)
{
    struct exchange **at = &exchange->http->at_work;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    exchange->next = NULL;
    exchange->http->working--;
}

static void worked(uv_work_t *request, int status)
{
    struct exchange *exchange = exchange_of(request);
    assert(status != 0 || !exchange->worker_has_it);
    (void)status;
    struct http *http = exchange->http;
    leave_work(exchange);
    start_next(http);
    finished(exchange);
}

static void give_to_worker(struct exchange *exchange)
{
    struct http *http = exchange->http;
    exchange->state = WORKING;
    exchange->worker_has_it = true;
    if (uv_queue_work(http->loop, &exchange->work, work, worked) == 0) {
        exchange->next = http->at_work;
        http->at_work = exchange;
        http->working++;
        return;
    }
    exchange_refuse(exchange, 503, "there is no worker");
    answered(exchange);
}

static void withdraw(struct exchange *exchange)
{
    struct http *http = exchange->http;
    struct exchange **at = &http->first;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    if (exchange->next == NULL)
        http->last = at;
    exchange->next = NULL;
    exchange->state = OPEN;
    http->waiting--;
}

static unsigned count_of(const struct exchange *list, uint64_t client)
{
    unsigned count = 0;
    for (; list != NULL; list = list->next)
        count += list->client == client;
    return count;
}

/* Is there a worker for it, beside those that its client has already? */
static bool has_room(const struct exchange *exchange)
{
    const struct http *http = exchange->http;
    unsigned most = http->options.per_client != 0 ? http->options.per_client : http->options.workers;
    return http->working < http->options.workers && count_of(http->at_work, exchange->client) < most;
}

/* FNV-1a. What a client says of itself is not checked here: a wrong key costs it a worker for a moment only.
 */
static uint64_t hash_of(struct slice bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.n; i++)
        hash = (hash ^ (uint8_t)bytes.p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t client_of(const struct exchange *exchange, const struct ip *peer)
{
    struct slice said = http_head_field(&exchange->head, "Authorization");
    if (said.p == NULL)
        said = http_head_field(&exchange->head, "Cookie");
    return hash_of(said.p != NULL ? said : (struct slice){(const char *)peer->b, sizeof peer->b});
}

static void start_next(struct http *http)
{
    struct exchange *exchange = http->first;
    while (exchange != NULL && !has_room(exchange))
        exchange = exchange->next;
    if (exchange == NULL)
        return;
    withdraw(exchange);
    give_to_worker(exchange);
}

static void wait_for_worker(struct exchange *exchange)
{
    struct http *http = exchange->http;
    exchange->state = WAITING;
    *http->last = exchange;
    http->last = &exchange->next;
    http->waiting++;
}

static void start_later(struct exchange *exchange)
{
    exchange->state = WORKING;
    exchange->request.later = (struct http_later *)exchange;
    exchange->http->laters++;
    handle(exchange);
}

void http_finish(struct http_later *later)
{
    struct exchange *exchange = (struct exchange *)later;
    bell_ring(&exchange->http->bell, exchange);
}

static void end_later(struct exchange *exchange)
{
    exchange->http->laters--;
    finished(exchange);
}

static void start_stream(struct exchange *exchange)
{
    struct http *http = exchange->http;
    exchange->state = WORKING;
    if (http->streams < http->options.streams && stream_start(exchange) == 0) {
        http->streams++;
        return;
    }
    exchange_refuse(exchange, 503, "too many long answers are being sent: try again later");
    answered(exchange);
}

void exchange_start(struct exchange *exchange, const struct channel *channel)
{
    struct http *http = exchange->http;
    exchange->request = (struct http_request){
        .head = &exchange->head,
        .method = exchange->head.method,
        .body = buf_slice(&exchange->body),
        .peer = channel->conn.peer,
        .secure = channel->secure != NULL,
        .id = exchange->id,
        .gone = &exchange->gone,
    };
    if (slice_equal(exchange->head.method, SLICE("HEAD")))
        exchange->request.method = SLICE("GET");
    exchange->client = client_of(exchange, &channel->conn.peer);
    if ((exchange->route->flags & HTTP_QUICK) != 0) {
        handle(exchange);
        answered(exchange);
    } else if ((exchange->route->flags & HTTP_STREAM) != 0) {
        start_stream(exchange);
    } else if (http->waiting >= HTTP_WAITING || http->replies_bytes > HTTP_REPLIES_BYTES) {
        exchange_refuse(exchange, 503, "too much is being asked at once: try again in a second");
        answered(exchange);
    } else if ((exchange->route->flags & HTTP_LATER) != 0) {
        start_later(exchange);
    } else if (!has_room(exchange) && count_of(http->first, exchange->client) >= HTTP_WAITING_PER_CLIENT) {
        exchange_refuse(exchange, 429,
                        "too much is being asked at once with this key: try again in a second");
        answered(exchange);
    } else if (!has_room(exchange)) {
        wait_for_worker(exchange);
    } else {
        give_to_worker(exchange);
    }
}

/* ---- a reply piece by piece ------------------------------------------------------------------- */

static void stream_ended(struct exchange *exchange)
{
    exchange->http->streams--;
    if (exchange->owner == NULL) {
        if (exchange->state == WORKING)
            exchange_count(exchange);
        end_orphan(exchange);
        return;
    }
    bool whole = stream_reply(exchange->stream, &exchange->reply); /* it wrote nothing: a reply as any */
    exchange->state = ANSWERED;
    if (whole)
        exchange->owner->answered(exchange);
    else
        exchange->owner->more(exchange);
}

void exchange_heard(struct exchange *exchange)
{
    if ((exchange->route->flags & HTTP_LATER) != 0) {
        end_later(exchange);
        return;
    }
    if (exchange->owner != NULL && stream_begins(exchange->stream, &exchange->reply))
        exchange->state = BEGUN;
    if (stream_over(exchange->stream))
        stream_ended(exchange);
    else if (exchange->owner != NULL && exchange->state == BEGUN)
        exchange->owner->more(exchange);
}

struct slice exchange_pending(struct exchange *exchange)
{
    return exchange->reply.file != NULL ? file_body_pending(exchange->reply.file, exchange)
                                        : stream_pending(exchange->stream);
}

void exchange_taken(struct exchange *exchange, size_t n)
{
    if (exchange->reply.file != NULL)
        file_body_taken(exchange->reply.file, n);
    else
        stream_taken(exchange->stream, n);
}

enum reply_end exchange_reply_end(const struct exchange *exchange)
{
    if (exchange->state != ANSWERED)
        return END_NOT_YET;
    if (exchange->reply.file != NULL)
        return file_body_end(exchange->reply.file);
    return stream_broken(exchange->stream) ? END_BROKEN : END_WHOLE;
}

/* ---- an early end ----------------------------------------------------------------------------- */

static bool is_worked_on(const struct exchange *exchange)
{
    return exchange->state == WORKING || exchange->state == BEGUN;
}

static void cancel(struct exchange *exchange)
{
    const struct http_options *options = &exchange->http->options;
    exchange->gone = true;
    if (exchange->stream != NULL)
        stream_cancel(exchange->stream);
    if (is_worked_on(exchange) && options->cancel != NULL)
        options->cancel(options->arg, &exchange->gone);
}

void exchange_abandon(struct exchange **exchange)
{
    struct exchange *self = *exchange;
    *exchange = NULL;
    if (self == NULL)
        return;
    if (self->state == WAITING || is_worked_on(self))
        self->http->counters->abandoned++;
    cancel(self);
    self->owner = NULL;
    if (self->state == WAITING)
        withdraw(self);
    if (!is_worked_on(self))
        exchange_destroy(&self);
}

static void give_up(struct exchange *exchange, const char *why)
{
    if (is_worked_on(exchange)) {
        cancel(exchange); /* the handler's own answer follows */
    } else if (exchange->state == WAITING) {
        withdraw(exchange);
        exchange_refuse(exchange, 503, why);
        answered(exchange);
    }
}

void exchange_expire(struct exchange *exchange)
{
    give_up(exchange, "no worker was free in time: try again in a second");
}

void exchange_drain(struct exchange *exchange)
{
    give_up(exchange, "the hub is stopping");
}

void exchange_count(const struct exchange *exchange)
{
    struct http_counters *counters = exchange->http->counters;
    counters->requests++;
    counters->refused += exchange->reply.status >= 400;
    counters->timeouts += exchange->reply.status == 408;
}
