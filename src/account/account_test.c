/* SPDX-License-Identifier: Apache-2.0
 *
 * account: real SQLite files in a directory of the test's own.
 */
#include "base/clock.h"
#include "base/test.h"
#include "db.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *self; /* this program */

struct fixture {
    char dir[64], path[96];
    struct account *a, *b; /* two handles of one file, as hub and CLI have */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/account-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/account.db", f->dir);
    if (account_open(&f->a, f->path, &err) != 0 || account_open(&f->b, f->path, &err) != 0) {
        print_error("%s\n", err_detail(&err));
        return -1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    char path[128];
    account_close(&f->a);
    account_close(&f->b);
    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) {
        (void)snprintf(path, sizeof path, "%s%s", f->path, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static uint32_t make_tenant(struct account *a, const char *name)
{
    uint32_t id = 0;
    struct err err = {0};
    if (account_tenant_add(a, name, &id, &err) != 0)
        fail_msg("%s: %s", name, err_detail(&err));
    return id;
}

static int count_domain(void *arg, const struct account_domain *domain)
{
    (void)domain;
    ++*(size_t *)arg;
    return 0;
}

static size_t domains(struct account *a, uint32_t tenant)
{
    size_t n = 0;
    assert_int_equal(account_domain_list(a, tenant, count_domain, &n, NULL), 0);
    return n;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;
    assert_int_equal(ip_prefix_parse(slice_of(text), &p), 0);
    return p;
}

static struct ip address(const char *text)
{
    struct ip ip;
    assert_int_equal(ip_parse(slice_of(text), &ip), 0);
    return ip;
}

static void the_file_is_private(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char wal[128];
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)make_tenant(f->a, "acme");
    (void)snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void tenant_names(void **state)
{
    struct fixture *f = *state;
    char longest[129] = {0};
    memset(longest, 'a', 127);
    const struct {
        const char *name, *in;
        int rc;
    } cases[] = {
        {"plain", "acme", 0},           {"all kinds of bytes", "A-z_0.9", 0},
        {"again", "acme", ERR_EXISTS},  {"again in another case", "ACME", ERR_EXISTS},
        {"longest", longest, 0},        {"empty", "", ERR_INVALID},
        {"space", "a b", ERR_INVALID},  {"newline", "a\nb", ERR_INVALID},
        {"slash", "../a", ERR_INVALID}, {"utf-8", "caf\xc3\xa9", ERR_INVALID},
        {"quote", "a'--", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        uint32_t id = 0;
        int rc = account_tenant_add(f->a, cases[i].in, &id, &err);
        if (rc != cases[i].rc || (rc == 0) != (id != 0))
            fail_msg("%s: %s (%s)", cases[i].name, err_name(rc), err_detail(&err));
    }
    memset(longest, 'a', 128);
    assert_int_equal(account_tenant_add(f->a, longest, NULL, NULL), ERR_INVALID);
}

static void tenant_ids_are_never_used_twice(void **state)
{
    struct fixture *f = *state;
    uint32_t first = make_tenant(f->a, "acme"), found = 0;
    assert_int_equal(account_tenant_remove(f->a, first, NULL), 0);
    assert_int_equal(account_tenant_remove(f->a, first, NULL), ERR_NOT_FOUND);
    assert_true(make_tenant(f->a, "acme") > first);
    assert_int_equal(account_tenant_find(f->a, "Acme", &found, NULL), 0);
    assert_true(found > first);
    assert_int_equal(account_tenant_find(f->a, "nobody", &found, NULL), ERR_NOT_FOUND);
}

static void domain_names(void **state)
{
    struct fixture *f = *state;
    uint32_t tenant = make_tenant(f->a, "acme");
    char label[80] = {0}, longest[300] = {0};
    memset(label, 'a', 64);
    for (size_t i = 0; i < 253; i++)
        longest[i] = i % 2 == 0 ? 'a' : '.';
    const struct {
        const char *name, *in;
        int rc;
    } cases[] = {
        {"plain", "example.com", 0},
        {"case and final dot", "EXAMPLE.com.", ERR_EXISTS},
        {"one label", "localdomain", 0},
        {"utf-8",
         "b\xc3\xbc"
         "cher.example",
         0},
        {"a-label", "xn--bcher-kva.example", 0},
        {"underscore", "_dmarc.example.com", 0},
        {"longest", longest, 0},
        {"star", "*.example.com", ERR_INVALID},
        {"empty", "", ERR_INVALID},
        {"dot", ".", ERR_INVALID},
        {"two dots", "a..b", ERR_INVALID},
        {"leading dot", ".example.com", ERR_INVALID},
        {"two final dots", "example.com..", ERR_INVALID},
        {"long label", label, ERR_INVALID},
        {"address", "user@example.com", ERR_INVALID},
        {"space", "example com", ERR_INVALID},
        {"latin-1",
         "b\xfc"
         "cher.example",
         ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        struct account_domain domain = {tenant, cases[i].in, DOMAIN_OWN, false};
        int rc = account_domain_add(f->a, &domain, &err);
        if (rc != cases[i].rc)
            fail_msg("%s: %s (%s)", cases[i].name, err_name(rc), err_detail(&err));
    }
    assert_int_equal(domains(f->a, tenant), 6);
    assert_int_equal(account_domain_remove(f->a, tenant, "Example.COM.", NULL), 0);
    assert_int_equal(account_domain_remove(f->a, tenant, "example.com", NULL), ERR_NOT_FOUND);
    assert_int_equal(account_domain_remove(f->a, tenant + 1, "localdomain", NULL), ERR_NOT_FOUND);
    struct account_domain nobodys = {tenant + 1, "other.example", DOMAIN_OWN, false};
    assert_int_equal(account_domain_add(f->a, &nobodys, NULL), ERR_NOT_FOUND);
}

static int take_version(void *arg, const struct account_tenant *tenant)
{
    *(uint32_t *)arg = tenant->rule_version;
    return 0;
}

static uint32_t version(struct account *a)
{
    uint32_t v = 0;
    assert_int_equal(account_tenant_list(a, take_version, &v, NULL), 0);
    return v;
}

static void rules_raise_their_version(void **state)
{
    struct fixture *f = *state;
    uint32_t tenant = make_tenant(f->a, "acme");
    struct account_domain domain = {tenant, "example.com", DOMAIN_OWN, false};
    struct account_network network = {tenant, prefix("192.0.2.0/24"), true, "office"};
    bool changed = false;
    assert_int_equal(version(f->a), 1);
    assert_int_equal(account_domain_add(f->a, &domain, NULL), 0);
    assert_int_equal(version(f->a), 2);
    assert_int_equal(account_domain_put(f->a, &domain, &changed, NULL), 0);
    assert_false(changed);
    assert_int_equal(version(f->a), 2);
    domain.subdomains = true;
    assert_int_equal(account_domain_put(f->a, &domain, &changed, NULL), 0);
    assert_true(changed);
    assert_int_equal(version(f->a), 3);
    assert_int_equal(account_network_put(f->a, &network, &changed, NULL), 0);
    assert_true(changed);
    assert_int_equal(account_network_put(f->a, &network, &changed, NULL), 0);
    assert_false(changed);
    assert_int_equal(version(f->a), 4);
    assert_int_equal(account_network_remove(f->a, tenant, network.prefix, NULL), 0);
    assert_int_equal(version(f->a), 5);
    assert_int_equal(account_network_remove(f->a, tenant, network.prefix, NULL), ERR_NOT_FOUND);
    network.comment = "two\nlines";
    assert_int_equal(account_network_add(f->a, &network, NULL), ERR_INVALID);
    assert_int_equal(version(f->a), 5);
}

static void two_handles_see_each_other(void **state)
{
    struct fixture *f = *state;
    uint64_t before_a = 0, before_b = 0, after = 0;
    uint32_t id = 0;
    assert_int_equal(account_generation(f->a, &before_a, NULL), 0);
    assert_int_equal(account_generation(f->b, &before_b, NULL), 0);
    assert_int_equal(account_generation(f->b, &after, NULL), 0);
    assert_int_equal(before_b, after);
    (void)make_tenant(f->a, "acme");
    assert_int_equal(account_generation(f->a, &after, NULL), 0);
    assert_true(after > before_a);
    assert_int_equal(account_generation(f->b, &after, NULL), 0);
    assert_true(after > before_b);
    assert_int_equal(account_tenant_find(f->b, "acme", &id, NULL), 0);
}

static int import_then_fail(struct account *a, void *arg, struct err *err)
{
    const int *rc = arg;
    uint32_t id = make_tenant(a, "half");
    struct account_domain domain = {id, "half.example", DOMAIN_OWN, false};
    assert_int_equal(account_domain_add(a, &domain, err), 0);
    assert_int_equal(account_domain_add(a, &domain, err), ERR_EXISTS); /* inner failure, outer goes on */
    return *rc;
}

static void all_or_nothing(void **state)
{
    struct fixture *f = *state;
    uint32_t id = 0;
    uint64_t before = 0, after = 0;
    int rc = ERR_INVALID;
    assert_int_equal(account_generation(f->a, &before, NULL), 0);
    assert_int_equal(account_atomically(f->a, import_then_fail, &rc, NULL), ERR_INVALID);
    assert_int_equal(account_tenant_find(f->a, "half", &id, NULL), ERR_NOT_FOUND);
    assert_int_equal(domains(f->a, 0), 0);
    assert_int_equal(account_generation(f->a, &after, NULL), 0);
    assert_int_equal(before, after);
    rc = 0;
    assert_int_equal(account_atomically(f->a, import_then_fail, &rc, NULL), 0);
    assert_int_equal(domains(f->b, 0), 1);
}

static void limits_hold(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    uint32_t tenant = make_tenant(f->a, "acme");
    struct account_domain domain = {tenant, "one.example", DOMAIN_OWN, false};
    assert_int_equal(db_script(f->a, "UPDATE tally SET n = 999999 WHERE what = 'domain'", NULL), 0);
    assert_int_equal(account_domain_add(f->a, &domain, NULL), 0);
    domain.name = "two.example";
    assert_int_equal(account_domain_add(f->a, &domain, &err), ERR_LIMIT);
    assert_string_equal(err.detail, "no more than 1000000 rows of domain");
    assert_int_equal(account_tenant_remove(f->a, tenant, NULL), 0); /* the cascade counts as well */
    domain.tenant = make_tenant(f->a, "acme");
    assert_int_equal(account_domain_add(f->a, &domain, NULL), 0);
}

static void a_full_disk_is_said_and_nothing_is_half_done(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char name[64];
    int rc = 0;
    uint32_t tenant = make_tenant(f->a, "acme");
    assert_int_equal(db_script(f->a, "PRAGMA max_page_count = 40", NULL), 0);
    size_t added = 0;
    for (; rc == 0 && added < 100000; added++) {
        (void)snprintf(name, sizeof name, "domain-%zu.example", added);
        struct account_domain domain = {tenant, name, DOMAIN_OWN, false};
        rc = account_domain_add(f->a, &domain, &err);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(domains(f->b, tenant), added - 1);
    assert_int_equal(db_script(f->a, "PRAGMA max_page_count = 4000", NULL), 0);
    struct account_domain domain = {tenant, "after.example", DOMAIN_OWN, false};
    assert_int_equal(account_domain_add(f->a, &domain, NULL), 0);
}

static void keys_are_known_by_their_hash_only(void **state)
{
    struct fixture *f = *state;
    char secret[ACCOUNT_KEY_TEXT_BYTES], other[ACCOUNT_KEY_TEXT_BYTES];
    struct account_key key = {.tenant = make_tenant(f->a, "acme"), .name = "edge", .scopes = SCOPE_INGEST},
                       out;
    struct ip from = address("192.0.2.1");
    int64_t count = 0, now = clock_real_us();
    assert_int_equal(account_key_add(f->a, &key, NULL, secret, &key.id, NULL), 0);
    assert_int_equal(strlen(secret), 46);
    assert_int_equal(strncmp(secret, "ma_", 3), 0);
    assert_int_equal(account_key_add(f->a, &key, NULL, other, NULL, NULL), ERR_EXISTS);
    assert_int_equal(account_key_check(f->b, slice_of(secret), &from, SCOPE_INGEST, now, &out, NULL), 0);
    assert_int_equal(out.id, key.id);
    assert_int_equal(out.tenant, key.tenant);
    assert_int_equal(account_key_check(f->b, slice_of(secret), &from, SCOPE_READ, now, &out, NULL),
                     ERR_DENIED);
    assert_int_equal(out.tenant, key.tenant);
    assert_int_equal(db_integer(f->a, &count, NULL,
                                "SELECT count(*) FROM apikey WHERE instr(hash, $1) OR instr(name, $1)",
                                DB_ARGS(TEXT(secret))),
                     0);
    assert_int_equal(count, 0);
    secret[10] = secret[10] == 'A' ? 'B' : 'A';
    assert_int_equal(account_key_check(f->b, slice_of(secret), &from, SCOPE_INGEST, now, &out, NULL),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(account_key_check(f->b, SLICE(""), &from, SCOPE_INGEST, now, &out, NULL),
                     ERR_UNAUTHENTICATED);
}

static void keys_end_and_stay_at_home(void **state)
{
    struct fixture *f = *state;
    static const char given[] = "ma_0123456789012345678901234567890123456789012";
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    struct account_key key = {.tenant = make_tenant(f->a, "acme"),
                              .name = "edge",
                              .expires_us = 1000,
                              .scopes = SCOPE_INGEST | SCOPE_READ,
                              .address_count = 2},
                       out;
    key.addresses[0] = prefix("192.0.2.0/24");
    key.addresses[1] = prefix("2001:db8::/32");
    const struct {
        const char *name, *from;
        int64_t now_us;
        enum scope scope;
        int rc;
    } cases[] = {
        {"inside", "192.0.2.77", 999, SCOPE_INGEST, 0},
        {"inside v6", "2001:db8::1", 999, SCOPE_READ, 0},
        {"outside", "192.0.3.1", 999, SCOPE_INGEST, ERR_DENIED},
        {"other scope", "192.0.2.77", 999, SCOPE_MANAGE, ERR_DENIED},
        {"expired", "192.0.2.77", 1000, SCOPE_INGEST, ERR_UNAUTHENTICATED},
    };
    assert_int_equal(account_key_add(f->a, &key, given, secret, &key.id, NULL), 0);
    assert_string_equal(secret, given);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct ip from = address(cases[i].from);
        int rc = account_key_check(f->a, slice_of(given), &from, cases[i].scope, cases[i].now_us, &out, NULL);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", cases[i].name, err_name(rc));
    }
    struct ip from = address("192.0.2.77");
    assert_int_equal(account_key_revoke(f->b, key.tenant + 1, key.id, NULL), ERR_NOT_FOUND);
    assert_int_equal(account_key_revoke(f->b, key.tenant, key.id, NULL), 0);
    assert_int_equal(account_key_check(f->a, slice_of(given), &from, SCOPE_INGEST, 1, &out, NULL),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(account_key_add(f->a, &key, "ma_short", secret, NULL, NULL), ERR_INVALID);
    assert_int_equal(account_key_add(f->a, &key, "ma_0123456789 0123456789", secret, NULL, NULL),
                     ERR_INVALID);
    assert_int_equal(account_key_add(f->a, &key, NULL, secret, NULL, NULL), 0); /* the name is free again */
}

static void a_tenant_is_known_by_its_address(void **state)
{
    struct fixture *f = *state;
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    uint32_t tenant = 0;
    struct ip from = address("192.0.2.5"), other = address("198.51.100.1");
    struct account_key key = {.tenant = make_tenant(f->a, "one"), .name = "k", .scopes = SCOPE_INGEST};
    assert_int_equal(account_key_add(f->a, &key, NULL, secret, NULL, NULL), 0); /* from anywhere: no claim */
    assert_int_equal(account_tenant_by_address(f->a, &from, &tenant, NULL), ERR_NOT_FOUND);
    key.name = "fixed";
    key.address_count = 1;
    key.addresses[0] = prefix("192.0.2.0/24");
    assert_int_equal(account_key_add(f->a, &key, NULL, secret, NULL, NULL), 0);
    assert_int_equal(account_tenant_by_address(f->a, &from, &tenant, NULL), 0);
    assert_int_equal(tenant, key.tenant);
    assert_int_equal(account_tenant_by_address(f->a, &other, &tenant, NULL), ERR_NOT_FOUND);
    key.tenant = make_tenant(f->a, "two");
    assert_int_equal(account_key_add(f->a, &key, NULL, secret, &key.id, NULL), 0);
    assert_int_equal(account_tenant_by_address(f->a, &from, &tenant, NULL), ERR_CONFLICT);
    assert_int_equal(account_key_revoke(f->a, key.tenant, key.id, NULL), 0);
    assert_int_equal(account_tenant_by_address(f->a, &from, &tenant, NULL), 0);
}

static int describe_edge(void *arg, const struct account_edge *edge)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 256 - n, "%u %s %c %lld;", edge->tenant, edge->id, edge->curve_key[0],
                   (long long)edge->first_seen_us);
    return 0;
}

/* "TENANT ID FIRST-OF-KEY SEEN;" for each. */
static const char *edges(struct account *a, uint32_t tenant)
{
    static char text[256];
    text[0] = '\0';
    assert_int_equal(account_edge_list(a, tenant, describe_edge, text, NULL), 0);
    return text;
}

static void edges_are_pinned(void **state)
{
    struct fixture *f = *state;
    static const char key_1[] = "0123456789012345678901234567890123456789";
    static const char key_2[] = "9876543210987654321098765432109876543210";
    uint32_t one = make_tenant(f->a, "one"), two = make_tenant(f->a, "two");
    assert_int_equal(account_edge_pin(f->a, one, "mx1", key_1, 1, NULL), 0);
    assert_int_equal(account_edge_pin(f->b, one, "mx1", key_1, 2, NULL), 0);
    assert_int_equal(account_edge_pin(f->b, one, "mx1", key_2, 2, NULL), ERR_DENIED);
    assert_int_equal(account_edge_pin(f->b, one, "mx 1", key_1, 2, NULL), ERR_INVALID);
    assert_int_equal(account_edge_forget(f->a, one, "mx1", NULL), 0);
    assert_int_equal(account_edge_forget(f->a, one, "mx1", NULL), ERR_NOT_FOUND);
    assert_int_equal(account_edge_pin(f->b, one, "mx1", key_2, 3, NULL), 0);
    assert_int_equal(account_edge_pin(f->a, two, "mx2", key_1, 3, NULL), 0);
    assert_int_equal(account_tenant_remove(f->a, two, NULL), 0);
    assert_string_equal(edges(f->a, 0), "1 mx1 9 3;");
}

static void an_edge_id_is_its_tenants_own(void **state)
{
    struct fixture *f = *state;
    static const char key_1[] = "0123456789012345678901234567890123456789";
    static const char key_2[] = "9876543210987654321098765432109876543210";
    uint32_t one = make_tenant(f->a, "one"), two = make_tenant(f->a, "two");
    assert_int_equal(account_edge_pin(f->a, one, "mx1", key_1, 1, NULL), 0);
    assert_int_equal(account_edge_forget(f->b, two, "mx1", NULL), ERR_NOT_FOUND);
    assert_int_equal(account_edge_pin(f->b, two, "mx1", key_2, 2, NULL), 0);
    assert_int_equal(account_edge_pin(f->b, one, "mx1", key_2, 3, NULL), ERR_DENIED);
    assert_int_equal(account_edge_pin(f->b, two, "mx1", key_1, 3, NULL), ERR_DENIED);
    assert_string_equal(edges(f->a, one), "1 mx1 0 1;");
    assert_string_equal(edges(f->a, two), "2 mx1 9 2;");
    assert_string_equal(edges(f->a, 0), "1 mx1 0 1;2 mx1 9 2;");
    assert_int_equal(account_edge_forget(f->a, two, "mx1", NULL), 0);
    assert_string_equal(edges(f->a, 0), "1 mx1 0 1;");
}

static void rules_come_as_one_snapshot(void **state)
{
    struct fixture *f = *state;
    struct rules *rules = NULL;
    uint32_t one = make_tenant(f->a, "one"), two = make_tenant(f->a, "two");
    struct account_domain own = {one, "example.com", DOMAIN_OWN, true};
    struct account_domain relayed = {two, "example.com", DOMAIN_RELAYED, false};
    struct account_network network = {one, prefix("192.0.2.0/24"), true, NULL};
    struct account_network hole = {one, prefix("192.0.2.128/25"), false, NULL};
    struct ip inside = address("192.0.2.1"), in_hole = address("192.0.2.200");
    assert_int_equal(account_domain_add(f->a, &own, NULL), 0);
    assert_int_equal(account_domain_add(f->a, &relayed, NULL), 0);
    assert_int_equal(account_network_add(f->a, &network, NULL), 0);
    assert_int_equal(account_network_add(f->a, &hole, NULL), 0);
    assert_int_equal(account_rules(f->b, &rules, NULL), 0);
    assert_int_equal(rules_domain(rules, one, SLICE("mail.example.com")), RULES_DOMAIN_OWN);
    assert_int_equal(rules_domain(rules, two, SLICE("example.com")), RULES_DOMAIN_RELAYED);
    assert_int_equal(rules_domain(rules, two, SLICE("mail.example.com")), RULES_DOMAIN_FOREIGN);
    assert_true(rules_client_trusted(rules, one, &inside, SLICE("")));
    assert_false(rules_client_trusted(rules, one, &in_hole, SLICE("")));
    assert_false(rules_client_trusted(rules, two, &inside, SLICE("")));
    struct event event = {.tenant = one, .recipient_domain = SLICE("example.com")};
    rules_classify(rules, &event);
    assert_int_equal(event.direction, DIRECTION_IN);
    assert_int_equal(event.rule_version, 4); /* 1, and one for each of the three changes */
    rules_destroy(&rules);
}

static void strange_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct account *c = NULL;
    account_close(&f->b);
    assert_int_equal(db_script(f->a, "PRAGMA user_version = 99", NULL), 0);
    assert_int_equal(account_open(&c, f->path, &err), ERR_VERSION);
    assert_int_equal(db_script(f->a, "PRAGMA application_id = 7", NULL), 0);
    assert_int_equal(account_open(&c, f->path, &err), ERR_CORRUPT);
    account_close(&f->a);
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        (void)fputs("no database", file);
    (void)fclose(file);
    assert_int_equal(account_open(&c, f->path, &err), ERR_CORRUPT);
    assert_int_equal(account_open(&c, "/nowhere/account.db", &err), ERR_NOT_FOUND);
    assert_null(c);
}

static void the_audit_takes_lines(void **state)
{
    struct fixture *f = *state;
    int64_t count = 0;
    assert_int_equal(account_audit(f->a, 0, "operator", "tenant add", "acme", NULL), 0);
    assert_int_equal(db_integer(f->b, &count, NULL, "SELECT count(*) FROM audit", NULL, 0), 0);
    assert_int_equal(count, 1);
}

/* Another process opens and closes the file. As long as it can't lock what this process has locked, it leaves
 * the WAL alone; thinking itself the last one, it would throw it away and with it what the handles here write
 * next. */
static void another_process_is_kept_from_the_wal(void **state)
{
    struct fixture *f = *state;
    struct account *third = NULL;
    struct stat st;
    char command[256], wal[128];
    (void)make_tenant(f->a, "acme");
    assert_int_equal(account_open(&third, f->path, NULL), 0);
    account_close(&third);
    (void)snprintf(command, sizeof command, "'%s' '%s'", self, f->path);
    (void)snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(stat(wal, &st), 0);
    (void)make_tenant(f->b, "after");
}

/* Hub and CLI may meet at the very first start. */
static void several_may_make_the_file_at_once(void **state)
{
    struct fixture *f = *state;
    char command[512];
    for (int round = 0; round < 20; round++) {
        (void)snprintf(
            command, sizeof command,
            "cd '%s'; for i in 1 2 3 4 5 6; do '%s' '%s/new.db' || : >bad & done; wait; rm new.db*; "
            "! rm bad 2>/dev/null",
            f->dir, self, f->dir);
        assert_int_equal(system(command), 0);
    }
}

/* With a path: opens and closes that file, as another process. */
int main(int argc, char **argv)
{
    static char absolute[PATH_MAX];
    struct account *a = NULL;
    if (argc == 2) {
        int rc = account_open(&a, argv[1], NULL);
        account_close(&a);
        return rc == 0 ? 0 : 1;
    }
    self = realpath(argv[0], absolute);
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(the_file_is_private),
        CASE(tenant_names),
        CASE(tenant_ids_are_never_used_twice),
        CASE(domain_names),
        CASE(rules_raise_their_version),
        CASE(two_handles_see_each_other),
        CASE(all_or_nothing),
        CASE(limits_hold),
        CASE(a_full_disk_is_said_and_nothing_is_half_done),
        CASE(keys_are_known_by_their_hash_only),
        CASE(keys_end_and_stay_at_home),
        CASE(a_tenant_is_known_by_its_address),
        CASE(edges_are_pinned),
        CASE(an_edge_id_is_its_tenants_own),
        CASE(rules_come_as_one_snapshot),
        CASE(strange_files_are_refused),
        CASE(the_audit_takes_lines),
        CASE(another_process_is_kept_from_the_wal),
        CASE(several_may_make_the_file_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
