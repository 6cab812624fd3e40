/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: the documented table, row by row, for both families; look-ups against a linear search.
 */
#include "base/test.h"
#include "enrich/classify/rules.h"

#include <stdio.h>
#include <stdlib.h>

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;
    if (ip_prefix_parse(slice_of(text), &p) != 0)
        fail_msg("%s", text);
    return p;
}

static struct rules *fixture(void)
{
    struct rules *r;
    assert_int_equal(rules_create(&r), 0);
    assert_int_equal(rules_set_version(r, 1, 17), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("Example.ORG."), DOMAIN_OWN, true), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("exact.test"), DOMAIN_OWN, false), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("relay.example.org"), DOMAIN_RELAYED, true), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("own.relay.example.org"), DOMAIN_OWN, false), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("[192.0.2.1]"), DOMAIN_OWN, true), 0);
    assert_int_equal(rules_add_domain(r, 1,
                                      SLICE("b\xc3\xbc"
                                            "cher.test"),
                                      DOMAIN_OWN, false),
                     0);
    assert_int_equal(rules_add_network(r, 1, prefix("192.0.2.0/24"), true), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("192.0.2.128/25"), false), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("192.0.2.200/32"), true), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("2001:db8::/32"), true), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("2001:db8:bad::/48"), false), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("::/0"), false), 0);
    assert_int_equal(rules_add_domain(r, 2, SLICE("two.test"), DOMAIN_OWN, true), 0);
    assert_int_equal(rules_add_network(r, 2, prefix("203.0.113.0/24"), true), 0);
    assert_int_equal(rules_add_network(r, 2, prefix("0.0.0.0/0"), false), 0);
    assert_int_equal(rules_add_network(r, 3, prefix("::/0"), true), 0);
    rules_seal(r);
    return r;
}

