/* SPDX-License-Identifier: Apache-2.0
 *
 * demo: the two halves of `mail-analytics demo`. History is the past of an edge of its own ("demo-history"),
 * shipped over the real wire with back-dated times; live mail asks the real policy port, by real clocks. Both
 * draw from traffic.h. One thread; SIGINT and SIGTERM set *stop.
 */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "base/err.h"

#include <signal.h>
#include <stdint.h>

#define DEMO_EDGE "demo-history"

struct demo_history {
    const char *dir;    /* spool, key and how far history has been shipped; made when missing */
    const char *server; /* wire address of the hub */
    const char *server_key, *api_key;
    uint64_t seed;
    int64_t from_us, to_us;
    double messages_per_day;
    volatile sig_atomic_t *stop;
};

/* Ships what of the range was not shipped from this directory before; *requests is how many. At a terminal it
 * shows how far it is. Returns when the hub has acknowledged all of it, or *stop. ERR_DENIED with the hub's
 * reason when it refuses, ERR_BUSY when another demo uses dir, errors of spool.h. */
MUST_CHECK int demo_history_ship(const struct demo_history *history, uint64_t *requests, struct err *err);

struct demo_live {
    const char *policy; /* ADDRESS:PORT or [ADDRESS]:PORT */
    double messages_per_s;
    uint64_t seed;
    volatile sig_atomic_t *stop;
};

/* Asks until *stop. A server that is away is tried again each second, as Postfix does. ERR_INVALID: no
 * address. */
MUST_CHECK int demo_live_run(const struct demo_live *live, uint64_t *requests, struct err *err);

#endif
