/* SPDX-License-Identifier: Apache-2.0
 *
 * apikey: keys of tenants. The text is seen once; BLAKE2b-256 of it (RFC 7693, libsodium) is what stays, and
 * looking a key up is looking its hash up, so that time tells nothing about stored keys. See account.h.
 */
#include "base/clock.h"
#include "db.h"

#include <sodium.h>
#include <stdio.h>

enum {
    KEY_RANDOM_BYTES = 32,
    KEY_GIVEN_MIN_BYTES = 20,
    KEY_HASH_BYTES = 32,
    SCOPES_ALL = SCOPE_INGEST | SCOPE_READ | SCOPE_MANAGE,
};
#define KEY_PREFIX  "ma_"
#define KEY_COLUMNS "id, tenant, name, scopes, created_us, expires_us, revoked_us"

static void hash_key(struct slice secret, uint8_t out[KEY_HASH_BYTES])
{
    (void)crypto_generichash(out, KEY_HASH_BYTES, (const unsigned char *)secret.p, secret.n, NULL, 0);
}

static void make_key(char *secret)
{
    uint8_t random[KEY_RANDOM_BYTES];
    randombytes_buf(random, sizeof random);
    memcpy(secret, KEY_PREFIX, sizeof KEY_PREFIX);
    sodium_bin2base64(secret + strlen(KEY_PREFIX), ACCOUNT_KEY_TEXT_BYTES - strlen(KEY_PREFIX), random,
                      sizeof random, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
}

static int check_given(const char *given, char *secret, struct err *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = strlen(given);
    if (n < KEY_GIVEN_MIN_BYTES || n >= ACCOUNT_KEY_TEXT_BYTES ||
        strncmp(given, KEY_PREFIX, strlen(KEY_PREFIX)) != 0 || strspn(given, allowed) != n)
        return err_set(err, ERR_INVALID,
                       "a given key must be '" KEY_PREFIX "' and letters, digits, '-', '_', 20 to 63 in all");
    memcpy(secret, given, n + 1);
    return 0;
}

static int check_key(const struct account_key *key, struct err *err)
{
    int rc = db_check_name("key name", key->name, ACCOUNT_NAME_BYTES - 1, err);
    if (rc != 0)
        return rc;
    if (key->scopes == 0 || (key->scopes & ~(unsigned)SCOPES_ALL) != 0)
        return err_set(err, ERR_INVALID, "a key needs one or more of the scopes ingest, read, manage");
    if (key->address_count > ACCOUNT_KEY_ADDRESSES)
        return err_set(err, ERR_LIMIT, "a key has at most %d addresses", ACCOUNT_KEY_ADDRESSES);
    return 0;
}

static int add_addresses(struct account *a, uint32_t id, const struct account_key *key, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < key->address_count; i++)
        rc = db_run(a, NULL, err,
                    "INSERT INTO apikey_address (apikey, net, bits) VALUES ($1, $2, $3)"
                    " ON CONFLICT DO NOTHING",
                    DB_ARGS(INT(id), BLOB(key->addresses[i].net.b, sizeof key->addresses[i].net.b),
                            INT(key->addresses[i].bits)));
    return rc;
}

struct addition {
    const struct account_key *key;
    const uint8_t *hash;
    uint32_t id;
};

static int add_rows(struct account *a, void *arg, struct err *err)
{
    struct addition *addition = arg;
    const struct account_key *key = addition->key;
    int rc = db_run(a, NULL, err,
                    "INSERT INTO apikey (tenant, name, hash, scopes, created_us, expires_us, revoked_us)"
                    " VALUES ($1, $2, $3, $4, $5, $6, 0)",
                    DB_ARGS(INT(key->tenant), TEXT(key->name), BLOB(addition->hash, KEY_HASH_BYTES),
                            INT(key->scopes), INT(clock_real_us()), INT(key->expires_us)));
    if (rc == ERR_EXISTS)
        return err_set(err, rc, "the tenant has a key '%s' already, or this key is in use", key->name);
    addition->id = (uint32_t)sqlite3_last_insert_rowid(a->db);
    return rc != 0 ? rc : add_addresses(a, addition->id, key, err);
}

