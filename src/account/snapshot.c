/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot: all tenants' rules as one sealed struct rules, read within one transaction. See account.h.
 */
#include "db.h"

struct making {
    struct rules *rules;
};

static int add_version(void *arg, const struct account_tenant *tenant)
{
    return rules_set_version(((struct making *)arg)->rules, tenant->id, tenant->rule_version);
}

static int add_domain(void *arg, const struct account_domain *domain)
{
    return rules_add_domain(((struct making *)arg)->rules, domain->tenant, slice_of(domain->name),
                            domain->kind, domain->subdomains);
}

static int add_network(void *arg, const struct account_network *network)
{
    return rules_add_network(((struct making *)arg)->rules, network->tenant, network->prefix,
                             network->trusted);
}

static int fill(struct account *a, struct making *making, struct err *err)
{
    int rc = account_tenant_list(a, add_version, making, err);
    if (rc == 0)
        rc = account_domain_list(a, 0, add_domain, making, err);
    if (rc == 0)
        rc = account_network_list(a, 0, add_network, making, err);
    return rc;
}

int account_rules(struct account *a, struct rules **out, struct err *err)
{
    struct making making = {NULL};
    if (err != NULL)
        *err = (struct err){0};
    int rc = db_script(a, "BEGIN", err); /* one moment for all three lists; a reader blocks nobody */
    if (rc != 0)
        return rc;
    rc = rules_create(&making.rules);
    if (rc == 0)
        rc = fill(a, &making, err);
    if (rc == 0)
        rc = db_script(a, "COMMIT", err);
    if (rc != 0) {
        if (!sqlite3_get_autocommit(a->db))
            (void)!db_script(a, "ROLLBACK", NULL);
        rules_destroy(&making.rules);
        if (err != NULL && err->detail[0] == '\0')
            (void)err_set(err, rc, "the rules can't be read: %s", err_text(rc));
        return rc;
    }
    rules_seal(making.rules);
    *out = making.rules;
    return 0;
}
