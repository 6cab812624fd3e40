/* SPDX-License-Identifier: Apache-2.0
 *
 * retention: GET POST DELETE /api/v1/retention: how long a tenant's data is kept where that differs from the
 * settings. {"tenant":"acme","kind":"events","keep":"90d"}; "0" keeps for ever.
 */
#include "account/retention.h"

#include "nouns.h"

static const int64_t second_us = 1000000;

static int write_retention(struct api_call *call, const struct account_retention *retention)
{
    int rc = buf_addf(call->reply, "{");
    if (rc == 0)
        rc = call_write_tenant(call, retention->tenant);
    return rc != 0 ? rc
                   : buf_addf(call->reply, ",\"kind\":\"%s\",\"keep_seconds\":%lld}",
                              account_retention_kind(retention->kind),
                              (long long)(retention->keep_us / second_us));
}

static int retention_row(void *arg, const struct account_retention *retention)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : write_retention(call, retention);
}

int retention_list(struct api_call *call)
{
    uint32_t tenant;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_retention_list(call->context->account, tenant, retention_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int read_kind(const char *name, enum retention_kind *out, struct err *err)
{
    return account_retention_kind_parse(name, out) == 0
               ? 0
               : err_set(err, ERR_INVALID, "the kind must be 'events', 'hourly', 'daily' or 'audit'");
}

static int set_one(struct api_call *call, const struct field *item)
{
    struct account_retention retention = {0};
    const char *kind = NULL, *keep = NULL;
    struct field member = field_member(item, "keep");
    int rc = field_object(item, "tenant kind keep");
    if (rc == 0)
        rc = noun_tenant(call, item, &retention.tenant);
    if (rc == 0)
        rc = field_text(item, "kind", NULL, &kind);
    if (rc == 0)
        rc = read_kind(kind, &retention.kind, &call->err);
    if (rc == 0)
        rc = field_text(item, "keep", NULL, &keep);
    if (rc == 0 && text_to_duration_us(slice_of(keep), &retention.keep_us) != 0)
        rc = field_fail(&member, ERR_INVALID, "must be a duration such as 90d, or 0 for ever");
    if (rc == 0)
        rc = account_retention_set(call->context->account, &retention, &call->err);
    if (rc != 0 || json_is_array(call->body))
        return rc;
    return write_retention(call, &retention);
}

int retention_set(struct api_call *call)
{
    return call_add(call, "retention set", set_one);
}

struct removal {
    uint32_t tenant;
    enum retention_kind kind;
};

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    const struct removal *removal = arg;
    return account_retention_unset(a, removal->tenant, removal->kind, err);
}

int retention_remove(struct api_call *call)
{
    char kind[32];
    struct removal removal = {0};
    int rc = call_tenant_parameter(call, true, &removal.tenant);
    if (rc == 0)
        rc = call_parameter(call, "kind", kind, sizeof kind);
    if (rc == 0)
        rc = read_kind(kind, &removal.kind, &call->err);
    return rc != 0 ? rc : call_remove(call, "retention unset", removal.tenant, kind, remove_one, &removal);
}
