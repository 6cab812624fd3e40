/* SPDX-License-Identifier: Apache-2.0
 *
 * api: the table of routes, and the way from a request to its handler: route, right, body, reply. See api.h.
 */
#include "call.h"

#include <stdio.h>

enum route_flags {
    ROUTE_OPERATOR = 1, /* for nobody else */
    ROUTE_RAW = 2,      /* the handler reads the body itself */
};

static const struct route {
    const char *method, *path; /* a final '*' stands for one part */
    int (*handler)(struct api_call *call);
    unsigned scope; /* that a caller needs who isn't the operator */
    unsigned flags;
} routes[] = {
    {"GET", "/api/v1/tenants", tenants_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/tenants", tenants_add, 0, ROUTE_OPERATOR},
    {"GET", "/api/v1/tenants/*", tenants_get, SCOPE_READ | SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/tenants/*", tenants_remove, 0, ROUTE_OPERATOR},
    {"GET", "/api/v1/domains", domains_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/domains", domains_add, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/domains", domains_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/networks", networks_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"POST", "/api/v1/networks", networks_add, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/networks", networks_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/apikeys", apikeys_list, SCOPE_MANAGE, 0},
    {"POST", "/api/v1/apikeys", apikeys_add, SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/apikeys", apikeys_remove, SCOPE_MANAGE, 0},
    {"GET", "/api/v1/edges", edges_list, SCOPE_READ | SCOPE_MANAGE, 0},
    {"DELETE", "/api/v1/edges", edges_remove, SCOPE_MANAGE, 0},
    {"POST", "/api/v1/query", query_post, SCOPE_READ, ROUTE_RAW},
    {"POST", "/api/v1/load", load_post, 0, ROUTE_OPERATOR},
    {"GET", "/api/v1/status", status_get, 0, ROUTE_OPERATOR},
};

bool api_route(size_t i, const char **method, const char **path)
{
    if (i >= sizeof routes / sizeof *routes)
        return false;
    *method = routes[i].method;
    *path = routes[i].path;
    return true;
}

static bool path_matches(const char *pattern, struct slice path, struct slice *tail)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*')
        return slice_equal(path, slice_of(pattern));
    if (path.n < n || memcmp(path.p, pattern, n - 1) != 0)
        return false;
    *tail = (struct slice){path.p + n - 1, path.n - n + 1};
    return memchr(tail->p, '/', tail->n) == NULL;
}

static int find_route(struct api_call *call, struct slice path, const struct route **out, struct slice *tail)
{
    bool known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (path_matches(routes[i].path, path, tail)) {
            known = true;
            if (slice_equal(call->request->method, slice_of(routes[i].method))) {
                *out = &routes[i];
                return 0;
            }
        }
    return known ? err_set(&call->err, ERR_METHOD, "this path doesn't take that method")
                 : err_set(&call->err, ERR_NOT_FOUND, "there is no such path");
}

/* Without the query string, which *query has (empty without one). */
static struct slice cut_query(struct slice path, struct slice *query)
{
    struct slice rest = path;
    (void)slice_split(&rest, '?', &path);
    *query = rest;
    return path;
}

void api_allow(struct slice path, char out[API_ALLOW_BYTES])
{
    struct slice query, tail;
    size_t n = 0;
    path = cut_query(path, &query);
    out[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (path_matches(routes[i].path, path, &tail) && n < API_ALLOW_BYTES)
            n += (size_t)snprintf(out + n, API_ALLOW_BYTES - n, "%s%s", n > 0 ? ", " : "", routes[i].method);
}

static int check_right(struct api_call *call, const struct route *route)
{
    const struct api_caller *caller = &call->request->caller;
    if (caller->operator_)
        return 0;
    if (caller->tenant == 0 || (route->flags & ROUTE_OPERATOR) != 0)
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
    if (body.n == 0 || (route->flags & ROUTE_RAW) != 0)
        return 0;
    call->body = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error);
    if (call->body == NULL)
        return err_set(&call->err, ERR_INVALID, "the body is not JSON: line %d: %s", error.line, error.text);
    return 0;
}

static int answer(struct api_call *call)
{
    const struct route *route = NULL;
    struct slice path = cut_query(call->request->path, &call->query), tail = {NULL, 0};
    int rc = find_route(call, path, &route, &tail);
    if (rc == 0)
        rc = check_right(call, route);
    if (rc == 0 && tail.n > 0)
        rc = call_decode_name(call, tail);
    if (rc == 0)
        rc = read_body(call, route);
    return rc != 0 ? rc : route->handler(call);
}

void api_handle(struct api_context *context, const struct api_request *request, int *status,
                struct buf *reply)
{
    struct api_request asked = *request;
    if (asked.caller.name == NULL)
        asked.caller.name = "";
    struct api_call call = {
        .context = context, .request = &asked, .status = 200, .reply = reply, .index = -1};
    buf_clear(reply);
    int rc = answer(&call);
    if (rc != 0)
        problem_write(&call, rc);
    json_decref(call.body);
    *status = call.status;
}
