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

int account_rules_stamp(struct account *a, struct account_stamp *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int64_t *const fields[] = {&out->tenants,    &out->versions, &out->last_tenant,
                               &out->tombstones, &out->moments,  &out->last_tombstone};
    int rc = db_begin(
        a, &stmt, err,
        "SELECT * FROM (SELECT count(*), ifnull(sum(rule_version), 0), ifnull(max(id), 0) FROM tenant),"
        " (SELECT count(*), ifnull(sum(before_us / 1000), 0), ifnull(max(id), 0) FROM tombstone)",
        NULL, 0);
    if (rc == 0)
        rc = db_step(a, stmt, err);
    for (int i = 0; rc == 0 && i < (int)(sizeof fields / sizeof *fields); i++)
        *fields[i] = sqlite3_column_int64(stmt, i);
    db_end(a, stmt);
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
