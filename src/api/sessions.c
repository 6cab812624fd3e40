/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions: people log in and out over HTTP. POST GET DELETE /api/v1/session is the caller's own, GET DELETE
 * /api/v1/sessions[/ID] are all of the same person; POST /api/v1/session/password changes the password, which
 * ends them all. An unknown name and a wrong password answer alike, after the same time.
 */
#include "attempts.h"
#include "base/clock.h"
#include "base/log.h"
#include "call.h"
#include "login.h"

static int must_be_person(struct api_call *call)
{
    if (call->request->caller.user != 0)
        return 0;
    return err_set(&call->err, ERR_DENIED, "this is for people who are logged in");
}

static int write_session(struct api_call *call, const struct account_session *session)
{
    char address[IP_TEXT_BYTES], created[CLOCK_TEXT_BYTES], seen[CLOCK_TEXT_BYTES];
    ip_format(&session->address, address);
    clock_format(session->created_us, created);
    clock_format(session->seen_us, seen);
    return buf_addf(call->reply,
                    "\"id\":%u,\"user\":\"%s\",\"address\":\"%s\",\"created\":\"%s\",\"last_seen\":\"%s\"",
                    session->id, session->user_name, address, created, seen);
}

/* The session of a token, as its owner's pages see it. */
static int write_own(struct api_call *call, struct slice token)
{
    char csrf[LOGIN_CSRF_BYTES];
    struct account_session session;
    int rc = account_session_check(call->context->account, token, &call->context->people->limits,
                                   clock_real_us(), &session, &call->err);
    if (rc == 0)
        rc = buf_addf(call->reply, "{");
    if (rc == 0)
        rc = write_session(call, &session);
    login_csrf(token, csrf);
    return rc != 0 ? rc : buf_addf(call->reply, ",\"csrf_token\":\"%s\"}", csrf);
}

/* An account's tries are counted by what was typed, whether there is such an account or not. */
static int check_password(struct api_call *call, const char *name, const char *password, uint32_t *user)
{
    char from[IP_TEXT_BYTES];
    struct attempts *attempts = call->context->people->attempts;
    struct attempt attempt = {slice_of(name), &call->request->peer, clock_monotonic_us()};
    int64_t wait_us = attempts_begin(attempts, &attempt);
    if (wait_us > 0) {
        call->retry_s = (unsigned)((wait_us + US_PER_SECOND - 1) / US_PER_SECOND);
        return err_set(&call->err, ERR_BUSY, "too many failed tries: the next one is possible in %u s",
                       call->retry_s);
    }
    int rc = account_user_check(call->context->account, name, slice_of(password), user, &call->err);
    call->retry_s = rc == ERR_BUSY;
    if (rc == 0)
        attempts_end(attempts, &attempt, ATTEMPT_GOOD);
    else if (rc != ERR_UNAUTHENTICATED)
        attempts_end(attempts, &attempt, ATTEMPT_UNTRIED);
    ip_format(&call->request->peer, from);
    if (rc == ERR_UNAUTHENTICATED)
        log_info("http: login refused [client=%s]", from); /* a name may be a password in the wrong place */
    return rc;
}

static int begin_session(struct api_call *call, uint32_t user, const char *name)
{
    char token[ACCOUNT_TOKEN_BYTES], from[IP_TEXT_BYTES];
    struct account *account = call->context->account;
    ip_format(&call->request->peer, from);
    int rc = account_session_begin(account, user, &call->request->peer, clock_real_us(), token, &call->err);
    if (rc == 0)
        rc = account_audit(account, 0, name, "login", from, &call->err);
    if (rc == 0)
        rc = write_own(call, slice_of(token));
    if (rc == 0)
        rc = login_set_cookie(call->fields, token, call->request->secure,
                              call->context->people->limits.lifetime_us);
    return rc;
}

int session_begin(struct api_call *call)
{
    const char *name = NULL, *password = NULL;
    uint32_t user;
    struct field root = field_root(call->body, &call->err);
    if (call->context->people == NULL)
        return err_set(&call->err, ERR_UNSUPPORTED, "people log in over HTTP");
    int rc = field_object(&root, "name password");
    if (rc == 0)
        rc = field_text(&root, "name", NULL, &name);
    if (rc == 0)
        rc = field_text(&root, "password", NULL, &password);
    if (rc == 0)
        rc = check_password(call, name, password, &user);
    call->status = 201;
    return rc != 0 ? rc : begin_session(call, user, name);
}

int session_get(struct api_call *call)
{
    int rc = must_be_person(call);
    return rc != 0 ? rc : write_own(call, login_token(call->request->cookie, call->request->secure));
}

/* id 0: all of them. */
static int end(struct api_call *call, uint32_t id, const char *action)
{
    const struct api_caller *caller = &call->request->caller;
    int rc = account_session_end(call->context->account, caller->user, id, &call->err);
    if (rc == 0)
        rc = account_audit(call->context->account, 0, caller->name, action, "", &call->err);
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"ended\":%s}", id != 0 ? "1" : "\"all\"");
    if (rc == 0 && (id == 0 || id == caller->session))
        rc = login_set_cookie(call->fields, "", call->request->secure, 0);
    return rc;
}

int session_end(struct api_call *call)
{
    int rc = must_be_person(call);
    return rc != 0 ? rc : end(call, call->request->caller.session, "logout");
}

int sessions_end(struct api_call *call)
{
    int rc = must_be_person(call);
    return rc != 0 ? rc : end(call, 0, "logout everywhere");
}

int sessions_end_one(struct api_call *call)
{
    uint64_t id = 0;
    int rc = must_be_person(call);
    if (rc == 0 && (text_to_u64(slice_of(call->name), UINT32_MAX, &id) != 0 || id == 0))
        rc = err_set(&call->err, ERR_NOT_FOUND, "there is no such session");
    return rc != 0 ? rc : end(call, (uint32_t)id, "logout elsewhere");
}

static int session_row(void *arg, const struct account_session *session)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    if (rc == 0)
        rc = buf_addf(call->reply, "{");
    if (rc == 0)
        rc = write_session(call, session);
    return rc != 0 ? rc
                   : buf_addf(call->reply, ",\"current\":%s}",
                              session->id == call->request->caller.session ? "true" : "false");
}

int sessions_list(struct api_call *call)
{
    int rc = must_be_person(call);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_session_list(call->context->account, call->request->caller.user,
                                  &call->context->people->limits, clock_real_us(), session_row, call,
                                  &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

int session_password(struct api_call *call)
{
    const char *current = NULL, *password = NULL, *name = call->request->caller.name;
    uint32_t user;
    struct field root = field_root(call->body, &call->err);
    int rc = must_be_person(call);
    if (rc == 0)
        rc = field_object(&root, "current password");
    if (rc == 0)
        rc = field_text(&root, "current", NULL, &current);
    if (rc == 0)
        rc = field_text(&root, "password", NULL, &password);
    if (rc == 0 && (rc = check_password(call, name, current, &user)) == ERR_UNAUTHENTICATED)
        rc = err_set(&call->err, ERR_DENIED, "the current password is another one");
    if (rc == 0)
        rc = account_user_set_password(call->context->account, name, password, &call->err);
    if (rc == 0)
        rc = account_audit(call->context->account, 0, name, "password change", "", &call->err);
    if (rc == 0)
        rc = login_set_cookie(call->fields, "", call->request->secure, 0);
    return rc != 0 ? rc : buf_addf(call->reply, "{\"ended\":\"all\"}");
}
