/* SPDX-License-Identifier: Apache-2.0
 *
 * tenants: GET POST /api/v1/tenants, GET DELETE /api/v1/tenants/NAME.
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
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

int tenants_get(struct api_call *call)
{
    struct wanted wanted = {call, 0, true};
    int rc = call_tenant(call, call->name, &wanted.id);
    return rc != 0 ? rc : account_tenant_list(call->context->account, tenant_row, &wanted, &call->err);
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

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    return account_tenant_remove(a, *(const uint32_t *)arg, err);
}

/* With ?erase=1: and what it sent, in the same transaction. */
struct clearance {
    struct api_call *call;
    uint32_t tenant;
    uint64_t job;
};

static int remove_and_erase(struct account *a, const void *arg, struct err *err)
{
    struct clearance *clearance = (struct clearance *)(uintptr_t)arg; /* what it did is noted in it */
    int rc = account_tenant_remove(a, clearance->tenant, err);
    return rc != 0 ? rc : job_wish_erasure(clearance->call, clearance->tenant, "", &clearance->job);
}

int tenants_remove(struct api_call *call)
{
    char erase[8] = "";
    struct clearance clearance = {.call = call};
    int rc = call_tenant(call, call->name, &clearance.tenant);
    if (rc != 0)
        return rc;
    rc = call_parameter(call, "erase", erase, sizeof erase);
    if (rc == ERR_NOT_FOUND || (rc == 0 && strcmp(erase, "0") == 0))
        return call_remove(call, "tenant remove", clearance.tenant, call->name, remove_one,
                           &clearance.tenant);
    if (rc != 0 || strcmp(erase, "1") != 0)
        return err_set(&call->err, ERR_INVALID, "?erase= must be 0 or 1");
    rc = call_remove(call, "tenant remove", clearance.tenant, call->name, remove_and_erase, &clearance);
    if (rc != 0)
        return rc;
    jobs_tell(call, 0);
    buf_clear(call->reply);
    return buf_addf(call->reply, "{\"removed\":1,\"job\":%llu}", (unsigned long long)clearance.job);
}
