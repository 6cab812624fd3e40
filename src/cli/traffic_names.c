/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic_names: see traffic_names.h. Names below .example and example.com (RFC 2606); addresses of
 * 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 (RFC 5737) and 2001:db8::/32 (RFC 3849).
 */
#include "traffic_names.h"

#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>

enum { SENDERS = 20000, OWN_USERS = 120, SMALL_DOMAINS = 2500 };

const char *const traffic_rule_domains[] = {"example.com",
                                            "atelier.example",
                                            "mairie.example",
                                            "clinique.example",
                                            "lycee.example",
                                            "notaires.example",
                                            NULL};
const char *const traffic_rule_networks[] = {"192.0.2.0/24", "2001:db8:0:1::/64", NULL};

static const double own_weights[] = {30, 24, 18, 14, 9, 5};
enum { OWN_DOMAINS = sizeof own_weights / sizeof *own_weights };

struct provider {
    const char *domain; /* NULL: one of the many small ones */
    double share;
};
static const struct provider providers[] = {
    {"outlook.example", 24}, {"gmail.example", 18},
    {"orange.example", 11},  {"ovh.example", 6},
    {"free.example", 5},     {"yahoo.example", 4},
    {"sfr.example", 3},      {"laposte.example", 2},
    {"icloud.example", 2},   {NULL, 25},
};
enum { PROVIDERS = sizeof providers / sizeof *providers };

/* Each country has a run of the 512 addresses of two /24s and a /48 of its own: 2001:db8:<48>::/48. */
struct country {
    const char *code;
    double mail, spam;
};
static const struct country countries[] = {
    {"fr", 38, 8}, {"us", 24, 16}, {"de", 8, 5},  {"nl", 7, 7},  {"ie", 5, 1}, {"gb", 4, 3},
    {"cn", 3, 18}, {"vn", 1, 14},  {"br", 2, 12}, {"in", 3, 11}, {"ru", 2, 3}, {"pl", 3, 2},
};
enum { COUNTRIES = sizeof countries / sizeof *countries, V4_EACH = 512 / COUNTRIES };

struct traffic_names {
    double own[OWN_USERS], senders[SENDERS]; /* cumulated, the last is 1 */
};

static void zipf(double *cumulated, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        cumulated[i] = sum += 1.0 / (double)(i + 1);
    for (size_t i = 0; i < n; i++)
        cumulated[i] /= sum;
}

static unsigned rank(const double *cumulated, unsigned n, double at)
{
    unsigned low = 0, high = n - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (cumulated[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int traffic_names_create(struct traffic_names **out)
{
    struct traffic_names *names = malloc(sizeof *names);
    *out = names;
    if (names == NULL)
        return ERR_NO_MEMORY;
    zipf(names->own, OWN_USERS);
    zipf(names->senders, SENDERS);
    return 0;
}

void traffic_names_destroy(struct traffic_names **names)
{
    free(*names);
    *names = NULL;
}

void traffic_names_own(const struct traffic_names *names, struct chance *chance, char *out, size_t n)
{
    static const char *const roles[] = {"compta",  "contact", "direction", "accueil",
                                        "support", "paie",    "achats",    "informatique"};
    const char *domain = traffic_rule_domains[chance_weighted(chance, own_weights, OWN_DOMAINS)];
    unsigned who = rank(names->own, OWN_USERS, chance_unit(chance));
    if (who < sizeof roles / sizeof *roles)
        snprintf(out, n, "%s@%s", roles[who], domain);
    else
        snprintf(out, n, "user-%03u@%s", who, domain);
}

static void at_provider(struct chance *chance, unsigned who, uint64_t luck, char *out, size_t n)
{
    double shares[PROVIDERS];
    for (size_t i = 0; i < PROVIDERS; i++)
        shares[i] = providers[i].share;
    struct chance own;
    chance_seed(&own, luck);
    const char *domain = providers[chance_weighted(chance == NULL ? &own : chance, shares, PROVIDERS)].domain;
    if (domain != NULL)
        snprintf(out, n, "user-%04u@%s", who, domain);
    else
        snprintf(out, n, "%s@shop-%04u.example", who % 3 == 0 ? "info" : "contact", who % SMALL_DOMAINS);
}

/* The same rank is always the same address. */
void traffic_names_sender(const struct traffic_names *names, struct chance *chance, char *out, size_t n)
{
    unsigned who = rank(names->senders, SENDERS, chance_unit(chance));
    at_provider(NULL, who, UINT64_C(0x5eed) + who, out, n);
}

void traffic_names_provider(struct chance *chance, char *out, size_t n)
{
    at_provider(chance, chance_below(chance, 10000), 0, out, n);
}

void traffic_names_stranger(struct chance *chance, bool spam, char *address, size_t address_n, char *name,
                            size_t n)
{
    double weights[COUNTRIES];
    for (size_t i = 0; i < COUNTRIES; i++)
        weights[i] = spam ? countries[i].spam : countries[i].mail;
    unsigned country = (unsigned)chance_weighted(chance, weights, COUNTRIES);
    if (chance_unit(chance) < 0.3) {
        unsigned host = chance_below(chance, 40000);
        snprintf(address, address_n, "2001:db8:%x:%x::%x", 0x100 + country, host % 199 + 1, host / 199 + 1);
        snprintf(name, n, "mx-%u.%s.example", host, countries[country].code);
    } else {
        unsigned host = country * V4_EACH + chance_below(chance, V4_EACH);
        snprintf(address, address_n, "%s.%u", host < 256 ? "198.51.100" : "203.0.113", host % 256);
        snprintf(name, n, "mail%u.%s.example", host % 256, countries[country].code);
    }
    if (chance_unit(chance) < (spam ? 0.6 : 0.05))
        snprintf(name, n, "unknown");
}

void traffic_names_trusted(struct chance *chance, char *address, size_t address_n, char *name, size_t n)
{
    unsigned host = 10 + chance_below(chance, 60);
    if (chance_unit(chance) < 0.2)
        snprintf(address, address_n, "2001:db8:0:1::%x", host);
    else
        snprintf(address, address_n, "192.0.2.%u", host);
    snprintf(name, n, "pc-%u.example.com", host);
}