int account_key_add(struct account *a, const struct account_key *key, const char *given, char *secret,
                    uint32_t *id, struct err *err)
{
    uint8_t hash[KEY_HASH_BYTES];
    int rc = check_key(key, err);
    if (rc != 0)
        return rc;
    if (given == NULL)
        make_key(secret);
    else if ((rc = check_given(given, secret, err)) != 0)
        return rc;
    hash_key(slice_of(secret), hash);
    struct addition addition = {key, hash, 0};
    rc = account_atomically(a, add_rows, &addition, err);
    if (rc == 0 && id != NULL)
        *id = addition.id;
    if (rc != 0)
        sodium_memzero(secret, ACCOUNT_KEY_TEXT_BYTES);
    return rc;
}

static int no_live_key(uint32_t id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "the tenant has no live key %u", id);
}

static int change_rows(struct account *a, void *arg, struct err *err)
{
    const struct account_key *key = arg;
    int changes = 0;
    int rc = db_run(a, &changes, err,
                    "UPDATE apikey SET name = $3, expires_us = $4"
                    " WHERE id = $2 AND tenant = $1 AND revoked_us = 0",
                    DB_ARGS(INT(key->tenant), INT(key->id), TEXT(key->name), INT(key->expires_us)));
    if (rc == ERR_EXISTS)
        return err_set(err, rc, "the tenant has a key '%s' already", key->name);
    if (rc == 0 && changes == 0)
        return no_live_key(key->id, err);
    if (rc == 0)
        rc = db_run(a, NULL, err, "DELETE FROM apikey_address WHERE apikey = $1", DB_ARGS(INT(key->id)));
    return rc != 0 ? rc : add_addresses(a, key->id, key, err);
}

int account_key_change(struct account *a, const struct account_key *key, struct err *err)
{
    int rc = check_key(key, err);
    return rc != 0 ? rc : account_atomically(a, change_rows, (void *)(uintptr_t)key, err);
}

int account_key_revoke(struct account *a, uint32_t tenant, uint32_t id, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err,
                    "UPDATE apikey SET revoked_us = $3 WHERE id = $2 AND tenant = $1 AND revoked_us = 0",
                    DB_ARGS(INT(tenant), INT(id), INT(clock_real_us())));
    return rc == 0 && changes == 0 ? no_live_key(id, err) : rc;
}

static int read_addresses(struct account *a, struct account_key *key, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err, "SELECT net, bits FROM apikey_address WHERE apikey = $1 ORDER BY net, bits",
                 DB_ARGS(INT(key->id)));
    key->address_count = 0;
    while (rc == 0 && key->address_count < ACCOUNT_KEY_ADDRESSES && (rc = db_step(a, stmt, err)) == 0)
        db_prefix(stmt, 0, 1, &key->addresses[key->address_count++]);
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

/* name stays the statement's own. */
static int read_key(struct account *a, sqlite3_stmt *stmt, struct account_key *key, struct err *err)
{
    key->id = (uint32_t)sqlite3_column_int64(stmt, 0);
    key->tenant = (uint32_t)sqlite3_column_int64(stmt, 1);
    key->name = db_text(stmt, 2);
    key->scopes = (unsigned)sqlite3_column_int(stmt, 3);
    key->created_us = sqlite3_column_int64(stmt, 4);
    key->expires_us = sqlite3_column_int64(stmt, 5);
    key->revoked_us = sqlite3_column_int64(stmt, 6);
    return read_addresses(a, key, err);
}

