/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a proxy, for proxy.c and reload.c only.
 */
#ifndef EDGE_PROXY_INSIDE_H
#define EDGE_PROXY_INSIDE_H

#include "allow.h"
#include "identity.h"
#include "journal/spool.h"
#include "listener.h"
#include "loop/scrape.h"
#include "loop/signals.h"
#include "loop/ticker.h"
#include "opener.h"
#include "proxy.h"
#include "uplink.h"

enum stop_phase { STOP_NOT, STOP_ASKED, STOP_DEAF, STOP_DONE };

struct reload;

struct proxy {
    uv_loop_t loop;
    struct config *config;
    struct identity *identity;
    struct allow *allow;
    struct opener *opener; /* NULL: the spool is open */
    struct spool *spool;   /* NULL: not yet, mail is answered without */
    struct uplink *uplink; /* NULL: it can't greet, or a reload has it in hand */
    struct listener *listener;
    struct scrape *scrape;
    struct signals *signals;
    struct ticker *watchdog, *stopper, *watch;
    uv_async_t woken; /* the spool's and the opener's thread → the loop */
    bool woken_open;
    struct reload *reload; /* under way */
    bool reload_again;
    enum stop_phase stop;
    uint64_t last_seq, reloads;
    uint64_t dropped_told;         /* as the log was told last */
    struct histogram answers_told; /* as the hub was told last */
    bool stall_told;
};

/* SIGHUP. Reads the configuration and restarts the uplink on a worker, applies the rest on the loop. */
void reload_begin(struct proxy *proxy);

#endif
