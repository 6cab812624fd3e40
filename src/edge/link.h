/* SPDX-License-Identifier: Apache-2.0
 *
 * link: one connection to the hub, watched: frames out, frames in, and what became of it. Never reconnects by
 * itself. One thread.
 */
#ifndef EDGE_LINK_H
#define EDGE_LINK_H

#include "wire/curve.h"
#include "wire/frame.h"

struct link {
    void *socket, *monitor; /* for zmq_poll; NULL while closed */
    bool connected;         /* TCP stood once */
    struct buf out;
    struct frame in;  /* the last frame received; large */
    struct buf bytes; /* that frame's bytes */
};

void link_init(struct link *link);
void link_fini(struct link *link);

/* Begins to connect; endpoint has an address, no name (resolve.h). ERR_CONFIG, ERR_NO_MEMORY. */
MUST_CHECK int link_open(struct link *link, const struct curve_keys *keys, const char *server_key,
                         const char *endpoint, struct err *err);
void link_close(struct link *link, int linger_ms);

/* CURVE_READY: greet now. CURVE_CLOSED, CURVE_HANDSHAKE_FAILED: it is over. CURVE_NONE: nothing new. */
enum curve_event link_event(struct link *link);

MUST_CHECK int link_send(struct link *link, const struct frame *frame); /* ERR_BUSY: would have to wait */
/* The next frame in link->in, slices valid until the next call. ERR_END: none; ERR_INVALID: not for us. */
MUST_CHECK int link_receive(struct link *link);

#endif
