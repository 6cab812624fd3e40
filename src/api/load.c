/* SPDX-License-Identifier: Apache-2.0
 *
 * load: POST /api/v1/load takes a fixture file:
 *
 *   {"tenants":[{"name":"acme",
 *                "domains":[{"name":"example.com","subdomains":true},"example.net"],
 *                "relayed":["relay.example"],
 *                "networks":["192.0.2.0/24",{"prefix":"198.51.100.0/24","trusted":false}],
 *                "apikeys":[{"name":"edge","scopes":["ingest"],"key":"ma_… optional"}]}]}
 *
 * All of it or nothing. What is there already and differs is changed; what is not named stays. API keys are
 * never changed: another key or scope under a known name is a conflict.
 */
#include "nouns.h"

#include <sodium.h>
#include <stdio.h>

struct loading {
    struct account *account;
    const json_t *document;
    struct fixture_counts *counts;
    const struct fixture_calls *calls;
    uint32_t tenant;
    bool fresh; /* it was added just now: nothing was heard of it */
    const char *tenant_name;
    json_t *seen; /* a set: what this document has named so far */
};

/* The same thing twice in one document: which of the two is meant? */
static int see(struct loading *l, const struct field *item, const char *noun, const char *name)
{
    char key[RULES_DOMAIN_BYTES + 64];
    struct slice s = slice_of(name);
    if (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    (void)snprintf(key, sizeof key, "%s %u %.*s", noun, l->tenant, (int)(s.n < 300 ? s.n : 300), name);
    text_lower(slice_of(key), key);
    if (json_object_get(l->seen, key) != NULL)
        return field_fail(item, ERR_CONFLICT, "%s '%.100s' is in the file twice", noun, name);
    return json_object_set_new_nocheck(l->seen, key, json_true()) == 0
               ? 0
               : field_fail(item, ERR_NO_MEMORY, "out of memory");
}

static void rules_changed(struct loading *l)
{
    if (!l->fresh)
        l->calls->ruled(l->calls->arg, l->tenant);
}

static int load_domain(struct loading *l, const struct field *item, enum domain_kind kind)
{
    struct account_domain domain;
    bool changed = false;
    int rc = domain_read(item, kind, &domain);
    if (rc != 0)
        return rc;
    domain.tenant = l->tenant;
    if ((rc = see(l, item, "domain", domain.name)) != 0)
        return rc;
    rc = account_domain_put(l->account, &domain, &changed, item->err);
    l->counts->domains += changed;
    if (rc == 0 && changed)
        rules_changed(l);
    return rc != 0 ? field_blame(item, rc) : 0;
}

static int load_own(struct loading *l, const struct field *item)
{
    return load_domain(l, item, DOMAIN_OWN);
}

static int load_relayed(struct loading *l, const struct field *item)
{
    return load_domain(l, item, DOMAIN_RELAYED);
}

static int load_network(struct loading *l, const struct field *item)
{
    struct account_network network;
    bool changed = false;
    char prefix[IP_TEXT_BYTES];
    int rc = network_read(item, &network);
    if (rc != 0)
        return rc;
    network.tenant = l->tenant;
    ip_prefix_format(&network.prefix, prefix);
    if ((rc = see(l, item, "network", prefix)) != 0)
        return rc;
    rc = account_network_put(l->account, &network, &changed, item->err);
    l->counts->networks += changed;
    if (rc == 0 && changed)
        rules_changed(l);
    return rc != 0 ? field_blame(item, rc) : 0;
}

static bool same_key(struct loading *l, const struct account_key *there, const struct account_key *wanted,
                     const char *given)
{
    struct account_key by_text;
    struct ip nowhere = {0};
    if (there->scopes != wanted->scopes || there->expires_us != wanted->expires_us ||
        there->address_count != wanted->address_count)
        return false;
    for (size_t i = 0; i < wanted->address_count; i++) {
        bool found = false;
        for (size_t k = 0; !found && k < there->address_count; k++)
            found = there->addresses[k].bits == wanted->addresses[i].bits &&
                    ip_compare(&there->addresses[k].net, &wanted->addresses[i].net) == 0;
        if (!found)
            return false;
    }
    if (given == NULL)
        return true;
    (void)!account_key_check(l->account, slice_of(given), &nowhere, SCOPE_INGEST, 0, &by_text, NULL);
    return by_text.id == there->id;
}

static int load_apikey(struct loading *l, const struct field *item)
{
    struct account_key wanted, there;
    const char *given;
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    int rc = apikey_read(item, &wanted, &given);
    if (rc != 0)
        return rc;
    wanted.tenant = l->tenant;
    rc = account_key_find(l->account, l->tenant, wanted.name, &there, item->err);
    if (rc == 0)
        return same_key(l, &there, &wanted, given)
                   ? 0
                   : field_fail(item, ERR_CONFLICT,
                                "there is another key of this name: revoke it first (mail-analytics apikey "
                                "remove) or choose another name");
    if (rc == ERR_NOT_FOUND)
        rc = account_key_add(l->account, &wanted, given, secret, NULL, item->err);
    if (rc != 0)
        return field_blame(item, rc);
    l->counts->apikeys++;
    if (given == NULL)
        rc = l->calls->made(l->calls->arg, l->tenant_name, wanted.name, secret);
    sodium_memzero(secret, sizeof secret);
    return rc;
}

static int load_list(struct loading *l, const struct field *tenant, const char *name,
                     int (*one)(struct loading *, const struct field *))
{
    struct field list;
    size_t count;
    int rc = field_array(tenant, name, API_ITEMS, &list, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct field item = field_item(&list, i);
        rc = one(l, &item);
    }
    return rc;
}

static int load_tenant(struct loading *l, const struct field *item)
{
    int rc = field_object(item, "name domains relayed networks apikeys");
    if (rc == 0)
        rc = field_text(item, "name", NULL, &l->tenant_name);
    if (rc != 0)
        return rc;
    rc = account_tenant_find(l->account, l->tenant_name, &l->tenant, item->err);
    l->fresh = rc == ERR_NOT_FOUND;
    if (l->fresh) {
        rc = account_tenant_add(l->account, l->tenant_name, &l->tenant, item->err);
        l->counts->tenants += rc == 0;
    }
    if (rc != 0)
        return field_blame(item, rc);
    rc = see(l, item, "tenant", l->tenant_name);
    if (rc == 0)
        rc = load_list(l, item, "domains", load_own);
    if (rc == 0)
        rc = load_list(l, item, "relayed", load_relayed);
    if (rc == 0)
        rc = load_list(l, item, "networks", load_network);
    if (rc == 0)
        rc = load_list(l, item, "apikeys", load_apikey);
    return rc;
}

static int load_document(struct account *a, void *arg, struct err *err)
{
    struct loading *l = arg;
    struct field root = field_root(l->document, err), list;
    size_t count;
    (void)a;
    int rc = field_object(&root, "tenants");
    if (rc == 0)
        rc = field_array(&root, "tenants", FIXTURE_TENANTS, &list, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct field item = field_item(&list, i);
        rc = load_tenant(l, &item);
    }
    return rc;
}

int fixture_load(struct account *a, const json_t *document, struct fixture_counts *counts,
                 const struct fixture_calls *calls, struct err *err)
{
    struct loading l = {.account = a, .document = document, .counts = counts, .calls = calls};
    *counts = (struct fixture_counts){0};
    if ((l.seen = json_object()) == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = account_atomically(a, load_document, &l, err);
    json_decref(l.seen);
    return rc;
}

static int made_key(void *arg, const char *tenant, const char *name, const char *secret)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    if (rc == 0)
        rc =
            buf_addf(call->reply, "{\"tenant\":\"%s\",\"name\":\"%s\",\"key\":\"%s\"}", tenant, name, secret);
    return call_reply_failed(call, rc);
}

static void rules_of(void *arg, uint32_t tenant)
{
    call_ruled(arg, tenant);
}

int load_post(struct api_call *call)
{
    const struct fixture_calls calls = {made_key, rules_of, call};
    struct fixture_counts n;
    if (!call->request->caller.operator_)
        return err_set(&call->err, ERR_DENIED, "fixtures are for the operator");
    if (call->body == NULL)
        return err_set(&call->err, ERR_INVALID, "a JSON body is needed");
    int rc = buf_addf(call->reply, "{\"keys\":[");
    if (rc == 0)
        rc = fixture_load(call->context->account, call->body, &n, &calls, &call->err);
    if (rc == 0 && n.tenants + n.domains + n.networks + n.apikeys > 0)
        rc = account_audit(call->context->account, 0, call->request->caller.name, "load", "fixture",
                           &call->err);
    if (rc == 0)
        rc = buf_addf(call->reply, "],\"tenants\":%zu,\"domains\":%zu,\"networks\":%zu,\"apikeys\":%zu}",
                      n.tenants, n.domains, n.networks, n.apikeys);
    return rc != 0 ? rc : call_tell_ruled(call);
}
