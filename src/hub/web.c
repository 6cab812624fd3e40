/* SPDX-License-Identifier: Apache-2.0
 *
 * web: see web.h.
 */
#include "web.h"

#include "api/attempts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/share.h"
#include "caller.h"
#include "config/config.h"
#include "handles.h"
#include "http/certificate.h"
#include "http/site.h"
#include "live_door.h"
#include "quota.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STREAM_RETRY_S = 10,
    ROUTES = 128,
    WHY_BYTES = 512,
    LOGINS = 2, /* passwords are checked by at most two (account.h), which take no worker from questions */
};

struct web {
    struct http *http;
    struct handles *handles;
    struct api_people people;
    struct quota *quota;
    struct share *streams;
    struct web_options options;
    _Atomic(struct store *) store;
    _Atomic bool stopping;
    struct http_counters counters;
    struct http_route routes[ROUTES];
    size_t route_count;
    struct site *site; /* NULL: without `ui` */
};

/* Nobody hears what a cancelled question answers, unless the hub stops. */
static void finish(struct web *web, struct http_reply *reply)
{
    if (reply->status == 499)
        http_problem(reply, 503, web->stopping ? "the hub is stopping" : "the question was cancelled");
    bool says_when =
        reply->fields.n > 0 && memmem(reply->fields.p, reply->fields.n, "Retry-After:", 12) != NULL;
    if ((reply->status == 503 || reply->status == 429) && !says_when)
        (void)!buf_addf(&reply->fields, "Retry-After: 1\r\n");
}

static struct slice field(const struct http_request *request, const char *name)
{
    return http_head_field(request->head, name);
}

/* An api_stream on an http_stream: what the handler has said of the reply goes before its first bytes. */
struct outlet {
    struct api_stream stream; /* first */
    struct http_stream *http;
    struct api_reply *answer;
    struct http_reply *reply;
    bool begun;
};

static int write_out(struct api_stream *stream, const void *bytes, size_t n)
{
    struct outlet *outlet = (struct outlet *)stream;
    struct http_reply *reply = outlet->reply;
    struct api_reply *answer = outlet->answer;
    if (!outlet->begun) {
        *reply = (struct http_reply){
            .status = answer->status, .type = answer->type, .body = reply->body, .fields = answer->fields};
        buf_init(&answer->fields, API_FIELDS_BYTES);
        outlet->begun = true;
    }
    return http_stream_write(outlet->http, bytes, n);
}

static int wait_out(struct api_stream *stream, uint64_t ms)
{
    return http_stream_wait(((struct outlet *)stream)->http, ms);
}

static void ask_api(struct api_context *context, const struct http_request *request,
                    const struct caller *caller, struct http_reply *reply)
{
    struct api_request asked = {
        .caller = caller->who,
        .method = request->method,
        .path = request->head->target,
        .body = request->body,
        .cancelled = request->gone,
        .accept = field(request, "Accept"),
        .content_type = field(request, "Content-Type"),
        .cookie = field(request, "Cookie"),
        .idempotency_key = field(request, "Idempotency-Key"),
        .if_match = field(request, "If-Match"),
        .if_none_match = field(request, "If-None-Match"),
        .origin = field(request, "Origin"),
        .peer = request->peer,
        .secure = caller->secure,
    };
    struct api_reply answer = {.status = 200, .type = API_JSON, .body = reply->body, .fields = reply->fields};
    struct outlet outlet = {{write_out, wait_out}, request->stream, &answer, reply, false};
    if (request->stream != NULL)
        asked.stream = &outlet.stream;
    api_handle(context, &asked, &answer);
    *reply = (struct http_reply){
        .status = answer.status, .type = answer.type, .body = answer.body, .fields = answer.fields};
}

static void answer(struct web *web, struct account *account, const struct caller *caller,
                   const struct http_request *request, struct http_reply *reply)
{
    struct api_context context = web->options.context;
    context.account = account;
    context.store = web->store;
    context.people = &web->people;
    ask_api(&context, request, caller, reply);
    finish(web, reply);
}

static struct handle *borrow(struct web *web, struct http_reply *reply)
{
    struct handle *handle;
    struct err err = {0};
    if (handles_borrow(web->handles, &handle, &err) == 0)
        return handle;
    log_error("http: %s", err_detail(&err));
    http_problem(reply, 503, "the account file can't be opened, see the hub's log");
    return NULL;
}

/* False: the caller has asked too often, and was told. */
static bool within_quota(struct web *web, const struct caller *caller, struct http_reply *reply)
{
    unsigned wait_s = 0;
    if (quota_take(web->quota, caller->number, clock_monotonic_us(), &wait_s, &reply->fields) != 0 ||
        wait_s == 0)
        return true; /* a full buf of fields is no reason to refuse */
    http_problem(reply, 429, "too many requests in a minute: see RateLimit");
    (void)!buf_addf(&reply->fields, "Retry-After: %u\r\n", wait_s);
    return false;
}

