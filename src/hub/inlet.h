/* SPDX-License-Identifier: Apache-2.0
 *
 * inlet: one Postfix server that speaks to the hub directly, as an edge of its own within the hub: a spool
 * and an uplink to the hub's own wire, so that what a direct request goes through is what every request goes
 * through. Its directory (DIR/TENANT-ADDRESS, 0700) holds the spool, its CURVE key and an API key made for
 * it. One thread calls; no call waits for a disk.
 */
#ifndef HUB_INLET_H
#define HUB_INLET_H

#include "account/account.h"
#include "edge/uplink.h"

enum {
    INLET_SPOOL_BYTES = 256 * 1024 * 1024,
    INLET_RING_BYTES = 1024 * 1024,
    INLET_STASH_BYTES = 512 * 1024,
    INLET_NAME_BYTES = 64, /* "policy-TENANT-ADDRESS": edge id and name of the API key */
};

struct inlet_options {
    const char *dir;           /* of all inlets; there */
    const char *server;        /* the hub's wire endpoint as seen from this machine */
    const char *server_key;    /* Z85 */
    const char *account_path;  /* the control data, where it makes its API key */
    void (*opened)(void *arg); /* on another thread, once: inlet_settle has something to do; must not block */
    void *arg;
};

struct inlet;

/* Begins to open spool and uplink on a thread of the inlet's own, which may wait for the disk; it makes
 * directory and keys at the first time, and tries again until all of it works. What the options point at
 * outlives the inlet. ERR_NO_MEMORY. */
MUST_CHECK int inlet_open(struct inlet **out, const struct inlet_options *options, uint32_t tenant,
                          const struct ip *address, struct err *err);
/* Waits at most wait_us for the opening's end, then takes the spool, and moves into it what was kept until
 * then. False: still opening. Cheap when it is settled. */
bool inlet_settle(struct inlet *inlet, int64_t wait_us);
/* Drains for at most drain_us; what is left stays in the spool for the next open. Nulls *inlet. False: a disk
 * hangs in its opening, and what it uses, inlet and options, must stay until the process ends. */
bool inlet_close(struct inlet **inlet, int64_t drain_us);

/* NULL: still opening, or it could not be opened. Else until inlet_close. */
struct spool *inlet_spool(const struct inlet *inlet);
const char *inlet_directory(const struct inlet *inlet); /* as long as the inlet */
bool inlet_is(const struct inlet *inlet, const struct ip *address);
const struct ip *inlet_address(const struct inlet *inlet);
uint32_t inlet_tenant(const struct inlet *inlet);

/* Keeps one request; in memory (INLET_STASH_BYTES) while the spool is not open, which a kill would lose.
 * ERR_FULL, ERR_LIMIT; ERR_DENIED while shut. Never blocks. */
MUST_CHECK int inlet_keep(struct inlet *inlet, int64_t ts_us, struct slice request);
/* Shut: its address is no longer the tenant's; what was kept still goes its way. */
void inlet_shut(struct inlet *inlet, bool shut);
bool inlet_is_shut(const struct inlet *inlet);

#endif
