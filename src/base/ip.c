/* SPDX-License-Identifier: Apache-2.0
 *
 * ip: see ip.h.
 */
#include "ip.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};
enum { V4_BITS_BEFORE = 96 };

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->b, v4_mapped, sizeof v4_mapped) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip v6_loopback = {.b = {[15] = 1}};
    return ip_is_v4(ip) ? ip->b[12] == 127 : ip_compare(ip, &v6_loopback) == 0;
}

struct ip ip_site(const struct ip *ip)
{
    struct ip site = *ip;
    if (!ip_is_v4(ip))
        memset(site.b + 8, 0, 8);
    return site;
}

int ip_parse(struct slice s, struct ip *out)
{
    char text[INET6_ADDRSTRLEN];
    if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = (struct slice){s.p + 1, s.n - 2};
    if (s.n > 5 && slice_equal_nocase((struct slice){s.p, 5}, SLICE("ipv6:")))
        s = (struct slice){s.p + 5, s.n - 5};
    if (slice_to_string(s, text, sizeof text) != 0)
        return ERR_INVALID;
    memcpy(out->b, v4_mapped, sizeof v4_mapped);
    if (inet_pton(AF_INET, text, out->b + 12) == 1)
        return 0;
    return inet_pton(AF_INET6, text, out->b) == 1 ? 0 : ERR_INVALID;
}

void ip_format(const struct ip *ip, char *out)
{
    if (ip_is_v4(ip))
        inet_ntop(AF_INET, ip->b + 12, out, IP_TEXT_BYTES);
    else
        inet_ntop(AF_INET6, ip->b, out, IP_TEXT_BYTES);
}

/* Sets every bit behind the first `bits` to `ones`. */
static void fill_host_bits(struct ip *ip, unsigned bits, bool ones)
{
    for (unsigned i = bits / 8; i < 16; i++) {
        uint8_t host = (uint8_t)(i == bits / 8 ? 0xff >> bits % 8 : 0xff);
        ip->b[i] = (uint8_t)(ones ? ip->b[i] | host : ip->b[i] & ~host);
    }
}

int ip_prefix_parse(struct slice s, struct ip_prefix *out)
{
    const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
    struct slice address = {s.p, slash != NULL ? (size_t)(slash - s.p) : s.n};
    if (ip_parse(address, &out->net) != 0)
        return ERR_INVALID;
    uint64_t bits = 0, before = ip_is_v4(&out->net) ? V4_BITS_BEFORE : 0;
    if (slash == NULL)
        bits = 128 - before;
    else if (text_to_u64((struct slice){slash + 1, s.n - address.n - 1}, 128 - before, &bits) != 0)
        return ERR_INVALID;
    out->bits = (uint8_t)(before + bits);
    struct ip masked = out->net;
    fill_host_bits(&masked, out->bits, false);
    return ip_compare(&masked, &out->net) == 0 ? 0 : ERR_INVALID;
}

void ip_prefix_format(const struct ip_prefix *prefix, char *out)
{
    ip_format(&prefix->net, out);
    size_t n = strlen(out);
    unsigned bits = prefix->bits;
    if (ip_is_v4(&prefix->net) && bits >= V4_BITS_BEFORE)
        bits -= V4_BITS_BEFORE;
    (void)snprintf(out + n, IP_TEXT_BYTES - n, "/%u", bits);
}

bool ip_prefix_contains(const struct ip_prefix *prefix, const struct ip *ip)
{
    struct ip masked = *ip;
    fill_host_bits(&masked, prefix->bits, false);
    return ip_compare(&masked, &prefix->net) == 0;
}

void ip_prefix_last(const struct ip_prefix *prefix, struct ip *last)
{
    *last = prefix->net;
    fill_host_bits(last, prefix->bits, true);
}
