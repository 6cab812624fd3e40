/* SPDX-License-Identifier: Apache-2.0
 *
 * link: one connection to the hub, watched: frames out, frames in, and what became of it. Over ZeroMQ, or
 * over HTTPS, where it is a name that requests have in common (wire/parcel.h), and each frame but BYE is
 * answered before the next may go. Never reconnects by itself. One thread.
 */
#ifndef EDGE_LINK_H
#define EDGE_LINK_H

#include "https.h"
#include "wire/curve.h"
#include "wire/frame.h"
#include "wire/parcel.h"

#include <zmq.h>

enum { LINK_POLLS = 2, LINK_WHY_BYTES = 192 };

struct link {
    void *socket, *monitor; /* ZeroMQ; NULL while closed, or HTTPS */
    bool connected;         /* TCP stood once */
    struct https *https;    /* NULL while closed, or ZeroMQ */
    struct {
        struct parcel_secret secret;
        uint8_t name[PARCEL_LINK_BYTES], proof[PARCEL_PROOF_BYTES];
        char public_key[CURVE_Z85_BYTES];
        struct slice api_key;
        struct slice frames; /* of the last reply, not yet received */
        bool told, answers;  /* CURVE_READY was told; what was sent has an answer */
    } by_https;
    char why[LINK_WHY_BYTES]; /* it was closed; "" when nothing is known */
    uint32_t retry_after_s;   /* the hub asks for so much patience; 0: it does not */
    struct buf out;
    struct frame in;  /* the last frame received; large */
    struct buf bytes; /* that frame's bytes */
};

void link_init(struct link *link);
void link_fini(struct link *link);

/* Begins to connect; endpoint has an address, no name (resolve.h). ERR_CONFIG, ERR_NO_MEMORY. */
MUST_CHECK int link_open(struct link *link, const struct curve_keys *keys, const char *server_key,
                         const char *endpoint, struct err *err);
/* Likewise, over HTTPS, to an address of its server or proxy. The strings of options outlive it; path, bearer
 * and type are the link's to fill in. ERR_CONFIG also for the file of authorities, and when the hub's key is
 * none. */
MUST_CHECK int link_open_https(struct link *link, const struct curve_keys *keys, const char *server_key,
                               const char *api_key, const struct https_options *options,
                               const struct sockaddr *address, socklen_t address_bytes, struct err *err);
void link_close(struct link *link, int linger_ms);
bool link_is_open(const struct link *link);
bool link_takes(const struct link *link); /* a frame now: HTTPS has one under way at a time */
/* What to poll for; returns how many. ZeroMQ's are edge-triggered inside zmq_poll: use that. */
int link_poll(const struct link *link, zmq_pollitem_t items[LINK_POLLS]);

/* CURVE_READY: greet now. CURVE_CLOSED, CURVE_HANDSHAKE_FAILED: it is over, see why. CURVE_NONE: nothing new.
 */
enum curve_event link_event(struct link *link);

MUST_CHECK int link_send(struct link *link, const struct frame *frame); /* ERR_BUSY: would have to wait */
/* The next frame in link->in, slices valid until the next call. ERR_END: none; ERR_INVALID: not for us. */
MUST_CHECK int link_receive(struct link *link);

#endif
