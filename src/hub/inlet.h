/* SPDX-License-Identifier: Apache-2.0
 *
 * inlet: one Postfix server that speaks to the hub directly, as an edge of its own within the hub: a spool
 * and an uplink to the hub's own wire, so that what a direct request goes through is what every request goes
 * through. Its directory (DIR/TENANT-ADDRESS, 0700) holds the spool, its CURVE key and an API key made for
 * it. One thread.
 */
#ifndef HUB_INLET_H
#define HUB_INLET_H

#include "account/account.h"
#include "edge/uplink.h"

enum {
    INLET_SPOOL_BYTES = 256 * 1024 * 1024,
    INLET_RING_BYTES = 1024 * 1024,
    INLET_NAME_BYTES = 64, /* "policy-TENANT-ADDRESS": edge id and name of the API key */
};

struct inlet_options {
    const char *dir;        /* of all inlets; there */
    const char *server;     /* the hub's wire endpoint as seen from this machine */
    const char *server_key; /* Z85 */
};

struct inlet;

/* Opens spool and uplink; makes directory and keys at the first time. May wait for the disk. Errors as
 * spool_open, uplink_start, account_key_add. */
MUST_CHECK int inlet_open(struct inlet **out, const struct inlet_options *options, struct account *account,
                          uint32_t tenant, const struct ip *address, struct err *err);
/* Drains for at most drain_us; what is left stays in the spool for the next open. Nulls *inlet. */
void inlet_close(struct inlet **inlet, int64_t drain_us);

bool inlet_is(const struct inlet *inlet, const struct ip *address);
const struct ip *inlet_address(const struct inlet *inlet);
uint32_t inlet_tenant(const struct inlet *inlet);

/* Keeps one request. ERR_FULL, ERR_LIMIT; ERR_DENIED while shut. Never blocks. */
MUST_CHECK int inlet_keep(struct inlet *inlet, int64_t ts_us, struct slice request, uint64_t *seq);
/* Shut: its address is no longer the tenant's; what was kept still goes its way. */
void inlet_shut(struct inlet *inlet, bool shut);
bool inlet_is_shut(const struct inlet *inlet);

#endif
