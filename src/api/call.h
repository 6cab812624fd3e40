/* SPDX-License-Identifier: Apache-2.0
 *
 * call: one request on its way through a handler, and what handlers share: whose rows the caller may touch,
 * items one by one within one transaction, lists streamed into the reply. Within the api room only.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include "api.h"
#include "field.h"

enum {
    API_TEXT_BYTES = 512,
    API_ITEMS = 1000000,
    API_KEYS_AT_ONCE = 1000,
    API_RELABELLED = 16, /* tenants whose rules one request changes, that are named in its reply */
};

struct api_call {
    struct api_context *context;
    const struct api_request *request;
    struct slice query;        /* behind '?', still percent-encoded */
    char name[API_TEXT_BYTES]; /* what stood for '*' in the route, decoded */
    json_t *body;              /* NULL: none */
    int status;                /* 200 unless the handler says otherwise */
    const char *type;          /* of the reply: API_JSON unless the handler says otherwise; static */
    struct buf *reply;         /* its body */
    struct api_reply *answer;  /* call_send only */
    struct buf *fields;        /* its fields: "Name: value\r\n"; a problem keeps them */
    struct err err;
    uint32_t tenant; /* whose thing the path names, once a handler found that out */
    uint64_t job;    /* that a change asked for */
    uint32_t named;  /* the tenant whose name is kept here */
    char tenant_name[ACCOUNT_NAME_BYTES];
    uint32_t ruled[API_RELABELLED]; /* tenants whose rules were changed */
    unsigned ruled_count;
    bool ruled_more;  /* than those */
    long index;       /* of the item at fault in an array body; -1: none */
    unsigned retry_s; /* a problem says to try again after so many seconds; 0: doesn't */
};

/* Handlers: 0 with the reply written, or a code with err filled (the reply is thrown away then). */
int tenants_list(struct api_call *call);
int tenants_get(struct api_call *call);
int tenants_add(struct api_call *call);
int tenants_change(struct api_call *call);
int tenants_remove(struct api_call *call);
int domains_list(struct api_call *call);
int domains_add(struct api_call *call);
int domains_get(struct api_call *call);
int domains_change(struct api_call *call);
int domains_remove(struct api_call *call);
int networks_list(struct api_call *call);
int networks_add(struct api_call *call);
int networks_get(struct api_call *call);
int networks_change(struct api_call *call);
int networks_remove(struct api_call *call);
int apikeys_list(struct api_call *call);
int apikeys_add(struct api_call *call);
int apikeys_get(struct api_call *call);
int apikeys_change(struct api_call *call);
int apikeys_remove(struct api_call *call);
int edges_list(struct api_call *call);
int edges_get(struct api_call *call);
int edges_history(struct api_call *call);
int edges_settings(struct api_call *call);
int edges_change(struct api_call *call);
int edges_remove(struct api_call *call);
int jobs_list(struct api_call *call);
int jobs_get(struct api_call *call);
int jobs_add(struct api_call *call);
int jobs_cancel(struct api_call *call);
int retention_list(struct api_call *call);
int retention_set(struct api_call *call);
int retention_remove(struct api_call *call);
int tombstones_list(struct api_call *call);
int tombstones_remove(struct api_call *call);
int query_post(struct api_call *call);
int events_list(struct api_call *call);
int export_get(struct api_call *call);
int export_raw(struct api_call *call); /* what export_get does for ?format=raw */
int messages_list(struct api_call *call);
int messages_get(struct api_call *call);
int load_post(struct api_call *call);
int status_get(struct api_call *call);
int openapi_get(struct api_call *call);
int store_check(struct api_call *call);
int session_begin(struct api_call *call);
int session_get(struct api_call *call);
int session_end(struct api_call *call);
int session_password(struct api_call *call);
int sessions_list(struct api_call *call);
int sessions_end(struct api_call *call);
int sessions_end_one(struct api_call *call);
int users_list(struct api_call *call);
int users_add(struct api_call *call);
int users_reset(struct api_call *call);
int users_remove(struct api_call *call);

