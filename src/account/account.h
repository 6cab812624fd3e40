/* SPDX-License-Identifier: Apache-2.0
 *
 * account: the control data (SQLite, one file, WAL): tenants, their domains and networks, API keys, the
 * edges that were seen, people and their sessions. The hub and the CLI may have it open at once; a change is
 * one transaction, raises the tenant's rule_version where it changes rules, and is seen by
 * account_generation. Secrets: an API key is 32 random bytes, shown once as "ma_" + base64url; only its
 * BLAKE2b-256 is stored. One handle a thread.
 */
#ifndef ACCOUNT_ACCOUNT_H
#define ACCOUNT_ACCOUNT_H

#include "enrich/classify/rules.h"

enum {
    ACCOUNT_NAME_BYTES = 128,
    ACCOUNT_KEY_TEXT_BYTES = 64, /* an API key's text with its NUL */
    ACCOUNT_KEY_ADDRESSES = 64,
    ACCOUNT_COMMENT_BYTES = 255, /* without its NUL; one line of UTF-8 */
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
    const char *id, *comment;
    char curve_key[41];
    int64_t first_seen_us;
};

/* name: 1 to 127 bytes of letters, digits, '.', '-', '_'. */
MUST_CHECK int account_tenant_add(struct account *a, const char *name, uint32_t *id, struct err *err);
MUST_CHECK int account_tenant_find(struct account *a, const char *name, uint32_t *id, struct err *err);
/* name takes ACCOUNT_NAME_BYTES. */
MUST_CHECK int account_tenant_name(struct account *a, uint32_t id, char *name, struct err *err);
/* ERR_EXISTS, ERR_INVALID. */
MUST_CHECK int account_tenant_rename(struct account *a, uint32_t id, const char *name, struct err *err);
MUST_CHECK int account_tenant_remove(struct account *a, uint32_t id,
                                     struct err *err); /* with all that is its own */
MUST_CHECK int account_tenant_list(struct account *a, int (*row)(void *, const struct account_tenant *),
                                   void *arg, struct err *err);

MUST_CHECK int account_domain_add(struct account *a, const struct account_domain *domain, struct err *err);
/* Adds it or changes what is there; *changed says whether anything did. */
MUST_CHECK int account_domain_put(struct account *a, const struct account_domain *domain, bool *changed,
                                  struct err *err);
/* Hands out the one. ERR_NOT_FOUND. So do the others' _get. */
MUST_CHECK int account_domain_get(struct account *a, uint32_t tenant, const char *name,
                                  int (*row)(void *, const struct account_domain *), void *arg,
                                  struct err *err);
MUST_CHECK int account_domain_remove(struct account *a, uint32_t tenant, const char *name, struct err *err);
MUST_CHECK int account_domain_list(struct account *a, uint32_t tenant /* 0: all */,
                                   int (*row)(void *, const struct account_domain *), void *arg,
                                   struct err *err);

MUST_CHECK int account_network_add(struct account *a, const struct account_network *network, struct err *err);
MUST_CHECK int account_network_put(struct account *a, const struct account_network *network, bool *changed,
                                   struct err *err);
