/* SPDX-License-Identifier: Apache-2.0
 *
 * address: where a service listens: "192.0.2.1:9998", "[2001:db8::1]:9998" or "unix:/path". Names are
 * refused: what a listener is bound to must not depend on a resolver. Pure.
 */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include "base/ip.h"

enum { ADDRESS_PATH_BYTES = 108 }; /* sun_path with its NUL */

struct address {
    bool local; /* a path; else ip and port */
    struct ip ip;
    uint16_t port;
    char path[ADDRESS_PATH_BYTES];
};

/* ERR_INVALID: not of these shapes, or port 0; ERR_LIMIT: the path is too long for a socket. */
MUST_CHECK int address_parse(struct slice s, struct address *out);

/* True when only this machine can reach it: loopback, or a path. */
bool address_is_private(const struct address *address);

#endif
