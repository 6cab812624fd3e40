/* SPDX-License-Identifier: Apache-2.0
 *
 * direct: the policy port of the hub itself (policy_listen), for Postfix servers without a policy-proxy
 * beside them. Who may ask: addresses that an ingest API key with fixed addresses names; the key's tenant is
 * the tenant. Each address becomes an edge of its own (inlet.h): `instance` counts per Postfix server, so
 * two of them must never share one. A thread with its own loop: nothing here waits for the hub's loop, or
 * holds it. An address that is named by itself is made ready at start, one within a network at its first
 * connection; each on a thread of its own (inlet.h), so that a disk that hangs holds no answers. Bounds:
 * DIRECT_INLETS, DIRECT_CONNECTIONS.
 */
#ifndef HUB_DIRECT_H
#define HUB_DIRECT_H

#include "inlet.h"

enum { DIRECT_INLETS = 64, DIRECT_CONNECTIONS = 4096 };

struct direct;

struct direct_options {
    const char *listen; /* as endpoint_parse takes it */
    const char *account_path;
    struct inlet_options inlet; /* dir, server, server_key; all strings outlive it */
};

struct direct_stats {
    uint64_t inlets, connections, refused, requests, lost; /* lost: answered, but not kept */
};

/* An inlet's spool: where, and what has it open. */
struct direct_spool {
    const char *dir; /* DIR/TENANT-ADDRESS; the spool is below it */
    struct spool *spool;
};

/* Binds and starts the thread, while receive runs. ERR_CONFIG, and as endpoint_listen, account_open. */
MUST_CHECK int direct_start(struct direct **out, const struct direct_options *options, struct err *err);
/* Before receive_stop: what is kept is handed over, or stays in its spool for the next start. */
void direct_stop(struct direct **direct);
/* Those that are open; they stay so until direct_stop. How many. Any thread; at most a second old. */
size_t direct_get_spools(struct direct *direct, struct direct_spool out[DIRECT_INLETS]);
void direct_get_stats(struct direct *direct, struct direct_stats *out); /* any thread; at most a second old */

#endif
