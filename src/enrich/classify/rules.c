/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: see rules.h. Three open-addressing tables: tenants, domains by (tenant, name), networks by (tenant,
 * bits, net). A domain is looked up label by label from the longest suffix; a network for each prefix length
 * that the tenant has any of, from the longest: a tenant has few lengths, so a look-up is a handful of
 * probes.
 */
#include "rules.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_SLOTS = 16, PREFIX_LENGTHS = 129, V4_BITS = 96, LENGTH_WORDS = (PREFIX_LENGTHS + 63) / 64 };
enum { TENANT_SALT = 1, DOMAIN_SALT, NETWORK_SALT };

struct slot {
    uint32_t hash;
    uint32_t entry; /* index + 1; 0: free */
};

struct table {
    struct slot *slots;
    size_t slot_count, count,
        capacity; /* slots: a power of two, at most half used; count, capacity: entries */
};

struct tenant {
    uint32_t id, version;
    uint64_t lengths[LENGTH_WORDS]; /* bit n: there is a prefix of n bits */
};

struct domain {
    uint32_t tenant, name; /* name: offset in names */
    uint8_t name_bytes, kind;
    bool subdomains;
};

struct network {
    uint32_t tenant;
    struct ip_prefix prefix;
    bool trusted;
};

struct rules {
    struct table tenant_table, domain_table, network_table;
    struct tenant *tenants;
    struct domain *domains;
    struct network *networks;
    char *names;
    size_t names_bytes, names_capacity;
    bool sealed;
};

static uint32_t hash_bytes(uint32_t tenant, uint32_t salt, const void *p, size_t n)
{
    return (uint32_t)XXH3_64bits_withSeed(p, n, (uint64_t)tenant << 32 | salt);
}

static void put_slot(struct table *table, uint32_t hash, uint32_t entry)
{
    size_t at = hash & (table->slot_count - 1);
    while (table->slots[at].entry != 0)
        at = (at + 1) & (table->slot_count - 1);
    table->slots[at] = (struct slot){hash, entry};
}

static int grow_slots(struct table *table)
{
    struct table larger = {.slot_count = table->slot_count > 0 ? table->slot_count * 2 : FIRST_SLOTS};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (larger.slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < table->slot_count; i++)
        if (table->slots[i].entry != 0)
            put_slot(&larger, table->slots[i].hash, table->slots[i].entry);
    free(table->slots);
    table->slots = larger.slots;
    table->slot_count = larger.slot_count;
    return 0;
}

/* A new entry at the end of *entries, zeroed, with its slot. */
static int add_entry(struct table *table, void **entries, size_t entry_bytes, uint32_t hash, void *out)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity > 0 ? table->capacity * 2 : FIRST_SLOTS;
        void *larger = realloc(*entries, capacity * entry_bytes);
        if (larger == NULL)
            return ERR_NO_MEMORY;
        *entries = larger;
        table->capacity = capacity;
    }
    if (table->slot_count < (table->count + 1) * 2) {
        int rc = grow_slots(table);
        if (rc != 0)
            return rc;
    }
    char *entry = (char *)*entries + table->count * entry_bytes;
    memset(entry, 0, entry_bytes);
    memcpy(out, &entry, sizeof entry);
    put_slot(table, hash, (uint32_t)++table->count);
    return 0;
}

/* The next entry with that hash; start with *at = hash. NULL-ended probing: SIZE_MAX when there is none. */
static size_t next_entry(const struct table *table, uint32_t hash, size_t *at)
{
    if (table->slot_count == 0)
        return SIZE_MAX;
    for (;; (*at)++) {
        const struct slot *slot = &table->slots[*at & (table->slot_count - 1)];
        if (slot->entry == 0)
            return SIZE_MAX;
        if (slot->hash == hash) {
            (*at)++;
            return slot->entry - 1;
        }
    }
}

static struct tenant *find_tenant(const struct rules *rules, uint32_t id)
{
    uint32_t hash = hash_bytes(id, TENANT_SALT, NULL, 0);
    size_t at = hash, i;
    while ((i = next_entry(&rules->tenant_table, hash, &at)) != SIZE_MAX)
        if (rules->tenants[i].id == id)
            return &rules->tenants[i];
    return NULL;
}

static int need_tenant(struct rules *rules, uint32_t id, struct tenant **out)
{
    *out = find_tenant(rules, id);
    if (*out != NULL)
        return 0;
    int rc = add_entry(&rules->tenant_table, (void **)&rules->tenants, sizeof **out,
                       hash_bytes(id, TENANT_SALT, NULL, 0), out);
    if (rc == 0)
        (*out)->id = id;
    return rc;
}

static const struct domain *find_domain(const struct rules *rules, uint32_t tenant, struct slice name)
{
    uint32_t hash = hash_bytes(tenant, DOMAIN_SALT, name.p, name.n);
    size_t at = hash, i;
    while ((i = next_entry(&rules->domain_table, hash, &at)) != SIZE_MAX) {
        const struct domain *d = &rules->domains[i];
        if (d->tenant == tenant && slice_equal((struct slice){rules->names + d->name, d->name_bytes}, name))
            return d;
    }
    return NULL;
}

