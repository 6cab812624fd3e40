/* SPDX-License-Identifier: Apache-2.0
 *
 * rules: the direction of an event, from its tenant's domains and networks. An immutable snapshot, built by
 * account from the control data, read by the loader without locks; pure.
 *
 *   client    | recipient's domain            | direction
 *   trusted   | own                           | internal
 *   trusted   | foreign                       | out
 *   untrusted | own                           | in
 *   untrusted | foreign                       | relay
 *   any       | relayed                       | relay
 *   any       | no recipient, no domain       | unknown (consolidate may know better)
 * A client is trusted when it logged in (sasl_username) or when the longest prefix that holds client_address
 * is marked trusted. A domain rule holds for its subdomains when marked so; the longest rule wins. Domains
 * compare in lower case, without a final dot; U-labels and A-labels are different texts unless both are
 * listed. An address literal ([192.0.2.1]) is own when it is listed as such. IPv4 clients, however they are
 * written, match IPv4 networks only; ::/0 means IPv6. The whole table: docs/reference/classification.md.
 */
#ifndef ENRICH_RULES_H
#define ENRICH_RULES_H

#include "event/event.h"

enum domain_kind { DOMAIN_OWN, DOMAIN_RELAYED };

enum {
    RULES_DOMAIN_BYTES = 253,
    RULES_DOMAINS = 1000000, /* of all tenants */
    RULES_NETWORKS = 1000000,
};

struct rules;

/* Building: create, add in any order, seal; afterwards only read. */
MUST_CHECK int rules_create(struct rules **out);
void rules_destroy(struct rules **rules);
MUST_CHECK int rules_set_version(struct rules *rules, uint32_t tenant, uint32_t version);
/* domain: any case, with or without a final dot. ERR_INVALID, ERR_EXISTS, ERR_LIMIT. */
MUST_CHECK int rules_add_domain(struct rules *rules, uint32_t tenant, struct slice domain,
                                enum domain_kind kind, bool subdomains);
MUST_CHECK int rules_add_network(struct rules *rules, uint32_t tenant, struct ip_prefix prefix, bool trusted);
void rules_seal(struct rules *rules);

/* Sets direction and rule_version. Thread-safe on a sealed snapshot. */
void rules_classify(const struct rules *rules, struct event *event);

/* The two halves, for tests and for 'why' questions. */
bool rules_client_trusted(const struct rules *rules, uint32_t tenant, const struct ip *client,
                          struct slice sasl_username);
enum rules_domain { RULES_DOMAIN_FOREIGN, RULES_DOMAIN_OWN, RULES_DOMAIN_RELAYED, RULES_DOMAIN_NONE };
enum rules_domain rules_domain(const struct rules *rules, uint32_t tenant, struct slice domain);

#endif
