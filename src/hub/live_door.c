/* SPDX-License-Identifier: Apache-2.0
 *
 * live_door: see live_door.h.
 */
#include "live_door.h"

#include "api/login.h"
#include "base/log.h"

#include <stdlib.h>

static bool is_listed(struct slice origin, const char *origins)
{
    struct slice rest = slice_of(origins), one;
    while (slice_split(&rest, ',', &one))
        if (slice_equal_nocase(slice_trim(one), origin))
            return true;
    return false;
}

static bool comes_from_a_known_page(const struct http_request *request, const char *origins)
{
    struct slice origin = http_head_field(request->head, "Origin");
    if (origin.n == 0)
        return http_head_field(request->head, "Authorization").p != NULL;
    return is_listed(origin, origins) ||
           login_same_site((struct slice){NULL, 0}, origin, http_head_field(request->head, "Host"));
}

/* ?tenant=NAME; empty without one. ERR_LIMIT: longer than any. */
static int read_name(const struct http_request *request, char name[ACCOUNT_NAME_BYTES])
{
    struct slice rest = request->head->query, part;
    name[0] = '\0';
    while (slice_split(&rest, '&', &part))
        if (part.n > 7 && memcmp(part.p, "tenant=", 7) == 0)
            return slice_to_string((struct slice){part.p + 7, part.n - 7}, name, ACCOUNT_NAME_BYTES);
    return 0;
}

/* 0: all of them, the operator's. ERR_NOT_FOUND for one that isn't there and one that isn't the caller's. */
static int find_tenant(struct account *account, const struct caller *caller,
                       const struct http_request *request, uint32_t *tenant, struct err *err)
{
    char name[ACCOUNT_NAME_BYTES];
    uint32_t named = 0;
    int rc = read_name(request, name);
    *tenant = caller->who.operator_ ? 0 : caller->who.tenant;
    if (rc != 0 || name[0] == '\0')
        return rc != 0 ? ERR_NOT_FOUND : 0;
    rc = account_tenant_find(account, name, &named, err);
    if (rc == 0 && !caller->who.operator_ && named != caller->who.tenant)
        return ERR_NOT_FOUND;
    *tenant = named;
    return rc;
}

/* ---- passes -------------------------------------------------------------------------------------- */

/* What caller_known looks at, of the request that came in. */
struct pass {
    struct live_pass base; /* first */
    struct http_head head; /* its fields' values point into text */
    struct ip peer;
    bool secure, operator_;
    uint32_t tenant;
    char text[];
};

static const char *const kept[] = {"Authorization", "Cookie", "X-Forwarded-Proto"};

static void destroy_pass(struct live_pass *pass)
{
    free(pass);
}

static struct live_pass *make_pass(const struct caller *caller, const struct http_request *request)
{
    size_t n = 0, count = sizeof kept / sizeof *kept;
    for (size_t i = 0; i < count; i++)
        n += http_head_field(request->head, kept[i]).n;
    struct pass *pass = calloc(1, sizeof *pass + n);
    if (pass == NULL)
        return NULL;
    *pass = (struct pass){.base = {destroy_pass},
                          .peer = request->peer,
                          .secure = request->secure,
                          .operator_ = caller->who.operator_,
                          .tenant = caller->who.tenant};
    n = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice value = http_head_field(request->head, kept[i]);
        if (value.p == NULL)
            continue;
        memcpy(pass->text + n, value.p, value.n);
        pass->head.fields[pass->head.field_count++] =
            (struct http_field){slice_of(kept[i]), {pass->text + n, value.n}};
        n += value.n;
    }
    return &pass->base;
}

bool live_may_stay(struct account *account, const struct account_session_limits *limits,
                   const struct live_pass *shown)
{
    const struct pass *pass = (const struct pass *)shown;
    struct caller caller;
    struct http_reply reply = {.status = 200};
    struct http_request request = {
        .head = &pass->head, .method = SLICE("GET"), .peer = pass->peer, .secure = pass->secure};
    buf_init(&reply.body, HTTP_FIELDS_BYTES);
    buf_init(&reply.fields, HTTP_FIELDS_BYTES);
    bool known = caller_known(&caller, account, limits, &request, &reply);
    bool stays = known ? caller.who.operator_ == pass->operator_ && caller.who.tenant == pass->tenant &&
                             (caller.who.scopes & SCOPE_READ) != 0
                       : reply.status == 503; /* nobody can say */
    buf_fini(&reply.body);
    buf_fini(&reply.fields);
    return stays;
}

/* ---- the door ------------------------------------------------------------------------------------ */

void live_enter(struct live *live, struct account *account, const struct caller *caller, const char *origins,
                const struct http_request *request, struct http_reply *reply)
{
    struct err err = {0};
    uint32_t tenant;
    if (!comes_from_a_known_page(request, origins)) {
        http_problem(reply, 403, "this page may not open a live connection (http_origins names others)");
        return;
    }
    if (!caller->who.operator_ && (caller->who.scopes & SCOPE_READ) == 0) {
        http_problem(reply, 403, "the caller lacks the scope for this");
        return;
    }
    int rc = find_tenant(account, caller, request, &tenant, &err);
    struct live_pass *pass = rc == 0 ? make_pass(caller, request) : NULL;
    if (pass != NULL)
        live_accept(live, tenant, pass, reply);
    else if (rc == 0)
        http_problem(reply, 503, "there is no memory for a live client");
    else if (rc == ERR_NOT_FOUND)
        http_problem(reply, 404, "there is no such tenant");
    else {
        log_error("http: %s", err_detail(&err));
        http_problem(reply, 503, "the account file can't be used, see the hub's log");
    }
}