MUST_CHECK int account_network_get(struct account *a, uint32_t tenant, struct ip_prefix prefix,
                                   int (*row)(void *, const struct account_network *), void *arg,
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
/* tenant 0: whosever it is. */
MUST_CHECK int account_key_get(struct account *a, uint32_t tenant, uint32_t id,
                               int (*row)(void *, const struct account_key *), void *arg, struct err *err);
/* Gives the key with that id of that tenant, if it is live, another name, expiry and addresses.
 * ERR_NOT_FOUND, ERR_EXISTS, ERR_INVALID. */
MUST_CHECK int account_key_change(struct account *a, const struct account_key *key, struct err *err);
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
MUST_CHECK int account_edge_get(struct account *a, uint32_t tenant, const char *edge,
                                int (*row)(void *, const struct account_edge *), void *arg, struct err *err);
MUST_CHECK int account_edge_comment(struct account *a, uint32_t tenant, const char *edge, const char *comment,
                                    struct err *err);
MUST_CHECK int account_edge_forget(struct account *a, uint32_t tenant, const char *edge,
                                   struct err *err); /* unpins */

/* People. A password has 12 to 256 bytes of UTF-8; what is stored is its Argon2id hash. Making or checking
 * one takes a tenth of a second and 32 MiB: two at once in the whole process. */
enum { ACCOUNT_PASSWORD_BYTES = 32, ACCOUNT_PASSWORD_MIN = 12, ACCOUNT_PASSWORD_MAX = 256 };
struct account_user {
    uint32_t id;
    const char *name;
    int64_t created_us, changed_us; /* changed: the password */
};
/* A random one of 99 bits, for people to type. */
void account_password_make(char out[ACCOUNT_PASSWORD_BYTES]);
/* These two wait for their turn. ERR_EXISTS, ERR_INVALID; ERR_NOT_FOUND. A new password ends all sessions. */
MUST_CHECK int account_user_add(struct account *a, const char *name, const char *password, struct err *err);
MUST_CHECK int account_user_set_password(struct account *a, const char *name, const char *password,
                                         struct err *err);
/* ERR_NOT_FOUND; ERR_CONFLICT: somebody has to stay. */
MUST_CHECK int account_user_remove(struct account *a, const char *name, struct err *err);
MUST_CHECK int account_user_list(struct account *a, int (*row)(void *, const struct account_user *),
                                 void *arg, struct err *err);
/* Is this the password? ERR_UNAUTHENTICATED for a wrong one and for an unknown name, after the same time;
 * ERR_BUSY at once when two passwords are being checked already. */
MUST_CHECK int account_user_check(struct account *a, const char *name, struct slice password, uint32_t *id,
                                  struct err *err);

/* Where a person is logged in. The token is 32 random bytes, shown once as base64url; only its BLAKE2b-256 is
 * stored. A session ends idle_us after it was last used (give or take ACCOUNT_SEEN_US), and lifetime_us after
 * it began. */
enum { ACCOUNT_TOKEN_BYTES = 44, ACCOUNT_SESSIONS = 100 /* of one user; beyond it the oldest ends */ };
#define ACCOUNT_SEEN_US (INT64_C(60) * 1000000)
struct account_session {
    uint32_t id, user;
    char user_name[ACCOUNT_NAME_BYTES];
    struct ip address; /* of the client that logged in */
    int64_t created_us, seen_us;
};
struct account_session_limits {
    int64_t idle_us, lifetime_us;
};
MUST_CHECK int account_session_begin(struct account *a, uint32_t user, const struct ip *from, int64_t now_us,
                                     char token[ACCOUNT_TOKEN_BYTES], struct err *err);
/* ERR_UNAUTHENTICATED: none, or over. */
MUST_CHECK int account_session_check(struct account *a, struct slice token,
                                     const struct account_session_limits *limits, int64_t now_us,
                                     struct account_session *out, struct err *err);
/* One of the user's, or with id 0 all of them. ERR_NOT_FOUND: there is no such one. */
MUST_CHECK int account_session_end(struct account *a, uint32_t user, uint32_t id, struct err *err);
/* Those that aren't over, the youngest first. */
MUST_CHECK int account_session_list(struct account *a, uint32_t user,
                                    const struct account_session_limits *limits, int64_t now_us,
                                    int (*row)(void *, const struct account_session *), void *arg,
                                    struct err *err);

/* What a creating request was answered, kept for a day for who sends it again; of one tenant (0: the
 * operator) the latest ACCOUNT_ANSWERS. key and request are hashes; the answer is sealed by who keeps it. */
enum { ACCOUNT_ANSWERS = 1000 };
struct account_answer {
    uint32_t tenant;
    unsigned char key[32], request[32];
    int status;
    struct slice answer;
};
/* Hands out the answer of wanted's tenant and key. ERR_NOT_FOUND, with err left alone: there is none. */
MUST_CHECK int account_answer_find(struct account *a, const struct account_answer *wanted, int64_t now_us,
                                   int (*row)(void *, const struct account_answer *), void *arg,
                                   struct err *err);
MUST_CHECK int account_answer_keep(struct account *a, const struct account_answer *answer, int64_t now_us,
                                   struct err *err);
/* Writes a copy of the file, as it is at one moment, to path (made, 0600), while others go on using it.
 * ERR_EXISTS. */
MUST_CHECK int account_backup(struct account *a, const char *path, struct err *err);

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
