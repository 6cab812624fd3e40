/* SPDX-License-Identifier: Apache-2.0
 *
 * ip: an IPv4 or IPv6 address as 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so
 * that one comparison orders both and one prefix match serves both. Pure.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "text.h"

struct ip {
    uint8_t b[16];
};

/* bits counts within the 16 bytes: an IPv4 /24 is 96 + 24 = 120. Host bits of net are 0. */
struct ip_prefix {
    struct ip net;
    uint8_t bits;
};

enum { IP_TEXT_BYTES = 64 }; /* the longest text of an address or a prefix, with its NUL */

/* "192.0.2.1", "2001:db8::1", also in brackets or with Postfix's "IPv6:"; ERR_INVALID for names and the rest.
 */
MUST_CHECK int ip_parse(struct slice s, struct ip *out);
/* RFC 5952 text; IPv4-mapped addresses are written as IPv4. */
void ip_format(const struct ip *ip, char *out);
bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
/* What one customer has, to count by: the address itself (IPv4), or its /64 (IPv6), whose addresses are more
 * than any table holds. */
struct ip ip_site(const struct ip *ip);

/* "192.0.2.0/24", "2001:db8::/32", or a bare address (a host). ERR_INVALID also when host bits are set. */
MUST_CHECK int ip_prefix_parse(struct slice s, struct ip_prefix *out);
void ip_prefix_format(const struct ip_prefix *prefix, char *out);
bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip *ip);
void ip_prefix_last(const struct ip_prefix *prefix, struct ip *last); /* the highest address inside */

static inline int ip_compare(const struct ip *a, const struct ip *b)
{
    return memcmp(a->b, b->b, sizeof a->b);
}

#endif