/* One tenant's long answers leave room for those of others. */
static void answer_streamed(struct web *web, struct account *account, const struct caller *caller,
                            const struct http_request *request, struct http_reply *reply)
{
    if (!share_take(web->streams, caller->who.tenant)) {
        http_problem(
            reply, 429,
            "as many long answers are being sent to you as one tenant may have: wait for one to end");
        (void)!buf_addf(&reply->fields, "Retry-After: %d\r\n", STREAM_RETRY_S);
        return;
    }
    answer(web, account, caller, request, reply);
    share_give(web->streams, caller->who.tenant);
}

/* Worker thread, or the thread of a stream. */
static void serve_known(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    struct caller caller;
    struct handle *handle = borrow(web, reply);
    if (handle == NULL)
        return;
    struct account *account = handle_account(handle);
    if (caller_known(&caller, account, &web->people.limits, request, reply) &&
        within_quota(web, &caller, reply))
        (request->stream != NULL ? answer_streamed : answer)(web, account, &caller, request, reply);
    handles_return(web->handles, handle);
}

/* Worker thread. */
static void serve_open(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    struct caller caller;
    struct handle *handle = borrow(web, reply);
    if (handle == NULL)
        return;
    if (caller_nobody(&caller, request, reply))
        answer(web, handle_account(handle), &caller, request, reply);
    handles_return(web->handles, handle);
}

/* Worker thread. */
static void serve_live(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    struct caller caller;
    struct handle *handle = borrow(web, reply);
    if (handle == NULL)
        return;
    struct account *account = handle_account(handle);
    if (caller_known(&caller, account, &web->people.limits, request, reply))
        live_enter(web->options.live, account, &caller, web->options.settings->http_origins, request, reply);
    handles_return(web->handles, handle);
}

/* Loop thread. */
static void cancel(void *arg, atomic_bool *gone)
{
    struct web *web = arg;
    if (web->store != NULL)
        store_cancel(web->store, gone);
}

static void serve_healthz(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    (void)request;
    reply->type = "application/json";
    (void)!buf_addf(&reply->body, "{\"status\":\"ok\"}");
}

static void serve_readyz(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    char why[WHY_BYTES] = "";
    if (web->options.ready(web->options.arg, why, sizeof why) == 0)
        serve_healthz(arg, request, reply);
    else
        http_problem(reply, 503, why);
}

static void serve_metrics(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    if (!ip_is_loopback(&request->peer) || http_head_field(request->head, "X-Forwarded-For").p != NULL ||
        http_head_field(request->head, "Forwarded").p != NULL) {
        http_problem(reply, 404, "there is no such path");
        return;
    }
    reply->type = "text/plain; version=0.0.4; charset=utf-8";
    if (web->options.metrics(web->options.arg, &reply->body) != 0)
        http_problem(reply, 500, "the figures don't fit");
}

static void serve_ingest(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct web *web = arg;
    ingest_handle(web->options.ingest, request, reply);
}

static unsigned http_flags(unsigned flags)
{
    return ((flags & API_OPEN) != 0 ? 0U : HTTP_CREDENTIALS) |
           ((flags & API_ANY_TYPE) != 0 ? 0U : HTTP_JSON) | ((flags & API_STREAM) != 0 ? HTTP_STREAM : 0U);
}

/* Worker thread. */
static bool may_stay(void *arg, const struct live_pass *pass)
{
    struct web *web = arg;
    struct handle *handle;
    if (handles_borrow(web->handles, &handle, NULL) != 0)
        return true; /* nobody can say */
    bool stays = live_may_stay(handle_account(handle), &web->people.limits, pass);
    handles_return(web->handles, handle);
    return stays;
}

/* Worker thread. */
static void serve_site(void *arg, const struct http_request *request, struct http_reply *reply)
{
    const struct web *web = arg;
    site_answer(web->site, request, reply);
}

static void serve_page(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    (void)request;
    reply->type = "text/html; charset=utf-8";
    (void)!buf_addf(&reply->fields, "%s", SITE_POLICY);
    (void)!buf_addf(
        &reply->body,
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Mail Analytics</title>\n"
        "<h1>Mail Analytics</h1>\n"
        "<p>The API is at <code>/api/v1/</code> and wants an API key as bearer token; "
        "<a href=\"/healthz\">/healthz</a> and <a href=\"/readyz\">/readyz</a> tell how the hub is.</p>\n"
        "</html>\n");
}

