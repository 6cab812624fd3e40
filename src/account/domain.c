/* SPDX-License-Identifier: Apache-2.0
 *
 * domain: a tenant's own and relayed domains, kept in lower case without a final dot. Labels follow RFC 1035
 * lengths; besides letters, digits and '-' they may hold '_' and UTF-8 (SMTPUTF8, RFC 6531). See account.h.
 */
#include "db.h"

enum { LABEL_BYTES = 63 };

static int bad(struct err *err, const char *name, const char *why)
{
    return err_set(err, ERR_INVALID, "'%.200s' is not a domain: %s", name, why);
}

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           (unsigned char)c >= 0x80;
}

static int check_labels(const char *name, struct slice rest, struct err *err)
{
    struct slice label;
    while (slice_split(&rest, '.', &label)) {
        if (label.n == 0 || label.n > LABEL_BYTES)
            return bad(err, name, "each part between dots has 1 to 63 bytes");
        for (size_t i = 0; i < label.n; i++)
            if (!is_label_byte(label.p[i]))
                return bad(err, name, "allowed are letters, digits, '-', '_' and '.'");
    }
    return 0;
}

/* Writes the canonical form (RULES_DOMAIN_BYTES + 1 bytes) to out. */
static int canonical(const char *name, char *out, struct err *err)
{
    struct slice s = slice_of(name);
    if (s.n > 1 && s.p[0] == '*' && s.p[1] == '.')
        return bad(err, name, "leave '*.' out and mark it as holding for its subdomains");
    if (s.n > 0 && s.p[s.n - 1] == '.')
        s.n--;
    if (s.n == 0 || s.n > RULES_DOMAIN_BYTES)
        return bad(err, name, "a domain has 1 to 253 bytes");
    if (s.p[s.n - 1] == '.' || !text_is_utf8(s))
        return bad(err, name, "allowed are letters, digits, '-', '_' and '.'");
    text_lower(s, out);
    out[s.n] = '\0';
    return check_labels(name, (struct slice){out, s.n}, err);
}

int account_domain_add(struct account *a, const struct account_domain *domain, struct err *err)
{
    char name[RULES_DOMAIN_BYTES + 1];
    int rc = canonical(domain->name, name, err);
    if (rc == 0)
        rc = db_run(a, NULL, err,
                    "INSERT INTO domain (tenant, name, kind, subdomains) VALUES ($1, $2, $3, $4)",
                    DB_ARGS(INT(domain->tenant), TEXT(name), INT(domain->kind), INT(domain->subdomains)));
    return rc == ERR_EXISTS ? err_set(err, rc, "domain '%s' exists already", name) : rc;
}

int account_domain_put(struct account *a, const struct account_domain *domain, bool *changed, struct err *err)
{
    int changes = 0;
    char name[RULES_DOMAIN_BYTES + 1];
    int rc = canonical(domain->name, name, err);
    if (rc == 0)
        rc = db_run(a, &changes, err,
                    "INSERT INTO domain (tenant, name, kind, subdomains) VALUES ($1, $2, $3, $4)"
                    " ON CONFLICT (tenant, name) DO UPDATE SET kind = $3, subdomains = $4"
                    " WHERE domain.kind <> $3 OR domain.subdomains <> $4",
                    DB_ARGS(INT(domain->tenant), TEXT(name), INT(domain->kind), INT(domain->subdomains)));
    if (rc == 0)
        *changed = changes > 0;
    return rc;
}

int account_domain_remove(struct account *a, uint32_t tenant, const char *name_given, struct err *err)
{
    int changes = 0;
    char name[RULES_DOMAIN_BYTES + 1];
    int rc = canonical(name_given, name, err);
    if (rc == 0)
        rc = db_run(a, &changes, err, "DELETE FROM domain WHERE tenant = $1 AND name = $2",
                    DB_ARGS(INT(tenant), TEXT(name)));
    return rc == 0 && changes == 0 ? err_set(err, ERR_NOT_FOUND, "the tenant has no domain '%s'", name) : rc;
}

static void read_domain(sqlite3_stmt *stmt, struct account_domain *out)
{
    *out = (struct account_domain){
        .tenant = (uint32_t)sqlite3_column_int64(stmt, 0),
        .name = db_text(stmt, 1),
        .kind = sqlite3_column_int(stmt, 2) == DOMAIN_RELAYED ? DOMAIN_RELAYED : DOMAIN_OWN,
        .subdomains = sqlite3_column_int(stmt, 3) != 0,
    };
}

int account_domain_get(struct account *a, uint32_t tenant, const char *name_given,
                       int (*row)(void *, const struct account_domain *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    struct account_domain domain;
    char name[RULES_DOMAIN_BYTES + 1];
    int rc = canonical(name_given, name, err);
    if (rc == 0)
        rc = db_begin(a, &stmt, err,
                      "SELECT tenant, name, kind, subdomains FROM domain WHERE tenant = $1 AND name = $2",
                      DB_ARGS(INT(tenant), TEXT(name)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        read_domain(stmt, &domain);
        rc = row(arg, &domain);
    }
    db_end(a, stmt);
    return rc == ERR_END ? err_set(err, ERR_NOT_FOUND, "the tenant has no domain '%s'", name) : rc;
}

int account_domain_list(struct account *a, uint32_t tenant, int (*row)(void *, const struct account_domain *),
                        void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err,
                      "SELECT tenant, name, kind, subdomains FROM domain WHERE $1 = 0 OR tenant = $1"
                      " ORDER BY tenant, name",
                      DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_domain domain;
        read_domain(stmt, &domain);
        rc = row(arg, &domain);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}
