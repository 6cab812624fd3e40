/* SPDX-License-Identifier: Apache-2.0
 *
 * api: the only door to accounts and questions. A request is a method, a path, a few fields and a body; the
 * reply a status, fields and a body; errors are RFC 9457 problem documents. Handlers are one file a noun and
 * don't know how the request came: the hub serves them over HTTP and on its control socket (any worker
 * thread), and the CLI runs the same handlers in its own process when no hub is running (then there is no
 * store, and questions answer ERR_UNAVAILABLE). The routes are one table in api.c.
 */
#ifndef API_API_H
#define API_API_H

#include "account/account.h"
#include "api/raw.h"
#include "base/share.h"
#include "store/store.h"

enum { API_BODY_BYTES = 8 * 1024 * 1024 };

/* Who asks. The control socket, the offline CLI and people who are logged in are the operator: every tenant.
 */
struct api_caller {
    bool operator_; /* all tenants; else only `tenant` */
    uint32_t tenant;
    unsigned scopes;
    uint32_t user, session; /* of a person; 0: not one */
    const char *name;       /* for the audit; a person's is the user's */
};

/* What people need who log in; any thread. */
struct api_people {
    struct attempts *attempts;
    struct account_session_limits limits;
};

/* What handlers work on; made once a thread. store may be NULL. */
struct api_context {
    struct account *account;
    struct store *store;
    int64_t query_timeout_us;
    const char *export_dir;          /* for files that are being read out */
    struct share *files;             /* places for those that are being written; NULL: no store, either */
    const struct api_people *people; /* NULL: not over HTTP, nobody logs in */
    /* the hub's own figures for GET /api/v1/status and /edges; NULL offline */
    int (*status)(void *arg, struct buf *json);
    int (*edges)(void *arg, uint32_t tenant /* 0: all */, struct buf *json);
    /* There is a new job (0), or that one was cancelled; NULL offline, where jobs wait for the next start. */
    void (*jobs)(void *arg, uint64_t cancelled);
    /* A page of the journal's records as they were sent; NULL offline. ERR_CONFLICT: no such place. */
    int (*raw)(void *arg, struct account *account, struct raw_page *page, struct err *err);
    /* Was anything of the tenant's heard? NULL: nobody can say. */
    bool (*heard)(void *arg, uint32_t tenant);
    int (*edge_history)(void *arg, uint32_t tenant, const char *id, struct buf *json); /* ERR_NOT_FOUND */
    void *arg;
};

/* How a handler writes a reply of any length, of a route with API_STREAM: after it has set the reply's
 * status, type and fields, and into no body. A handler that returns an error after that leaves a reply that
 * looks broken. write blocks while the client is slow, wait until the time has passed; both ERR_CANCELLED
 * once nobody reads any more. */
struct api_stream {
    int (*write)(struct api_stream *stream, const void *bytes, size_t n);
    int (*wait)(struct api_stream *stream, uint64_t ms);
};

/* Fields are as they came, without the spaces around them; empty: there was none. */
struct api_request {
    struct api_caller caller;
    struct slice method, path; /* path with its query string */
    struct slice body;
    const atomic_bool *cancelled; /* set by store_cancel when nobody waits for the reply any more; or NULL */
    struct slice accept, content_type, cookie, idempotency_key, if_match, if_none_match, origin;
    struct ip peer;            /* of the connection */
    bool secure;               /* the client came by TLS */
    struct api_stream *stream; /* NULL: the reply goes into its body, as of any other route */
};

enum { API_FIELDS_BYTES = 4096 };

/* Made by the caller with status 200, type API_JSON, and limits for its two bufs. */
struct api_reply {
    int status;       /* of HTTP */
    const char *type; /* of the body; static */
    struct buf body;
    struct buf fields; /* more fields, each "Name: value\r\n"; at most API_FIELDS_BYTES */
};
#define API_JSON    "application/json"
#define API_PROBLEM "application/problem+json"
void api_reply_init(struct api_reply *reply, size_t body_bytes);
void api_reply_fini(struct api_reply *reply);

/* Always answers: fills what api_reply_init made; fields that are there already stay. A 405 has its Allow. */
void api_handle(struct api_context *context, const struct api_request *request, struct api_reply *reply);

enum api_route_flags {
    API_OPERATOR = 1, /* for nobody else */
    API_RAW = 2,      /* the handler reads the body itself; it is JSON all the same, unless: */
    API_ANY_TYPE = 4, /* the handler looks at content_type itself */
    API_STREAM = 8,   /* the handler may write the reply piece by piece: it holds no worker meanwhile */
    API_OPEN = 16,    /* for everybody: the caller is nobody */
    API_LOCAL = 32,   /* for the operator at this machine, not over HTTP */
    API_ONCE = 64,    /* creates something in the account file alone: takes an Idempotency-Key */
};

/* For servers that judge method, path and framing themselves. */
struct api_route {
    const char *method, *path; /* path: as base/pattern.h; of two routes that fit the first is taken */
    unsigned flags;
    size_t body_bytes; /* at most; 0: it takes none */
};

/* The i-th; false: there are no more. */
bool api_route(size_t i, struct api_route *out);

#endif