static const struct network *find_network(const struct rules *rules, uint32_t tenant,
                                          const struct ip_prefix *prefix)
{
    uint32_t hash = hash_bytes(tenant, (uint32_t)prefix->bits << 8 | NETWORK_SALT, prefix->net.b, 16);
    size_t at = hash, i;
    while ((i = next_entry(&rules->network_table, hash, &at)) != SIZE_MAX) {
        const struct network *n = &rules->networks[i];
        if (n->tenant == tenant && n->prefix.bits == prefix->bits &&
            ip_compare(&n->prefix.net, &prefix->net) == 0)
            return n;
    }
    return NULL;
}

int rules_create(struct rules **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? 0 : ERR_NO_MEMORY;
}

void rules_destroy(struct rules **rules)
{
    struct rules *r = *rules;
    if (r == NULL)
        return;
    free(r->tenant_table.slots);
    free(r->domain_table.slots);
    free(r->network_table.slots);
    free(r->tenants);
    free(r->domains);
    free(r->networks);
    free(r->names);
    free(r);
    *rules = NULL;
}

void rules_seal(struct rules *rules)
{
    rules->sealed = true;
}

int rules_set_version(struct rules *rules, uint32_t tenant, uint32_t version)
{
    struct tenant *t;
    assert(!rules->sealed);
    int rc = need_tenant(rules, tenant, &t);
    if (rc == 0)
        t->version = version;
    return rc;
}

/* Lower case and without a final dot. ERR_INVALID: empty, too long, an empty label, or bytes that no domain
 * and no address literal has. */
