/* SPDX-License-Identifier: Apache-2.0
 *
 * api: the only door to accounts and questions. A request is a method, a path and a JSON body; the reply is a
 * status and a JSON body; errors are RFC 9457 problem documents. Handlers are one file a noun and don't know
 * how the request came: the hub serves them on its control socket (any thread of the worker pool), and the
 * CLI runs the same handlers in its own process when no hub is running (then there is no store, and questions
 * answer ERR_UNAVAILABLE).
 *
 *   GET POST DELETE /api/v1/tenants[/NAME]      POST /api/v1/query
 *   GET POST DELETE /api/v1/domains             POST /api/v1/load      (fixtures: tenants, domains, networks,
 * keys) GET POST DELETE /api/v1/networks            GET  /api/v1/status GET POST DELETE /api/v1/apikeys GET
 * /api/v1/edges
 */
#ifndef API_API_H
#define API_API_H

#include "account/account.h"
#include "store/store.h"

enum { API_BODY_BYTES = 8 * 1024 * 1024 };

/* Who asks. The control socket and the offline CLI are the operator: every tenant. */
struct api_caller {
    bool operator_; /* all tenants; else only `tenant` */
    uint32_t tenant;
    unsigned scopes;
    const char *name; /* for the audit */
};

/* What handlers work on; made once a thread. store may be NULL. */
struct api_context {
    struct account *account;
    struct store *store;
    int64_t query_timeout_us;
    /* the hub's own figures for GET /api/v1/status and /edges; NULL offline */
    int (*status)(void *arg, struct buf *json);
    int (*edges)(void *arg, uint32_t tenant /* 0: all */, struct buf *json);
    void *arg;
};

struct api_request {
    struct api_caller caller;
    struct slice method, path; /* path with its query string */
    struct slice body;
    const atomic_bool *cancelled; /* set by store_cancel when nobody waits for the reply any more; or NULL */
};

/* The methods that a path (with its query string) takes: "GET, POST", for the Allow of a 405; "" for a path
 * that isn't there. */
enum { API_ALLOW_BYTES = 64 };
void api_allow(struct slice path, char out[API_ALLOW_BYTES]);

/* Always answers: fills *status (HTTP) and reply (a JSON document). reply has a limit set by the caller. */
void api_handle(struct api_context *context, const struct api_request *request, int *status,
                struct buf *reply);

/* The routes, for servers that judge method and path themselves: the i-th; false: there are no more. A final
 * '*' stands for one part of a path. */
bool api_route(size_t i, const char **method, const char **path);

#endif
