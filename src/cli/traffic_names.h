/* SPDX-License-Identifier: Apache-2.0
 *
 * traffic_names: who writes to whom from where, for traffic.c. Own domains have OWN_USERS people each by
 * Zipf's law, the rest of the world has 20,000 senders by Zipf's law with exponent 1. Every n is the size of
 * out.
 */
#ifndef CLI_TRAFFIC_NAMES_H
#define CLI_TRAFFIC_NAMES_H

#include "base/err.h"
#include "chance.h"

struct traffic_names;

MUST_CHECK int traffic_names_create(struct traffic_names **out);
void traffic_names_destroy(struct traffic_names **names);

void traffic_names_own(const struct traffic_names *names, struct chance *chance, char *out, size_t n);
void traffic_names_sender(const struct traffic_names *names, struct chance *chance, char *out, size_t n);
void traffic_names_provider(struct chance *chance, char *out, size_t n); /* a recipient elsewhere */

/* A client: address and host name ("unknown" without a PTR). Strangers come from countries, each of which has
 * its own documentation prefixes; trusted ones from 192.0.2.0/24 and 2001:db8:0:1::/64. */
void traffic_names_stranger(struct chance *chance, bool spam, char *address, size_t address_n, char *name,
                            size_t n);
void traffic_names_trusted(struct chance *chance, char *address, size_t address_n, char *name, size_t n);

#endif