static int normal_domain(struct slice domain, char out[RULES_DOMAIN_BYTES + 1], struct slice *name)
{
    struct ip ip;
    if (domain.n > 1 && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (domain.n == 0 || domain.n > RULES_DOMAIN_BYTES)
        return ERR_INVALID;
    text_lower(domain, out);
    *name = (struct slice){out, domain.n};
    if (out[0] == '[')
        return out[domain.n - 1] == ']' ? ip_parse(*name, &ip) : ERR_INVALID;
    char before = '.';
    for (size_t i = 0; i < domain.n; i++) {
        unsigned char c = (unsigned char)out[i];
        if (c <= ' ' || c == 0x7f || strchr("@,;:/\\\"'<>()[]*", c) != NULL || (c == '.' && before == '.'))
            return ERR_INVALID;
        before = (char)c;
    }
    return before != '.' && text_is_utf8(*name) ? 0 : ERR_INVALID;
}

static int keep_name(struct rules *rules, struct slice name, uint32_t *offset)
{
    if (rules->names_bytes + name.n > rules->names_capacity) {
        size_t capacity = rules->names_capacity > 0 ? rules->names_capacity * 2 : 4096;
        char *larger = realloc(rules->names, capacity);
        if (larger == NULL)
            return ERR_NO_MEMORY;
        rules->names = larger;
        rules->names_capacity = capacity;
    }
    memcpy(rules->names + rules->names_bytes, name.p, name.n);
    *offset = (uint32_t)rules->names_bytes; /* RULES_DOMAINS of RULES_DOMAIN_BYTES fit 32 bits */
    rules->names_bytes += name.n;
    return 0;
}

int rules_add_domain(struct rules *rules, uint32_t tenant, struct slice domain, enum domain_kind kind,
                     bool subdomains)
{
    char lower[RULES_DOMAIN_BYTES + 1];
    struct slice name;
    struct tenant *t;
    struct domain *d;
    uint32_t offset = 0;
    assert(!rules->sealed);
    int rc = normal_domain(domain, lower, &name);
    if (rc != 0)
        return rc;
    if (find_domain(rules, tenant, name) != NULL)
        return ERR_EXISTS;
    if (rules->domain_table.count == RULES_DOMAINS)
        return ERR_LIMIT;
    if ((rc = need_tenant(rules, tenant, &t)) != 0 || (rc = keep_name(rules, name, &offset)) != 0)
        return rc;
    rc = add_entry(&rules->domain_table, (void **)&rules->domains, sizeof *d,
                   hash_bytes(tenant, DOMAIN_SALT, name.p, name.n), &d);
    if (rc == 0)
        *d = (struct domain){tenant, offset, (uint8_t)name.n, (uint8_t)kind, subdomains && name.p[0] != '['};
    return rc;
}

int rules_add_network(struct rules *rules, uint32_t tenant, struct ip_prefix prefix, bool trusted)
{
    struct tenant *t;
    struct network *n;
    assert(!rules->sealed);
    if (prefix.bits >= PREFIX_LENGTHS || !ip_prefix_contains(&prefix, &prefix.net))
        return ERR_INVALID;
    if (find_network(rules, tenant, &prefix) != NULL)
        return ERR_EXISTS;
    if (rules->network_table.count == RULES_NETWORKS)
        return ERR_LIMIT;
    int rc = need_tenant(rules, tenant, &t);
    if (rc != 0)
        return rc;
    t->lengths[prefix.bits / 64] |= UINT64_C(1) << prefix.bits % 64;
    rc = add_entry(&rules->network_table, (void **)&rules->networks, sizeof *n,
                   hash_bytes(tenant, (uint32_t)prefix.bits << 8 | NETWORK_SALT, prefix.net.b, 16), &n);
    if (rc == 0)
        *n = (struct network){tenant, prefix, trusted};
    return rc;
}

/* The first `bits` bits of ip, the rest 0. */
static struct ip_prefix masked(const struct ip *ip, unsigned bits)
{
    struct ip_prefix prefix = {.bits = (uint8_t)bits};
    memcpy(prefix.net.b, ip->b, bits / 8);
    if (bits % 8 != 0)
        prefix.net.b[bits / 8] = (uint8_t)(ip->b[bits / 8] & 0xff << (8 - bits % 8));
    return prefix;
}

/* The longest prefix that holds the address. IPv4 is never held by a shorter prefix than its own
 * ::ffff:0:0/96, so that ::/0 means IPv6. */
static const struct network *longest_network(const struct rules *rules, const struct tenant *tenant,
                                             const struct ip *ip)
{
    unsigned least = ip_is_v4(ip) ? V4_BITS : 0;
    for (unsigned word = LENGTH_WORDS; word-- > 0;)
        for (uint64_t left = tenant->lengths[word]; left != 0;) {
            unsigned bit = 63 - (unsigned)__builtin_clzll(left), bits = word * 64 + bit;
            if (bits < least)
                return NULL;
            struct ip_prefix prefix = masked(ip, bits);
            const struct network *found = find_network(rules, tenant->id, &prefix);
            if (found != NULL)
                return found;
            left &= ~(UINT64_C(1) << bit);
        }
    return NULL;
}

bool rules_client_trusted(const struct rules *rules, uint32_t tenant, const struct ip *client,
                          struct slice sasl_username)
{
    static const struct ip absent;
    if (sasl_username.n > 0)
        return true;
    const struct tenant *t = find_tenant(rules, tenant);
    if (t == NULL || ip_compare(client, &absent) == 0)
        return false;
    const struct network *network = longest_network(rules, t, client);
    return network != NULL && network->trusted;
}

enum rules_domain rules_domain(const struct rules *rules, uint32_t tenant, struct slice domain)
{
    char lower[RULES_DOMAIN_BYTES];
    if (domain.n > 1 && domain.p[domain.n - 1] == '.')
        domain.n--;
    if (domain.n == 0)
        return RULES_DOMAIN_NONE;
    if (domain.n > RULES_DOMAIN_BYTES)
        return RULES_DOMAIN_FOREIGN;
    text_lower(domain, lower);
    struct slice name = {lower, domain.n};
    for (bool whole = true;; whole = false) {
        const struct domain *found = find_domain(rules, tenant, name);
        if (found != NULL && (whole || found->subdomains))
            return found->kind == DOMAIN_RELAYED ? RULES_DOMAIN_RELAYED : RULES_DOMAIN_OWN;
        const char *dot = name.p[0] == '[' ? NULL : memchr(name.p, '.', name.n);
        if (dot == NULL)
            return RULES_DOMAIN_FOREIGN;
        name = (struct slice){dot + 1, name.n - (size_t)(dot + 1 - name.p)};
        if (name.n == 0)
            return RULES_DOMAIN_FOREIGN;
    }
}

void rules_classify(const struct rules *rules, struct event *event)
{
    static const enum direction table[2][4] = {
        /* untrusted, trusted */
        {[RULES_DOMAIN_FOREIGN] = DIRECTION_RELAY,
         [RULES_DOMAIN_OWN] = DIRECTION_IN,
         [RULES_DOMAIN_RELAYED] = DIRECTION_RELAY,
         [RULES_DOMAIN_NONE] = DIRECTION_UNKNOWN},
        {[RULES_DOMAIN_FOREIGN] = DIRECTION_OUT,
         [RULES_DOMAIN_OWN] = DIRECTION_INTERNAL,
         [RULES_DOMAIN_RELAYED] = DIRECTION_RELAY,
         [RULES_DOMAIN_NONE] = DIRECTION_UNKNOWN},
    };
    const struct tenant *tenant = find_tenant(rules, event->tenant);
    event->rule_version = tenant != NULL ? tenant->version : 0;
    enum rules_domain domain = rules_domain(rules, event->tenant, event->recipient_domain);
    bool trusted = domain != RULES_DOMAIN_NONE &&
                   rules_client_trusted(rules, event->tenant, &event->client_address, event->sasl_username);
    event->direction = (event_direction)table[trusted][domain];
}
