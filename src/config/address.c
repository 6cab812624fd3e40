/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

static int parse_path(struct slice path, struct address *out)
{
    if (path.n == 0 || path.p[0] != '/')
        return ERR_INVALID;
    out->local = true;
    return slice_to_string(path, out->path, sizeof out->path);
}

int address_parse(struct slice s, struct address *out)
{
    uint64_t port;

    *out = (struct address){.local = false};
    if (s.n > 5 && memcmp(s.p, "unix:", 5) == 0)
        return parse_path((struct slice){s.p + 5, s.n - 5}, out);
    const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
    if (!colon)
        return ERR_INVALID;
    struct slice host = {s.p, (size_t)(colon - s.p)};
    struct slice digits = {colon + 1, s.n - host.n - 1};
    /* An IPv6 address without brackets would lose its last group to the port. */
    if (host.n > 0 && host.p[0] != '[' && memchr(host.p, ':', host.n))
        return ERR_INVALID;
    if (text_to_u64(digits, UINT16_MAX, &port) < 0 || port == 0 || ip_parse(host, &out->ip) < 0)
        return ERR_INVALID;
    out->port = (uint16_t)port;
    return 0;
}

bool address_is_private(const struct address *address)
{
    return address->local || ip_is_loopback(&address->ip);
}
