/* SPDX-License-Identifier: Apache-2.0
 *
 * call: see call.h.
 */
#include "call.h"

#include <stdio.h>

int call_decode_name(struct api_call *call, struct slice segment)
{
    int rc = text_from_percent(segment, call->name, sizeof call->name);
    return rc != 0 ? err_set(&call->err, rc, "the path is not well formed") : 0;
}

int call_parameter(struct api_call *call, const char *name, char *out, size_t size)
{
    struct slice rest = call->query, pair;
    while (slice_split(&rest, '&', &pair)) {
        size_t n = strlen(name);
        if (pair.n <= n || memcmp(pair.p, name, n) != 0 || pair.p[n] != '=')
            continue;
        int rc = text_from_percent((struct slice){pair.p + n + 1, pair.n - n - 1}, out, size);
        return rc != 0 ? err_set(&call->err, rc, "?%s= is not well formed", name) : 0;
    }
    return err_set(&call->err, ERR_NOT_FOUND, "?%s= is missing", name);
}

int call_tenant(struct api_call *call, const char *name, uint32_t *tenant)
{
    const struct api_caller *caller = &call->request->caller;
    uint32_t found = 0;
    if (name[0] != '\0') {
        int rc = account_tenant_find(call->context->account, name, &found, &call->err);
        if (rc != 0)
            return rc;
    }
    if (!caller->operator_ && found != 0 && found != caller->tenant)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no tenant '%s'", name);
    *tenant = caller->operator_ ? found : caller->tenant;
    return 0;
}

int call_tenant_parameter(struct api_call *call, bool must, uint32_t *tenant)
{
    char name[ACCOUNT_NAME_BYTES] = "";
    int rc = call_parameter(call, "tenant", name, sizeof name);
    if (rc == ERR_NOT_FOUND && must && call->request->caller.operator_)
        return err_set(&call->err, ERR_INVALID, "?tenant=NAME is missing");
    if (rc != 0 && rc != ERR_NOT_FOUND)
        return rc;
    return call_tenant(call, name, tenant);
}

int call_store(struct api_call *call)
{
    const struct api_context *context = call->context;
    if (context->store != NULL)
        return 0;
    return err_set(&call->err, ERR_UNAVAILABLE, "%s",
                   context->status == NULL ? "no hub is running: start it with `mail-analytics serve`"
                                           : "the store isn't open: `mail-analytics status` says why");
}

void call_set_scope(const struct api_call *call, uint32_t tenant, struct query *query)
{
    query->scope = tenant != 0 ? QUERY_SCOPE_TENANT : QUERY_SCOPE_ALL;
    if (!call->request->caller.operator_)
        query->scope = QUERY_SCOPE_TENANT; /* whatever else happened */
    query->tenant = tenant;
    query->timeout_us = call->context->query_timeout_us;
    query->cancelled = call->request->cancelled;
}

int call_whose(struct api_call *call)
{
    return call_tenant_parameter(call, true, &call->tenant);
}

struct addition {
    struct api_call *call;
    const char *action;
    int (*one)(struct api_call *call, const struct field *item);
};

static int add_items(struct account *a, void *arg, struct err *err)
{
    struct addition *addition = arg;
    struct api_call *call = addition->call;
    struct field root = field_root(call->body, err);
    char detail[64];
    bool many = json_is_array(call->body);
    size_t count = many ? json_array_size(call->body) : 1;
    if (count > API_ITEMS)
        return field_fail(&root, ERR_LIMIT, "has %zu items, at most %d are allowed", count, API_ITEMS);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct field item = many ? field_item(&root, i) : root;
        rc = addition->one(call, &item);
        if (rc != 0 && many)
            call->index = (long)i;
    }
    if (rc != 0)
        return rc;
    (void)snprintf(detail, sizeof detail, "%zu added", count);
    return account_audit(a, call->request->caller.tenant, call->request->caller.name, addition->action,
                         detail, err);
}

int call_add_rows(struct api_call *call, const char *action,
                  int (*one)(struct api_call *call, const struct field *item))
{
    struct addition addition = {call, action, one};
    if (call->body == NULL)
        return err_set(&call->err, ERR_INVALID, "a JSON body is needed");
    call->status = 201;
    int rc = account_atomically(call->context->account, add_items, &addition, &call->err);
    return rc != 0 ? rc : call_tell_ruled(call);
}

int call_add(struct api_call *call, const char *action,
             int (*one)(struct api_call *call, const struct field *item))
{
    int rc = call_add_rows(call, action, one);
    if (rc == 0 && json_is_array(call->body)) {
        buf_clear(call->reply);
        rc = buf_addf(call->reply, "{\"added\":%zu}", json_array_size(call->body));
    }
    return rc;
}

struct removal {
    struct api_call *call;
    const char *action, *what;
    uint32_t tenant;
    int (*one)(struct account *, const void *arg, struct err *);
    const void *arg;
};

static int remove_one(struct account *a, void *arg, struct err *err)
{
    const struct removal *removal = arg;
    int rc = removal->one(a, removal->arg, err);
    if (rc != 0)
        return rc;
    return account_audit(a, removal->tenant, removal->call->request->caller.name, removal->action,
                         removal->what, err);
}

int call_remove(struct api_call *call, const char *action, uint32_t tenant, const char *what,
                int (*one)(struct account *, const void *arg, struct err *), const void *arg)
{
    struct removal removal = {call, action, what, tenant, one, arg};
    int rc = account_atomically(call->context->account, remove_one, &removal, &call->err);
    return rc != 0 ? rc : buf_addf(call->reply, "{\"removed\":1}");
}

int call_rows_begin(struct api_call *call)
{
    return buf_addf(call->reply, "{\"rows\":[");
}

int call_row(struct api_call *call)
{
    return call->reply->p[call->reply->n - 1] == '[' ? 0 : buf_add(call->reply, ",", 1);
}

int call_rows_end(struct api_call *call)
{
    return buf_addf(call->reply, "]}");
}

int call_send(struct api_call *call, const void *bytes, size_t n)
{
    struct api_stream *stream = call->request->stream;
    call->answer->status = call->status;
    call->answer->type = call->type;
    return stream->write(stream, bytes, n);
}

int call_reply_failed(struct api_call *call, int rc)
{
    if (rc == ERR_LIMIT && call->err.detail[0] == '\0')
        return err_set(&call->err, rc,
                       "the answer is longer than %zu bytes: ask for less, such as one tenant",
                       call->reply->limit);
    return rc;
}

int call_write_tenant(struct api_call *call, uint32_t tenant)
{
    if (call->named != tenant) { /* lists come tenant by tenant */
        int rc = account_tenant_name(call->context->account, tenant, call->tenant_name, &call->err);
        if (rc != 0)
            return rc;
        call->named = tenant;
    }
    return buf_addf(call->reply, "\"tenant\":\"%s\"", call->tenant_name); /* names need no escapes */
}