int account_key_list(struct account *a, uint32_t tenant, int (*row)(void *, const struct account_key *),
                     void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    struct account_key key;
    int rc = db_begin(a, &stmt, err,
                      "SELECT " KEY_COLUMNS " FROM apikey WHERE $1 = 0 OR tenant = $1 ORDER BY tenant, id",
                      DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0 && (rc = read_key(a, stmt, &key, err)) == 0)
        rc = row(arg, &key);
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

int account_key_get(struct account *a, uint32_t tenant, uint32_t id,
                    int (*row)(void *, const struct account_key *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    struct account_key key;
    int rc = db_begin(a, &stmt, err,
                      "SELECT " KEY_COLUMNS " FROM apikey WHERE id = $2 AND ($1 = 0 OR tenant = $1)",
                      DB_ARGS(INT(tenant), INT(id)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0 && (rc = read_key(a, stmt, &key, err)) == 0)
        rc = row(arg, &key);
    db_end(a, stmt);
    return rc == ERR_END ? err_set(err, ERR_NOT_FOUND, "there is no key %u", id) : rc;
}

int account_key_find(struct account *a, uint32_t tenant, const char *name, struct account_key *out,
                     struct err *err)
{
    sqlite3_stmt *stmt;
    *out = (struct account_key){0};
    int rc = db_begin(a, &stmt, err,
                      "SELECT " KEY_COLUMNS " FROM apikey WHERE tenant = $1 AND name = $2 AND revoked_us = 0",
                      DB_ARGS(INT(tenant), TEXT(name)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = err_set(err, ERR_NOT_FOUND, "the tenant has no live key '%.128s'", name);
    else if (rc == 0)
        rc = read_key(a, stmt, out, err);
    out->name = NULL; /* the statement's memory ends here */
    db_end(a, stmt);
    return rc;
}

static bool address_allowed(const struct account_key *key, const struct ip *from)
{
    for (size_t i = 0; i < key->address_count; i++)
        if (ip_prefix_contains(&key->addresses[i], from))
            return true;
    return key->address_count == 0;
}

static int judge(const struct account_key *key, const struct ip *from, enum scope scope, int64_t now_us,
                 struct err *err)
{
    if (key->revoked_us != 0)
        return err_set(err, ERR_UNAUTHENTICATED, "the API key was revoked");
    if (key->expires_us != 0 && key->expires_us <= now_us)
        return err_set(err, ERR_UNAUTHENTICATED, "the API key has expired");
    if (!address_allowed(key, from))
        return err_set(err, ERR_DENIED, "the API key is not for this client address");
    if ((key->scopes & (unsigned)scope) == 0)
        return err_set(err, ERR_DENIED, "the API key lacks the scope for this");
    return 0;
}

int account_key_check(struct account *a, struct slice secret, const struct ip *from, enum scope scope,
                      int64_t now_us, struct account_key *out, struct err *err)
{
    sqlite3_stmt *stmt;
    uint8_t hash[KEY_HASH_BYTES];
    *out = (struct account_key){0};
    if (secret.n >= ACCOUNT_KEY_TEXT_BYTES)
        return err_set(err, ERR_UNAUTHENTICATED, "the API key is not known");
    hash_key(secret, hash);
    int rc = db_begin(a, &stmt, err, "SELECT " KEY_COLUMNS " FROM apikey WHERE hash = $1",
                      DB_ARGS(BLOB(hash, sizeof hash)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = err_set(err, ERR_UNAUTHENTICATED, "the API key is not known");
    else if (rc == 0 && (rc = read_key(a, stmt, out, err)) == 0)
        rc = judge(out, from, scope, now_us, err);
    out->name = NULL; /* the statement's memory ends here */
    db_end(a, stmt);
    return rc;
}

struct claim {
    const struct ip *from;
    int64_t now_us;
    uint32_t tenant; /* 0: nobody yet */
};

static int claim_row(void *arg, const struct account_key *key)
{
    struct claim *claim = arg;
    if (key->address_count == 0 || judge(key, claim->from, SCOPE_INGEST, claim->now_us, NULL) != 0)
        return 0;
    if (claim->tenant != 0 && claim->tenant != key->tenant)
        return ERR_CONFLICT;
    claim->tenant = key->tenant;
    return 0;
}

int account_tenant_by_address(struct account *a, const struct ip *from, uint32_t *tenant, struct err *err)
{
    struct claim claim = {from, clock_real_us(), 0};
    char text[IP_TEXT_BYTES];
    ip_format(from, text);
    int rc = account_key_list(a, 0, claim_row, &claim, err);
    if (rc == ERR_CONFLICT)
        return err_set(err, rc, "ingest keys of more than one tenant are fixed to %s", text);
    if (rc == 0 && claim.tenant == 0)
        return err_set(err, ERR_NOT_FOUND, "no ingest key is fixed to %s", text);
    if (rc == 0)
        *tenant = claim.tenant;
    return rc;
}
