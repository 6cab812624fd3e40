/* SPDX-License-Identifier: Apache-2.0
 *
 * tenants: GET POST /api/v1/tenants, GET PATCH DELETE /api/v1/tenants/NAME. A new name is all that changes:
 * stored events know tenants by number.
 */
#include "base/clock.h"
#include "nouns.h"

int noun_tenant(struct api_call *call, const struct field *item, uint32_t *tenant)
{
    const char *name = NULL;
    if (!json_is_object(item->json) || json_object_get(item->json, "tenant") == NULL)
        return field_blame(item, call_tenant_parameter(call, true, tenant));
    struct field member = field_member(item, "tenant");
    int rc = field_text(item, "tenant", NULL, &name);
    if (rc != 0)
        return rc;
    if (name[0] == '\0')
        return field_fail(&member, ERR_INVALID, "must be the name of a tenant");
    rc = call_tenant(call, name, tenant);
    return rc != 0 ? field_blame(&member, rc) : 0;
}

static int write_tenant(struct api_call *call, const struct account_tenant *tenant)
{
    char created[CLOCK_TEXT_BYTES];
    clock_format(tenant->created_us, created);
    return buf_addf(call->reply, "{\"name\":\"%s\",\"id\":%u,\"created\":\"%s\",\"rule_version\":%u}",
                    tenant->name, tenant->id, created, tenant->rule_version);
}

struct wanted {
    struct api_call *call;
    uint32_t id; /* 0: all */
    bool alone;
};

static int tenant_row(void *arg, const struct account_tenant *tenant)
{
    struct wanted *wanted = arg;
    if (wanted->id != 0 && wanted->id != tenant->id)
        return 0;
    int rc = wanted->alone ? 0 : call_row(wanted->call);
    return rc != 0 ? rc : write_tenant(wanted->call, tenant);
}

int tenants_list(struct api_call *call)
{
    const struct api_caller *caller = &call->request->caller;
    struct wanted wanted = {call, caller->operator_ ? 0 : caller->tenant, false};
    int rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_tenant_list(call->context->account, tenant_row, &wanted, &call->err);
    if (rc == 0)
        rc = call_rows_end(call);
    return call_reply_failed(call, rc != 0 ? rc : call_tagged(call));
}

static int write_one(struct api_call *call)
{
    struct wanted wanted = {call, call->tenant, true};
    int rc = account_tenant_list(call->context->account, tenant_row, &wanted, &call->err);
    return rc == 0 && call->reply->n == 0 ? err_set(&call->err, ERR_NOT_FOUND, "the tenant is gone") : rc;
}

int tenants_get(struct api_call *call)
{
    int rc = call_tenant(call, call->name, &call->tenant);
    if (rc == 0)
        rc = write_one(call);
    return rc != 0 ? rc : call_tagged(call);
}

static int add_one(struct api_call *call, const struct field *item)
{
    const char *name = json_string_value(item->json);
    int rc = name != NULL ? 0 : field_object(item, "name");
    if (rc == 0 && name == NULL)
        rc = field_text(item, "name", NULL, &name);
    if (rc != 0)
        return rc;
    struct wanted wanted = {call, 0, true};
    rc = account_tenant_add(call->context->account, name, &wanted.id, &call->err);
    if (rc != 0)
        return field_blame(item, rc);
    if (json_is_array(call->body))
        return 0;
    return account_tenant_list(call->context->account, tenant_row, &wanted, &call->err);
}

int tenants_add(struct api_call *call)
{
    return call_add(call, "tenant add", add_one);
}

static int change_one(struct api_call *call)
{
    const char *name;
    struct field root = field_root(call->body, &call->err);
    int rc = field_object(&root, "name");
    if (rc == 0)
        rc = field_text(&root, "name", NULL, &name);
    return rc != 0 ? rc : account_tenant_rename(call->context->account, call->tenant, name, &call->err);
}

int tenants_change(struct api_call *call)
{
    static const struct edit edit = {"tenant change", write_one, change_one, false};
    int rc = call_tenant(call, call->name, &call->tenant);
    return rc != 0 ? rc : call_edit(call, &edit);
}

static int remove_one(struct api_call *call)
{
    return account_tenant_remove(call->context->account, call->tenant, &call->err);
}

/* With ?erase=1: and what it sent, in the same transaction. */
static int remove_and_erase(struct api_call *call)
{
    int rc = remove_one(call);
    return rc != 0 ? rc : job_wish_erasure(call, call->tenant, "", &call->job);
}

static int read_erase(struct api_call *call, bool *erases)
{
    char text[8] = "";
    int rc = call_parameter(call, "erase", text, sizeof text);
    *erases = strcmp(text, "1") == 0;
    if (rc == ERR_NOT_FOUND || (rc == 0 && (*erases || strcmp(text, "0") == 0)))
        return 0;
    return err_set(&call->err, ERR_INVALID, "?erase= must be 0 or 1");
}

int tenants_remove(struct api_call *call)
{
    static const struct edit only = {"tenant remove", write_one, remove_one, true};
    static const struct edit all = {"tenant remove", write_one, remove_and_erase, true};
    bool erases;
    int rc = call_tenant(call, call->name, &call->tenant);
    if (rc == 0)
        rc = read_erase(call, &erases);
    if (rc == 0)
        rc = call_edit(call, erases ? &all : &only);
    if (rc != 0 || !erases)
        return rc;
    jobs_tell(call, 0);
    buf_clear(call->reply);
    return buf_addf(call->reply, "{\"removed\":1,\"job\":%llu}", (unsigned long long)call->job);
}
