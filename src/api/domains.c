/* SPDX-License-Identifier: Apache-2.0
 *
 * domains: GET POST DELETE /api/v1/domains.
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
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
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
    return json_is_array(call->body) ? 0 : write_domain(call, &domain);
}

int domains_add(struct api_call *call)
{
    return call_add(call, "domain add", add_one);
}

struct removal {
    uint32_t tenant;
    const char *name;
};

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    const struct removal *removal = arg;
    return account_domain_remove(a, removal->tenant, removal->name, err);
}

int domains_remove(struct api_call *call)
{
    char name[API_TEXT_BYTES];
    struct removal removal = {0, name};
    int rc = call_tenant_parameter(call, true, &removal.tenant);
    if (rc == 0)
        rc = call_parameter(call, "name", name, sizeof name);
    return rc != 0 ? rc : call_remove(call, "domain remove", removal.tenant, name, remove_one, &removal);
}
