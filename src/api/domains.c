/* SPDX-License-Identifier: Apache-2.0
 *
 * domains: GET POST /api/v1/domains, GET PATCH DELETE /api/v1/domains/NAME?tenant=.
 */
#include "nouns.h"

static const char *const kinds[] = {[DOMAIN_OWN] = "own", [DOMAIN_RELAYED] = "relayed"};

static int read_kind(const struct field *item, enum domain_kind *kind)
{
    const char *text;
    struct field member = field_member(item, "kind");
    int rc = field_text(item, "kind", kinds[*kind], &text);
    if (rc != 0)
        return rc;
    if (strcmp(text, kinds[DOMAIN_OWN]) == 0)
        *kind = DOMAIN_OWN;
    else if (strcmp(text, kinds[DOMAIN_RELAYED]) == 0)
        *kind = DOMAIN_RELAYED;
    else
        return field_fail(&member, ERR_INVALID, "must be 'own' or 'relayed'");
    return 0;
}

int domain_read(const struct field *item, enum domain_kind kind, struct account_domain *out)
{
    *out = (struct account_domain){.name = json_string_value(item->json), .kind = kind};
    if (out->name != NULL)
        return 0;
    int rc = field_object(item, "tenant name kind subdomains");
    if (rc == 0)
        rc = field_text(item, "name", NULL, &out->name);
    if (rc == 0)
        rc = read_kind(item, &out->kind);
    if (rc == 0)
        rc = field_bool(item, "subdomains", false, &out->subdomains);
    return rc;
}

static int write_domain(struct api_call *call, const struct account_domain *domain)
{
    int rc = buf_addf(call->reply, "{");
    if (rc == 0)
        rc = call_write_tenant(call, domain->tenant);
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"name\":");
    if (rc == 0)
        rc = field_write(call->reply, slice_of(domain->name));
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"kind\":\"%s\",\"subdomains\":%s}", kinds[domain->kind],
                      domain->subdomains ? "true" : "false");
    return rc;
}

static int domain_row(void *arg, const struct account_domain *domain)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : write_domain(call, domain);
}

int domains_list(struct api_call *call)
{
    uint32_t tenant;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_domain_list(call->context->account, tenant, domain_row, call, &call->err);
    if (rc == 0)
        rc = call_rows_end(call);
    return call_reply_failed(call, rc != 0 ? rc : call_tagged(call));
}

static int add_one(struct api_call *call, const struct field *item)
{
    struct account_domain domain;
    int rc = domain_read(item, DOMAIN_OWN, &domain);
    if (rc == 0)
        rc = noun_tenant(call, item, &domain.tenant);
    if (rc != 0)
        return rc;
    rc = account_domain_add(call->context->account, &domain, &call->err);
    if (rc != 0)
        return field_blame(item, rc);
    call_ruled(call, domain.tenant);
    return json_is_array(call->body) ? 0 : write_domain(call, &domain);
}

int domains_add(struct api_call *call)
{
    return call_add(call, "domain add", add_one);
}

static int domain_alone(void *arg, const struct account_domain *domain)
{
    return write_domain(arg, domain);
}

static int write_one(struct api_call *call)
{
    return account_domain_get(call->context->account, call->tenant, call->name, domain_alone, call,
                              &call->err);
}

int domains_get(struct api_call *call)
{
    int rc = call_whose(call);
    if (rc == 0)
        rc = write_one(call);
    return rc != 0 ? rc : call_tagged(call);
}

static int keep_settings(void *arg, const struct account_domain *domain)
{
    struct account_domain *kept = arg;
    kept->kind = domain->kind;
    kept->subdomains = domain->subdomains;
    return 0;
}

static int change_one(struct api_call *call)
{
    bool changed;
    struct account *account = call->context->account;
    struct field root = field_root(call->body, &call->err);
    struct account_domain domain = {.tenant = call->tenant, .name = call->name};
    int rc = account_domain_get(account, domain.tenant, domain.name, keep_settings, &domain, &call->err);
    if (rc == 0)
        rc = field_object(&root, "kind subdomains");
    if (rc == 0)
        rc = read_kind(&root, &domain.kind);
    if (rc == 0)
        rc = field_bool(&root, "subdomains", domain.subdomains, &domain.subdomains);
    if (rc == 0)
        rc = account_domain_put(account, &domain, &changed, &call->err);
    if (rc == 0 && changed)
        call_ruled(call, domain.tenant);
    return rc;
}

int domains_change(struct api_call *call)
{
    static const struct edit edit = {"domain change", write_one, change_one, false};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}

static int remove_one(struct api_call *call)
{
    int rc = account_domain_remove(call->context->account, call->tenant, call->name, &call->err);
    if (rc == 0)
        call_ruled(call, call->tenant);
    return rc;
}

int domains_remove(struct api_call *call)
{
    static const struct edit edit = {"domain remove", write_one, remove_one, true};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}
