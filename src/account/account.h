/* SPDX-License-Identifier: Apache-2.0
 *
 * account: the control data (SQLite, one file, WAL): tenants, their domains and networks, API keys, and the
 * edges that were seen. The hub and the CLI may have it open at once; a change is one transaction, raises the
 * tenant's rule_version where it changes rules, and is seen by account_generation. Secrets: an API key is 32
 * random bytes, shown once as "ma_" + base64url; only its BLAKE2b-256 is stored. One handle a thread.
 */
#ifndef ACCOUNT_ACCOUNT_H
#define ACCOUNT_ACCOUNT_H

#include "enrich/classify/rules.h"

enum {
    ACCOUNT_NAME_BYTES = 128,
    ACCOUNT_KEY_TEXT_BYTES = 64, /* an API key's text with its NUL */
    ACCOUNT_KEY_ADDRESSES = 64,
};

enum scope { SCOPE_INGEST = 1, SCOPE_READ = 2, SCOPE_MANAGE = 4 };

struct account;

/* Opens or makes the file (mode 0600), migrates forward. ERR_IO, ERR_DENIED, ERR_VERSION, ERR_CORRUPT. */
MUST_CHECK int account_open(struct account **out, const char *path, struct err *err);
void account_close(struct account **account);

/* Rises with every committed change by anyone (SQLite's data_version and own changes). Cheap: poll it. */
MUST_CHECK int account_generation(struct account *account, uint64_t *out, struct err *err);

/* Rows are handed to a callback while a statement runs; return non-zero to stop. Texts are valid during the
 * call. */
struct account_tenant {
    uint32_t id;
    const char *name;
    int64_t created_us;
    uint32_t rule_version;
};
struct account_domain {
    uint32_t tenant;
    const char *name;
    enum domain_kind kind;
    bool subdomains;
};
struct account_network {
    uint32_t tenant;
    struct ip_prefix prefix;
    bool trusted;
    const char *comment;
};
struct account_key {
    uint32_t id, tenant;
    const char *name;
    unsigned scopes;
    int64_t created_us, expires_us, revoked_us; /* 0: never */
    size_t address_count;
    struct ip_prefix addresses[ACCOUNT_KEY_ADDRESSES]; /* empty: from anywhere */
};
struct account_edge {
    uint32_t tenant;
    const char *id;
    char curve_key[41];
    int64_t first_seen_us;
};

/* name: 1 to 127 bytes of letters, digits, '.', '-', '_'. */
MUST_CHECK int account_tenant_add(struct account *a, const char *name, uint32_t *id, struct err *err);
MUST_CHECK int account_tenant_find(struct account *a, const char *name, uint32_t *id, struct err *err);
/* name takes ACCOUNT_NAME_BYTES. */
MUST_CHECK int account_tenant_name(struct account *a, uint32_t id, char *name, struct err *err);
MUST_CHECK int account_tenant_remove(struct account *a, uint32_t id,
                                     struct err *err); /* with all that is its own */
MUST_CHECK int account_tenant_list(struct account *a, int (*row)(void *, const struct account_tenant *),
                                   void *arg, struct err *err);

MUST_CHECK int account_domain_add(struct account *a, const struct account_domain *domain, struct err *err);
/* Adds it or changes what is there; *changed says whether anything did. */
MUST_CHECK int account_domain_put(struct account *a, const struct account_domain *domain, bool *changed,
                                  struct err *err);
MUST_CHECK int account_domain_remove(struct account *a, uint32_t tenant, const char *name, struct err *err);
MUST_CHECK int account_domain_list(struct account *a, uint32_t tenant /* 0: all */,
                                   int (*row)(void *, const struct account_domain *), void *arg,
                                   struct err *err);

MUST_CHECK int account_network_add(struct account *a, const struct account_network *network, struct err *err);
MUST_CHECK int account_network_put(struct account *a, const struct account_network *network, bool *changed,
                                   struct err *err);
MUST_CHECK int account_network_remove(struct account *a, uint32_t tenant, struct ip_prefix prefix,
                                      struct err *err);
MUST_CHECK int account_network_list(struct account *a, uint32_t tenant,
                                    int (*row)(void *, const struct account_network *), void *arg,
                                    struct err *err);

/* secret (ACCOUNT_KEY_TEXT_BYTES) is the only time the key is seen. A given secret (fixtures) is stored as it
 * is. */
MUST_CHECK int account_key_add(struct account *a, const struct account_key *key, const char *given,
                               char *secret, uint32_t *id, struct err *err);
/* The tenant's live key of that name; out->name is NULL. ERR_NOT_FOUND. */
MUST_CHECK int account_key_find(struct account *a, uint32_t tenant, const char *name, struct account_key *out,
                                struct err *err);
MUST_CHECK int account_key_revoke(struct account *a, uint32_t tenant, uint32_t id, struct err *err);
MUST_CHECK int account_key_list(struct account *a, uint32_t tenant,
                                int (*row)(void *, const struct account_key *), void *arg, struct err *err);

/* Who is this? Constant-time by hash. ERR_UNAUTHENTICATED (unknown, revoked, expired), ERR_DENIED (known, but
 * not from this address or without this scope; *out is filled except name). */
MUST_CHECK int account_key_check(struct account *a, struct slice secret, const struct ip *from,
                                 enum scope scope, int64_t now_us, struct account_key *out, struct err *err);

/* The tenant whose only ingest key with fixed addresses holds this address (Postfix talking to the hub
 * directly). ERR_NOT_FOUND: none; ERR_CONFLICT: more than one tenant claims it. */
MUST_CHECK int account_tenant_by_address(struct account *a, const struct ip *from, uint32_t *tenant,
                                         struct err *err);

/* Pins (tenant, edge id) to a CURVE key (Z85) at first use: an edge id is its tenant's own, others may use
 * the same. ERR_DENIED: it is pinned to another key. */
MUST_CHECK int account_edge_pin(struct account *a, uint32_t tenant, const char *edge,
                                const char *curve_key_z85, int64_t now_us, struct err *err);
MUST_CHECK int account_edge_list(struct account *a, uint32_t tenant,
                                 int (*row)(void *, const struct account_edge *), void *arg, struct err *err);
MUST_CHECK int account_edge_forget(struct account *a, uint32_t tenant, const char *edge,
                                   struct err *err); /* unpins */

/* One line into the audit table: who did what. */
MUST_CHECK int account_audit(struct account *a, uint32_t tenant, const char *actor, const char *action,
                             const char *detail, struct err *err);

/* Changes whenever the rules or the tombstones (tombstone.h) do, and not for anything else: the generation
 * rises for each step of a job too. Cheap. */
struct account_stamp {
    int64_t tenants, versions, last_tenant, tombstones, moments, last_tombstone;
};
MUST_CHECK int account_rules_stamp(struct account *a, struct account_stamp *out, struct err *err);
/* A sealed snapshot of all tenants' rules. */
MUST_CHECK int account_rules(struct account *a, struct rules **out, struct err *err);

/* Runs fn within one transaction: all of it or nothing (fixtures, imports). May be nested. */
MUST_CHECK int account_atomically(struct account *a, int (*fn)(struct account *, void *, struct err *),
                                  void *arg, struct err *err);

#endif