static void the_documented_table(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t tenant;
        const char *client, *login, *recipient_domain;
        enum direction want;
    } cases[] = {
        {"trusted, own", 1, "192.0.2.5", "", "example.org", DIRECTION_INTERNAL},
        {"trusted, foreign", 1, "192.0.2.5", "", "elsewhere.test", DIRECTION_OUT},
        {"trusted, relayed", 1, "192.0.2.5", "", "relay.example.org", DIRECTION_RELAY},
        {"untrusted, own", 1, "198.51.100.1", "", "example.org", DIRECTION_IN},
        {"untrusted, relayed", 1, "198.51.100.1", "", "relay.example.org", DIRECTION_RELAY},
        {"untrusted, foreign", 1, "198.51.100.1", "", "elsewhere.test", DIRECTION_RELAY},
        {"untrusted, none", 1, "198.51.100.1", "", "", DIRECTION_UNKNOWN},
        {"trusted, none", 1, "192.0.2.5", "", "", DIRECTION_UNKNOWN},
        {"trusted IPv6, own", 1, "2001:db8::1", "", "example.org", DIRECTION_INTERNAL},
        {"trusted IPv6, foreign", 1, "2001:db8::1", "", "elsewhere.test", DIRECTION_OUT},
        {"trusted IPv6, relayed", 1, "2001:db8::1", "", "relay.example.org", DIRECTION_RELAY},
        {"login, relayed", 1, "198.51.100.1", "alice", "relay.example.org", DIRECTION_RELAY},
        {"untrusted IPv6, own", 1, "2001:db9::1", "", "example.org", DIRECTION_IN},
        {"untrusted IPv6, relayed", 1, "2001:db9::1", "", "relay.example.org", DIRECTION_RELAY},
        {"untrusted IPv6, foreign", 1, "2001:db9::1", "", "elsewhere.test", DIRECTION_RELAY},
        {"login from anywhere, foreign", 1, "198.51.100.1", "alice", "elsewhere.test", DIRECTION_OUT},
        {"login from anywhere, own", 1, "2001:db9::1", "alice", "example.org", DIRECTION_INTERNAL},
        {"login in an untrusted exception", 1, "192.0.2.129", "alice", "example.org", DIRECTION_INTERNAL},
        {"login of a tenant without rules", 9, "198.51.100.1", "alice", "example.org", DIRECTION_OUT},
        {"exception inside a network", 1, "192.0.2.129", "", "example.org", DIRECTION_IN},
        {"exception inside the exception", 1, "192.0.2.200", "", "example.org", DIRECTION_INTERNAL},
        {"beside the network", 1, "192.0.3.1", "", "example.org", DIRECTION_IN},
        {"IPv6 exception", 1, "2001:db8:bad::1", "", "example.org", DIRECTION_IN},
        {"mapped IPv4 is IPv4", 1, "::ffff:192.0.2.5", "", "example.org", DIRECTION_INTERNAL},
        {"::/0 trusted holds IPv6", 3, "2001:db9::1", "", "x.test", DIRECTION_OUT},
        {"::/0 trusted leaves IPv4 alone", 3, "192.0.2.5", "", "x.test", DIRECTION_RELAY},
        {"subdomain", 1, "198.51.100.1", "", "a.b.example.org", DIRECTION_IN},
        {"no subdomains", 1, "198.51.100.1", "", "a.exact.test", DIRECTION_RELAY},
        {"without subdomains itself", 1, "198.51.100.1", "", "exact.test", DIRECTION_IN},
        {"relayed below own", 1, "198.51.100.1", "", "x.relay.example.org", DIRECTION_RELAY},
        {"own below relayed below own", 1, "198.51.100.1", "", "own.relay.example.org", DIRECTION_IN},
        {"not for its own subdomains", 1, "198.51.100.1", "", "x.own.relay.example.org", DIRECTION_RELAY},
        {"ends alike, no label", 1, "198.51.100.1", "", "notexample.org", DIRECTION_RELAY},
        {"case and final dot", 1, "198.51.100.1", "", "EXAMPLE.org.", DIRECTION_IN},
        {"literal", 1, "198.51.100.1", "", "[192.0.2.1]", DIRECTION_IN},
        {"other literal", 1, "198.51.100.1", "", "[192.0.2.2]", DIRECTION_RELAY},
        {"U-label", 1, "198.51.100.1", "",
         "b\xc3\xbc"
         "cher.test",
         DIRECTION_IN},
        {"its A-label is another text", 1, "198.51.100.1", "", "xn--bcher-kva.test", DIRECTION_RELAY},
        {"another tenant's domain", 2, "198.51.100.1", "", "example.org", DIRECTION_RELAY},
        {"another tenant's network", 2, "192.0.2.5", "", "two.test", DIRECTION_IN},
        {"its own network", 2, "203.0.113.9", "", "two.test", DIRECTION_INTERNAL},
        {"unknown tenant", 9, "192.0.2.5", "", "example.org", DIRECTION_RELAY},
        {"dots only", 1, "198.51.100.1", "", "..", DIRECTION_RELAY},
        {"a single dot", 1, "198.51.100.1", "", ".", DIRECTION_RELAY},
    };
    struct rules *rules = fixture();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event e = {.tenant = cases[i].tenant,
                          .sasl_username = slice_of(cases[i].login),
                          .recipient_domain = slice_of(cases[i].recipient_domain)};
        assert_int_equal(ip_parse(slice_of(cases[i].client), &e.client_address), 0);
        rules_classify(rules, &e);
        if (e.direction != cases[i].want || e.rule_version != (cases[i].tenant == 1 ? 17 : 0))
            fail_msg("%s: %s", cases[i].name, event_direction_name(e.direction));
    }
    rules_destroy(&rules);
    assert_null(rules);
}

static void an_absent_client_is_untrusted(void **state)
{
    (void)state;
    struct rules *rules = fixture();
    struct event e = {.tenant = 3, .recipient_domain = SLICE("x.test")};
    rules_classify(rules, &e);
    assert_int_equal(e.direction, DIRECTION_RELAY);
    rules_destroy(&rules);
}