static void add_routes(struct web *web)
{
    static const struct http_route own[] = {
        {"GET", "/healthz", 0, HTTP_QUICK, serve_healthz},
        {"GET", "/readyz", 0, HTTP_QUICK, serve_readyz},
        {"GET", "/metrics", 0, HTTP_QUICK, serve_metrics},
        {"GET", "/", 0, HTTP_QUICK, serve_page}, /* without `ui` */
        {"POST", "/api/v1/ingest", INGEST_BODY_BYTES, HTTP_CREDENTIALS | HTTP_LATER, serve_ingest},
        {"GET", "/api/v1/live", 0, HTTP_CREDENTIALS | HTTP_UPGRADE, serve_live},
    };
    struct api_route route;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if ((web->site == NULL || own[i].handle != serve_page) &&
            (web->options.live != NULL || own[i].handle != serve_live))
            web->routes[web->route_count++] = own[i];
    for (size_t i = 0; api_route(i, &route); i++) {
        assert(web->route_count < ROUTES);
        web->routes[web->route_count++] = (struct http_route){
            .method = route.method,
            .path = route.path,
            .body_bytes = route.body_bytes,
            .flags = http_flags(route.flags),
            .handle = (route.flags & API_OPEN) != 0 ? serve_open : serve_known,
        };
    }
}

static uint64_t to_ms(int64_t us)
{
    return (uint64_t)us / 1000;
}

static int open_http(struct web *web, uv_loop_t *loop, struct err *err)
{
    const struct hub_config *s = web->options.settings;
    static const struct http_route site = {.method = "GET", .path = "/", .handle = serve_site};
    const struct hub_paths *paths = web->options.paths;
    struct http_options options = {
        .listen = s->http,
        .listen_tls = s->https,
        .certificate = paths->certificate,
        .key = paths->certificate_key,
        .routes = web->routes,
        .route_count = web->route_count,
        .rest = web->site != NULL ? &site : NULL,
        .arg = web,
        .cancel = cancel,
        .counters = &web->counters,
        .max_connections = (unsigned)s->http_connections,
        .max_per_address = (unsigned)s->http_connections_per_address,
        .workers = (unsigned)s->query_threads + 2 + LOGINS, /* one beyond what one tenant can hold */
        .per_client = (unsigned)s->query_threads,
        .streams = (unsigned)s->http_streams,
        .idle_ms = to_ms(s->http_idle_timeout),
        .head_ms = to_ms(s->http_head_timeout),
        .body_ms = to_ms(s->http_body_timeout),
        .request_ms = to_ms(s->query_timeout) + WEB_REQUEST_BEYOND_MS,
        .reply_ms = 60000,
        .ping_ms = to_ms(s->live_ping),
    };
    int rc = 0;
    if (s->https[0] != '\0' && s->tls_certificate[0] == '\0')
        rc = certificate_make(paths->certificate, paths->certificate_key, err);
    if (rc == 0)
        rc = http_open(&web->http, loop, &options, err);
    if (rc == 0 && s->https[0] != '\0')
        log_info("https: ready [address=%s certificate=%s pin=%s]", s->https, paths->certificate,
                 http_pin(web->http));
    return rc;
}

int web_open(struct web **out, uv_loop_t *loop, const struct web_options *options, struct err *err)
{
    struct web *web = calloc(1, sizeof *web);
    if (web == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for http");
    web->options = *options;
    web->people.limits =
        (struct account_session_limits){options->settings->session_idle, options->settings->session_lifetime};
    if (options->live != NULL)
        live_check_with(options->live, may_stay, web);
    int rc = handles_create(&web->handles, options->paths->account, err);
    if (rc == 0 && options->settings->ui[0] != '\0')
        rc = site_open(&web->site, options->settings->ui, err);
    add_routes(web);
    if (rc == 0)
        rc = attempts_create(&web->people.attempts, err);
    if (rc == 0)
        rc = quota_create(&web->quota, (unsigned)options->settings->http_rate, err);
    if (rc == 0)
        rc = share_create(&web->streams, (unsigned)options->settings->http_streams, err);
    if (rc == 0)
        rc = open_http(web, loop, err);
    if (rc != 0)
        web_destroy(&web);
    else
        *out = web;
    return rc;
}

void web_reload(struct web *web)
{
    if (web != NULL)
        http_reload(web->http);
}

void web_stop(struct web *web)
{
    if (web == NULL)
        return;
    web->stopping = true;
    http_close(&web->http);
}

void web_destroy(struct web **web)
{
    struct web *self = *web;
    *web = NULL;
    if (self == NULL)
        return;
    handles_destroy(&self->handles);
    attempts_destroy(&self->people.attempts);
    quota_destroy(&self->quota);
    share_destroy(&self->streams);
    site_close(&self->site);
    free(self);
}

void web_set_store(struct web *web, struct store *store)
{
    web->store = store;
}

void web_get_stats(const struct web *web, struct web_stats *out)
{
    const struct http_counters *from = &web->counters;
    *out = (struct web_stats){.connections = from->connections,
                              .turned_away = from->turned_away,
                              .requests = from->requests,
                              .refused = from->refused,
                              .timeouts = from->timeouts,
                              .abandoned = from->abandoned,
                              .floods = from->floods};
}
