/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: one request with its reply, and its way to a handler: at once (quick ones), on a worker, or
 * behind those that wait for one. See inside.h.
 */
#include "inside.h"

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

struct exchange *exchange_create(struct connection *connection)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->connection = connection;
    buf_init(&exchange->head_bytes, INPUT_BYTES);
    buf_init(&exchange->head_out, 2 * HTTP_FIELDS_BYTES);
    buf_init(&exchange->reply.body, HTTP_REPLY_BYTES);
    buf_init(&exchange->reply.fields, HTTP_FIELDS_BYTES);
    exchange->reply.status = 200;
    make_id(connection->http, exchange->id);
    return exchange;
}

void exchange_destroy(struct exchange **exchange)
{
    struct exchange *self = *exchange;
    *exchange = NULL;
    if (self == NULL)
        return;
    self->connection->http->bodies_bytes -= self->shared_body;
    self->connection->http->replies_bytes -= self->shared_reply;
    buf_fini(&self->head_bytes);
    buf_fini(&self->body);
    buf_fini(&self->head_out);
    buf_fini(&self->reply.body);
    buf_fini(&self->reply.fields);
    free(self);
}

void exchange_refuse(struct exchange *exchange, int status, const char *why)
{
    buf_clear(&exchange->reply.fields);
    http_problem(&exchange->reply, status, why);
    if (status == 503)
        (void)!buf_addf(&exchange->reply.fields, "Retry-After: 1\r\n");
}

static void handle(struct exchange *exchange)
{
    exchange->route->handle(exchange->connection->http->options.arg, &exchange->request, &exchange->reply);
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

static void worked(uv_work_t *request, int status)
{
    struct exchange *exchange = exchange_of(request);
    assert(status != 0 || !exchange->worker_has_it);
    (void)status;
    struct connection *connection = exchange->connection;
    struct http *http = connection->http;
    http->working--;
    exchange->shared_reply = exchange->reply.body.capacity;
    http->replies_bytes += exchange->shared_reply;
    start_next(http);
    connection_reply(connection);
}

static void give_to_worker(struct exchange *exchange)
{
    struct http *http = exchange->connection->http;
    exchange->connection->state = WORKING;
    exchange->worker_has_it = true;
    if (uv_queue_work(http->loop, &exchange->work, work, worked) == 0) {
        http->working++;
        return;
    }
    exchange_refuse(exchange, 503, "there is no worker");
    connection_reply(exchange->connection);
}

static void start_next(struct http *http)
{
    struct exchange *exchange = http->first;
    if (exchange == NULL || http->working >= http->options.workers)
        return;
    exchange_withdraw(exchange);
    give_to_worker(exchange);
}

void exchange_withdraw(struct exchange *exchange)
{
    struct http *http = exchange->connection->http;
    struct exchange **at = &http->first;
    while (*at != exchange)
        at = &(*at)->next;
    *at = exchange->next;
    if (exchange->next == NULL)
        http->last = at;
    exchange->next = NULL;
    http->waiting--;
}

void exchange_cancel(struct exchange *exchange)
{
    const struct http_options *options = &exchange->connection->http->options;
    exchange->gone = true;
    if (exchange->connection->state == WORKING && options->cancel != NULL)
        options->cancel(options->arg, &exchange->gone);
}

static void wait_for_worker(struct exchange *exchange)
{
    struct http *http = exchange->connection->http;
    exchange->connection->state = WAITING;
    *http->last = exchange;
    http->last = &exchange->next;
    http->waiting++;
}

void exchange_start(struct exchange *exchange)
{
    struct connection *connection = exchange->connection;
    struct http *http = connection->http;
    exchange->request = (struct http_request){
        .head = &exchange->head,
        .method = exchange->head.method,
        .body = buf_slice(&exchange->body),
        .peer = connection->conn.peer,
        .id = exchange->id,
        .gone = &exchange->gone,
    };
    if (slice_equal(exchange->head.method, SLICE("HEAD")))
        exchange->request.method = SLICE("GET");
    ticker_set(connection->deadline, http->options.request_ms, 0);
    connection->state = WORKING;
    if ((exchange->route->flags & HTTP_QUICK) != 0) {
        handle(exchange);
        connection_reply(connection);
    } else if (http->waiting >= HTTP_WAITING || http->replies_bytes > HTTP_REPLIES_BYTES) {
        exchange_refuse(exchange, 503, "too much is being asked at once: try again in a second");
        connection_reply(connection);
    } else if (http->working >= http->options.workers) {
        wait_for_worker(exchange);
    } else {
        give_to_worker(exchange);
    }
}