static void what_is_refused(void **state)
{
    (void)state;
    struct rules *r;
    char longest[RULES_DOMAIN_BYTES + 2];
    assert_int_equal(rules_create(&r), 0);
    static const char *bad[] = {"",    ".",   "..",         "a..b",     ".a",        "a b",
                                "a@b", "a/b", "[nonsense]", "[1.2.3.4", "\xff.test", "*.x"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (rules_add_domain(r, 1, slice_of(bad[i]), DOMAIN_OWN, false) != ERR_INVALID)
            fail_msg("'%s' was taken", bad[i]);
    memset(longest, 'a', sizeof longest);
    assert_int_equal(
        rules_add_domain(r, 1, (struct slice){longest, RULES_DOMAIN_BYTES + 1}, DOMAIN_OWN, true),
        ERR_INVALID);
    assert_int_equal(rules_add_domain(r, 1, (struct slice){longest, RULES_DOMAIN_BYTES}, DOMAIN_OWN, true),
                     0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("x.test"), DOMAIN_OWN, true), 0);
    assert_int_equal(rules_add_domain(r, 1, SLICE("X.test."), DOMAIN_RELAYED, true), ERR_EXISTS);
    assert_int_equal(rules_add_domain(r, 2, SLICE("X.test."), DOMAIN_RELAYED, true), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("192.0.2.0/24"), true), 0);
    assert_int_equal(rules_add_network(r, 1, prefix("192.0.2.0/24"), false), ERR_EXISTS);
    assert_int_equal(rules_add_network(r, 2, prefix("192.0.2.0/24"), false), 0);
    struct ip_prefix host_bits = prefix("192.0.2.0/24");
    host_bits.net.b[15] = 1;
    assert_int_equal(rules_add_network(r, 3, host_bits, false), ERR_INVALID);
    rules_destroy(&r);
}

/* Random networks of all lengths against a search through all of them. */
static void longest_prefix_agrees_with_linear_search(void **state)
{
    (void)state;
    enum { NETWORKS = 500, PROBES = 20000 };
    struct ip_prefix networks[NETWORKS];
    struct rules *r;
    unsigned seed = 7;
    size_t count = 0;
    assert_int_equal(rules_create(&r), 0);
    while (count < NETWORKS) {
        struct ip_prefix p = {.bits = (uint8_t)(96 + rand_r(&seed) % 33)};
        struct ip last = {.b = {[10] = 0xff, [11] = 0xff, [12] = 10}};
        for (size_t i = 13; i < 16; i++)
            last.b[i] = (uint8_t)(rand_r(&seed) % 32);
        for (unsigned bit = 0; bit < p.bits; bit++)
            p.net.b[bit / 8] |= (uint8_t)(last.b[bit / 8] & 0x80 >> bit % 8);
        if (rules_add_network(r, 1, p, count % 2 == 0) == 0)
            networks[count++] = p;
    }
    rules_seal(r);
    for (size_t probe = 0; probe < PROBES; probe++) {
        struct ip ip = {.b = {[10] = 0xff, [11] = 0xff, [12] = 10}};
        for (size_t i = 13; i < 16; i++)
            ip.b[i] = (uint8_t)(rand_r(&seed) % 34);
        int best = -1;
        for (int i = 0; i < NETWORKS; i++)
            if (ip_prefix_contains(&networks[i], &ip) && (best < 0 || networks[i].bits > networks[best].bits))
                best = i;
        bool want = best >= 0 && best % 2 == 0,
             got = rules_client_trusted(r, 1, &ip, (struct slice){NULL, 0});
        if (want != got)
            fail_msg("probe %zu: %d, want %d", probe, got, want);
    }
    rules_destroy(&r);
}

static void many_domains_of_many_tenants(void **state)
{
    (void)state;
    enum { DOMAINS = 100000 };
    struct rules *r;
    char name[64];
    assert_int_equal(rules_create(&r), 0);
    for (unsigned i = 0; i < DOMAINS; i++) {
        (void)snprintf(name, sizeof name, "d%u.test", i);
        assert_int_equal(
            rules_add_domain(r, i % 50 + 1, slice_of(name), i % 2 == 0 ? DOMAIN_OWN : DOMAIN_RELAYED, true),
            0);
    }
    rules_seal(r);
    for (unsigned i = 0; i < DOMAINS; i++) {
        (void)snprintf(name, sizeof name, "mx.d%u.test", i);
        assert_int_equal(rules_domain(r, i % 50 + 1, slice_of(name)),
                         i % 2 == 0 ? RULES_DOMAIN_OWN : RULES_DOMAIN_RELAYED);
        assert_int_equal(rules_domain(r, (i + 1) % 50 + 1, slice_of(name)), RULES_DOMAIN_FOREIGN);
    }
    rules_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_table),
        cmocka_unit_test(an_absent_client_is_untrusted),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(longest_prefix_agrees_with_linear_search),
        cmocka_unit_test(many_domains_of_many_tenants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
