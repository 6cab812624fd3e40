/* SPDX-License-Identifier: Apache-2.0
 *
 * caller: see caller.h.
 */
#include "caller.h"

#include "api/login.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

enum { ALL_SCOPES = SCOPE_INGEST | SCOPE_READ | SCOPE_MANAGE };
#define PEOPLE (UINT64_C(1) << 32) /* their numbers begin behind those of keys */

static struct slice field(const struct http_request *request, const char *name)
{
    return http_head_field(request->head, name);
}

/* A proxy that ends TLS says so; it has to be on this machine, as we listen nowhere else without TLS. */
static bool is_secure(const struct http_request *request)
{
    return request->secure || (ip_is_loopback(&request->peer) &&
                               slice_equal_nocase(field(request, "X-Forwarded-Proto"), SLICE("https")));
}

static struct slice bearer(const struct http_request *request)
{
    struct slice value = field(request, "Authorization");
    size_t n = strlen("Bearer ");
    return value.n < n ? (struct slice){NULL, 0} : slice_trim((struct slice){value.p + n, value.n - n});
}

static void refuse(struct http_reply *reply, int status, const char *why, const char *fields)
{
    http_problem(reply, status, why);
    (void)!buf_addf(&reply->fields, "%s", fields);
}

static void refuse_broken(struct http_reply *reply, const struct err *err)
{
    log_error("http: %s", err_detail(err));
    refuse(reply, 503, "the account file can't be used, see the hub's log", "");
}

static bool by_key(struct caller *out, struct account *account, const struct http_request *request,
                   struct http_reply *reply)
{
    struct err err = {0};
    struct account_key key;
    int rc = account_key_check(account, bearer(request), &request->peer, (enum scope)ALL_SCOPES,
                               clock_real_us(), &key, &err);
    if (rc == ERR_UNAUTHENTICATED)
        refuse(reply, 401, "the API key is not known, or its time is over",
               "WWW-Authenticate: Bearer realm=\"mail-analytics\", error=\"invalid_token\"\r\n");
    else if (rc == ERR_DENIED)
        refuse(reply, 403, "the API key is not for this client address", "");
    else if (rc != 0)
        refuse_broken(reply, &err);
    (void)snprintf(out->name, sizeof out->name, "apikey %u", key.id);
    out->number = key.id;
    out->who = (struct api_caller){.tenant = key.tenant, .scopes = key.scopes, .name = out->name};
    return rc == 0;
}

static bool comes_from_our_pages(const struct http_request *request)
{
    return login_same_site(field(request, "Sec-Fetch-Site"), field(request, "Origin"),
                           field(request, "Host"));
}

/* GET changes nothing, and what it answers another site's page can't read. */
static bool may_change(const struct http_request *request, struct slice token)
{
    return slice_equal(request->method, SLICE("GET")) ||
           (comes_from_our_pages(request) && login_csrf_fits(token, field(request, LOGIN_CSRF_FIELD)));
}

static bool by_session(struct caller *out, struct account *account,
                       const struct account_session_limits *limits, const struct http_request *request,
                       struct http_reply *reply)
{
    struct err err = {0};
    struct account_session session;
    struct slice token = login_token(field(request, "Cookie"), out->secure);
    int rc = account_session_check(account, token, limits, clock_real_us(), &session, &err);
    if (rc == ERR_UNAUTHENTICATED)
        refuse(reply, 401, "nobody is logged in, or the session is over",
               "WWW-Authenticate: Bearer realm=\"mail-analytics\"\r\n");
    else if (rc != 0)
        refuse_broken(reply, &err);
    else if (!may_change(request, token))
        refuse(reply, 403, "a change has to come from this site's own pages, with " LOGIN_CSRF_FIELD, "");
    if (reply->status >= 400)
        return false;
    memcpy(out->name, session.user_name, sizeof out->name);
    out->number = PEOPLE + session.user;
    out->who = (struct api_caller){.operator_ = true,
                                   .scopes = ALL_SCOPES,
                                   .user = session.user,
                                   .session = session.id,
                                   .name = out->name};
    return true;
}

bool caller_nobody(struct caller *out, const struct http_request *request, struct http_reply *reply)
{
    *out = (struct caller){.secure = is_secure(request)};
    out->who.name = out->name;
    if (slice_equal(request->method, SLICE("GET")) || comes_from_our_pages(request))
        return true;
    refuse(reply, 403, "this has to come from this site's own pages", "");
    return false;
}

bool caller_known(struct caller *out, struct account *account, const struct account_session_limits *limits,
                  const struct http_request *request, struct http_reply *reply)
{
    *out = (struct caller){.secure = is_secure(request)};
    return field(request, "Authorization").p != NULL ? by_key(out, account, request, reply)
                                                     : by_session(out, account, limits, request, reply);
}
