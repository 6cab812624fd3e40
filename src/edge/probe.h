/* SPDX-License-Identifier: Apache-2.0
 *
 * probe: while the hub is reached by HTTPS only because its port for ZeroMQ was closed: looks from time to
 * time whether that is open again, beside the work that goes on. Only a handshake that succeeds says so. One
 * thread.
 */
#ifndef EDGE_PROBE_H
#define EDGE_PROBE_H

#include "link.h"
#include "resolve.h"

#define PROBE_FIRST_US   (10 * INT64_C(1000000))  /* after the fall back, then twice as long each time */
#define PROBE_LONGEST_US (320 * INT64_C(1000000)) /* at most */

struct probe {
    struct link link;
    struct resolve *resolve;
    struct resolved found;
    size_t tried;
    int64_t at_us, pause_us, until_us; /* monotonic */
};

void probe_init(struct probe *probe);
void probe_fini(struct probe *probe);

/* A fall back. The pause goes on where it was, so that a port that opens for moments only is looked at
 * rarely; patient: a session over ZeroMQ had lasted. */
void probe_begin(struct probe *probe, int64_t now_us, bool lasted);
void probe_cancel(struct probe *probe);

/* done(arg): as resolve_start. True: the handshake is done, probe->link is to be taken. */
bool probe_step(struct probe *probe, const struct curve_keys *keys, const char *server,
                const char *server_key, void (*done)(void *arg), void *arg, int64_t now_us);
int64_t probe_at_us(const struct probe *probe); /* when to look again although nothing happened */

#endif
