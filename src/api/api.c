/* SPDX-License-Identifier: Apache-2.0
 *
 * api: the table of routes, and the way from a request to its handler: route, right, body, reply. See api.h.
 */
#include "call.h"

#include "base/pattern.h"

static const struct route {
    const char *method, *path; /* what stands for '*' is call->name */
    int (*handler)(struct api_call *call);
    unsigned scope; /* one of these a caller needs who isn't the operator */
    unsigned flags; /* of enum api_route_flags */
} routes[] = {
    {"GET", "/api/v1/tenants", tenants_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/tenants", tenants_add, 0, API_OPERATOR | API_ONCE},
    {"GET", "/api/v1/tenants/*", tenants_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"PATCH", "/api/v1/tenants/*", tenants_change, 0, API_OPERATOR},
    {"DELETE", "/api/v1/tenants/*", tenants_remove, 0, API_OPERATOR},
    {"GET", "/api/v1/domains", domains_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/domains", domains_add, SCOPE_MANAGE, API_ONCE},
    {"GET", "/api/v1/domains/*", domains_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"PATCH", "/api/v1/domains/*", domains_change, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/domains/*", domains_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/networks", networks_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/networks", networks_add, SCOPE_MANAGE, API_ONCE},
    {"GET", "/api/v1/networks/*", networks_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"PATCH", "/api/v1/networks/*", networks_change, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/networks/*", networks_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/apikeys", apikeys_list, SCOPE_MANAGE, 0},
    {"POST", "/api/v1/apikeys", apikeys_add, SCOPE_MANAGE, API_ONCE},
    {"GET", "/api/v1/apikeys/*", apikeys_get, SCOPE_MANAGE, 0},
    {"PATCH", "/api/v1/apikeys/*", apikeys_change, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/apikeys/*", apikeys_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/edges", edges_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"GET", "/api/v1/edges/*", edges_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"GET", "/api/v1/edges/*/history", edges_history, SCOPE_READ | SCOPE_MANAGE, 0},
    {"GET", "/api/v1/edges/*/settings", edges_settings, SCOPE_READ | SCOPE_MANAGE, 0},
    {"PATCH", "/api/v1/edges/*/settings", edges_change, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/edges/*", edges_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/jobs", jobs_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/jobs", jobs_add, SCOPE_MANAGE, API_ONCE},
    {"GET", "/api/v1/jobs/*", jobs_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/jobs/*", jobs_cancel, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/retention", retention_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/retention", retention_set, 0, API_OPERATOR | API_ONCE},
    {"DELETE", "/api/v1/retention", retention_remove, 0, API_OPERATOR},
    {"GET", "/api/v1/tombstones", tombstones_list, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/tombstones/*", tombstones_remove, 0, API_OPERATOR},
    {"POST", "/api/v1/query", query_post, SCOPE_READ, API_RAW},
    {"GET", "/api/v1/events", events_list, SCOPE_READ, 0},
    {"GET", "/api/v1/export", export_get, SCOPE_READ, API_STREAM},
    {"GET", "/api/v1/messages", messages_list, SCOPE_READ, 0},
    {"GET", "/api/v1/messages/*", messages_get, SCOPE_READ, 0},
    {"POST", "/api/v1/load", load_post, 0, API_OPERATOR},
    {"GET", "/api/v1/status", status_get, 0, API_OPERATOR},
    {"GET", "/api/openapi.json", openapi_get, 0, API_OPEN},
    {"GET", "/api/v1/store/check", store_check, 0, API_LOCAL},
    {"POST", "/api/v1/session", session_begin, 0, API_OPEN},
    {"GET", "/api/v1/session", session_get, 0, API_OPERATOR},
    {"DELETE", "/api/v1/session", session_end, 0, API_OPERATOR},
    {"POST", "/api/v1/session/password", session_password, 0, API_OPERATOR},
    {"GET", "/api/v1/sessions", sessions_list, 0, API_OPERATOR},
    {"DELETE", "/api/v1/sessions", sessions_end, 0, API_OPERATOR},
    {"DELETE", "/api/v1/sessions/*", sessions_end_one, 0, API_OPERATOR},
    {"GET", "/api/v1/users", users_list, 0, API_LOCAL},
    {"POST", "/api/v1/users", users_add, 0, API_LOCAL},
    {"DELETE", "/api/v1/users/*", users_remove, 0, API_LOCAL},
    {"POST", "/api/v1/users/*/password", users_reset, 0, API_LOCAL},
};

enum { ROUTE_COUNT = sizeof routes / sizeof *routes };

bool api_route(size_t i, struct api_route *out)
{
    if (i >= ROUTE_COUNT)
        return false;
    *out = (struct api_route){
        .method = routes[i].method,
        .path = routes[i].path,
        .flags = routes[i].flags,
        .body_bytes = routes[i].method[0] == 'P' ? API_BODY_BYTES : 0, /* POST, PUT, PATCH */
    };
    return true;
}

/* The methods that the path takes, for a 405. */
static int write_allow(struct buf *fields, struct slice path)
{
    struct slice part;
    const char *before = "Allow: ";
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ROUTE_COUNT; i++)
        if (pattern_fits(routes[i].path, path, &part)) {
            rc = buf_addf(fields, "%s%s", before, routes[i].method);
            before = ", ";
        }
    return rc != 0 ? rc : buf_add(fields, "\r\n", 2);
}

static int find_route(struct api_call *call, struct slice path, const struct route **out, struct slice *part)
{
    bool known = false;
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (pattern_fits(routes[i].path, path, part)) {
            known = true;
            if (slice_equal(call->request->method, slice_of(routes[i].method))) {
                *out = &routes[i];
                return 0;
            }
        }
    if (!known)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no such path");
    int rc = write_allow(call->fields, path);
    return rc != 0 ? rc : err_set(&call->err, ERR_METHOD, "this path doesn't take that method");
}

/* Without the query string, which *query has (empty without one). */
static struct slice cut_query(struct slice path, struct slice *query)
{
    struct slice rest = path;
    (void)slice_split(&rest, '?', &path);
    *query = rest;
    return path;
}

static int check_right(struct api_call *call, const struct route *route)
{
    const struct api_caller *caller = &call->request->caller;
    if ((route->flags & API_LOCAL) != 0 && (!caller->operator_ || caller->user != 0))
        return err_set(&call->err, ERR_DENIED, "this is for the command line: mail-analytics");
    if (caller->operator_ || (route->flags & API_OPEN) != 0)
        return 0;
    if (caller->tenant == 0 || (route->flags & API_OPERATOR) != 0)
        return err_set(&call->err, ERR_DENIED, "this is for the operator");
    if ((caller->scopes & route->scope) == 0)
        return err_set(&call->err, ERR_DENIED, "the caller lacks the scope for this");
    return 0;
}

static int read_body(struct api_call *call, const struct route *route)
{
    json_error_t error;
    struct slice body = call->request->body;
    if (body.n > API_BODY_BYTES)
        return err_set(&call->err, ERR_LIMIT, "a body has at most %d bytes", API_BODY_BYTES);
    if (body.n == 0 || (route->flags & API_RAW) != 0)
        return 0;
    call->body = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (call->body == NULL)
        return err_set(&call->err, ERR_INVALID, "the body is not JSON: line %d: %s", error.line, error.text);
    return 0;
}

static int answer(struct api_call *call)
{
    const struct route *route = NULL;
    struct slice path = cut_query(call->request->path, &call->query), part = {NULL, 0};
    int rc = find_route(call, path, &route, &part);
    if (rc == 0)
        rc = check_right(call, route);
    if (rc == 0 && part.n > 0)
        rc = call_decode_name(call, part);
    if (rc == 0)
        rc = read_body(call, route);
    if (rc != 0)
        return rc;
    bool once = (route->flags & API_ONCE) != 0 && call->request->idempotency_key.n > 0;
    return once ? call_once(call, route->handler) : route->handler(call);
}

void api_reply_init(struct api_reply *reply, size_t body_bytes)
{
    *reply = (struct api_reply){.status = 200, .type = API_JSON};
    buf_init(&reply->body, body_bytes);
    buf_init(&reply->fields, API_FIELDS_BYTES);
}

void api_reply_fini(struct api_reply *reply)
{
    buf_fini(&reply->body);
    buf_fini(&reply->fields);
}

void api_handle(struct api_context *context, const struct api_request *request, struct api_reply *reply)
{
    struct api_request asked = *request;
    if (asked.caller.name == NULL)
        asked.caller.name = "";
    struct api_call call = {.context = context,
                            .request = &asked,
                            .status = 200,
                            .type = API_JSON,
                            .answer = reply,
                            .reply = &reply->body,
                            .fields = &reply->fields,
                            .index = -1};
    buf_clear(&reply->body);
    int rc = answer(&call);
    if (rc != 0)
        problem_write(&call, rc);
    json_decref(call.body);
    reply->status = call.status;
    reply->type = call.type;
}
