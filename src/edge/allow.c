/* SPDX-License-Identifier: Apache-2.0
 *
 * allow: a short list, looked through once a connection. See allow.h.
 */
#include "allow.h"

#include <stdlib.h>

struct allow {
    size_t n;
    struct ip_prefix networks[];
};

static int count_parts(struct slice text)
{
    int n = 0;
    struct slice part;
    while (slice_split(&text, ',', &part))
        n++;
    return n;
}

int allow_create(struct allow **out, struct slice text, struct err *err)
{
    struct slice part;
    int parts = count_parts(text);
    if (parts > ALLOW_NETWORKS)
        return err_set(err, ERR_LIMIT, "allow: at most %d networks (combine them)", ALLOW_NETWORKS);
    struct allow *allow = calloc(1, sizeof *allow + (size_t)parts * sizeof *allow->networks);
    if (allow == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the allow list");
    while (slice_split(&text, ',', &part)) {
        part = slice_trim(part);
        if (part.n == 0)
            continue;
        if (ip_prefix_parse(part, &allow->networks[allow->n]) != 0) {
            free(allow);
            return err_set(err, ERR_CONFIG,
                           "allow: '%.*s' is no network (write 192.0.2.0/24 or 2001:db8::/32)", (int)part.n,
                           part.p);
        }
        allow->n++;
    }
    *out = allow;
    return 0;
}

void allow_destroy(struct allow **allow)
{
    free(*allow);
    *allow = NULL;
}

bool allow_contains(const struct allow *allow, const struct ip *peer)
{
    static const struct ip unix_peer;
    if (ip_is_loopback(peer) || ip_compare(peer, &unix_peer) == 0)
        return true;
    for (size_t i = 0; i < allow->n; i++)
        if (ip_prefix_contains(&allow->networks[i], peer))
            return true;
    return false;
}

bool allow_is_empty(const struct allow *allow)
{
    return allow->n == 0;
}