/* Decodes the part of the path that stood for '*' into call->name. */
MUST_CHECK int call_decode_name(struct api_call *call, struct slice segment);

/* A parameter of the query string, decoded. ERR_NOT_FOUND (absent), ERR_INVALID. */
MUST_CHECK int call_parameter(struct api_call *call, const char *name, char *out, size_t size);

/* Whose rows: the named tenant for the operator ("" asks for all: *tenant = 0), always its own for others. A
 * tenant that is not the caller's does not exist for it. */
MUST_CHECK int call_tenant(struct api_call *call, const char *name, uint32_t *tenant);
/* The same from ?tenant=NAME; must: the operator has to name one. */
MUST_CHECK int call_tenant_parameter(struct api_call *call, bool must, uint32_t *tenant);

/* Is there a store to ask? ERR_UNAVAILABLE. */
MUST_CHECK int call_store(struct api_call *call);
/* Whose events the question may see: those of the tenant that call_tenant found, never more than the
 * caller's; its time limit, and that it ends when nobody waits for it. */
void call_set_scope(const struct api_call *call, uint32_t tenant, struct query *query);

/* Runs one() for the body, or for each item when it is an array, in one transaction with its audit line
 * ("action", count); replies 201 with what one() appended, or {"added":N} for an array. */
MUST_CHECK int call_add(struct api_call *call, const char *action,
                        int (*one)(struct api_call *call, const struct field *item));

/* The same for arrays whose items append to a list themselves (call_row). */
MUST_CHECK int call_add_rows(struct api_call *call, const char *action,
                             int (*one)(struct api_call *call, const struct field *item));

/* Removes what has no tag by one(arg) and writes the audit line, in one transaction; replies {"removed":1}.
 */
MUST_CHECK int call_remove(struct api_call *call, const char *action, uint32_t tenant, const char *what,
                           int (*one)(struct account *, const void *arg, struct err *), const void *arg);

/* Whose thing call->name is, from ?tenant=, into call->tenant; the operator has to name one. */
MUST_CHECK int call_whose(struct api_call *call);

/* The reply is a representation of what can be edited: gives it its ETag, or 304 when the caller has it. */
MUST_CHECK int call_tagged(struct api_call *call);
/* Its ETag alone, after a change. */
MUST_CHECK int call_tag(struct api_call *call);

/* A change to the one thing that the path names, in one transaction with its audit line. What If-Match says
 * has to hold; without it a change is refused (428) and a removal is not. Replies the thing with its ETag, or
 * {"removed":1}. */
struct edit {
    const char *action;
    int (*write)(struct api_call *call);  /* the thing as it is, into the reply; ERR_NOT_FOUND */
    int (*change)(struct api_call *call); /* by call->body, or takes it away */
    bool removes;
};
MUST_CHECK int call_edit(struct api_call *call, const struct edit *edit);

/* The rules of the tenant were changed, by domains or networks (relabel.c). */
void call_ruled(struct api_call *call, uint32_t tenant);
/* Once that is committed: names in the reply's Reclassify those tenants of which something was heard before,
 * as that keeps its labels. */
MUST_CHECK int call_tell_ruled(struct api_call *call);

/* A creating request that has an Idempotency-Key: done once (once.c). */
MUST_CHECK int call_once(struct api_call *call, int (*handler)(struct api_call *call));

/* Lists: begin, then before each row, then end. They write {"rows":[ … ]}. */
MUST_CHECK int call_rows_begin(struct api_call *call);
MUST_CHECK int call_row(struct api_call *call);
MUST_CHECK int call_rows_end(struct api_call *call);
/* The next bytes of a streamed reply, of the status and type that the call has. ERR_CANCELLED. */
MUST_CHECK int call_send(struct api_call *call, const void *bytes, size_t n);
/* The answer doesn't fit: says so. Returns rc. */
int call_reply_failed(struct api_call *call, int rc);

/* "tenant":"acme" — the name of a tenant id, as a member. */
MUST_CHECK int call_write_tenant(struct api_call *call, uint32_t tenant);

/* The problem document (RFC 9457) of call->err with code rc; sets call->status. */
void problem_write(struct api_call *call, int rc);

#endif
