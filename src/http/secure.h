/* SPDX-License-Identifier: Apache-2.0
 *
 * secure: TLS on one connection, bytes in and bytes out, no socket: what came from the network is heard,
 * plain bytes are read from it; plain bytes are said, and what is to go to the network is taken. The
 * handshake happens on the way. No renegotiation, and no endless talk about keys (TLS 1.3, 4.6). Loop thread.
 */
#ifndef HTTP_SECURE_H
#define HTTP_SECURE_H

#include "base/buf.h"

enum {
    SECURE_IN_BYTES = 128 * 1024, /* heard and not yet read */
    SECURE_OUT_BYTES = 64 * 1024, /* said and not yet taken; secure_say says no more beyond it */
    SECURE_LATE_MESSAGES = 32,    /* of the handshake's kind, after the handshake */
};

struct secure;
struct tls;

MUST_CHECK int secure_create(struct secure **out, struct tls *tls); /* ERR_NO_MEMORY */
void secure_destroy(struct secure **secure);                        /* nulls *secure; safe on NULL */

/* ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int secure_hear(struct secure *secure, struct slice bytes);
/* 0: *n plain bytes are in room; ERR_MORE: hear more first; ERR_END: the peer says no more; ERR_INVALID: that
 * was no TLS, or none that is taken. There may be something to take after each call. */
MUST_CHECK int secure_read(struct secure *secure, char *room, size_t size, size_t *n);
/* Says the first *used of the bytes, perhaps 0. ERR_INVALID: it is broken. */
MUST_CHECK int secure_say(struct secure *secure, struct slice bytes, size_t *used);
void secure_say_end(struct secure *secure); /* close_notify */

/* Hands over what is to go to the network; buf_fini() it then. False: there is nothing. */
bool secure_take(struct secure *secure, struct buf *out);

bool secure_is_ready(const struct secure *secure); /* the handshake is over */
bool secure_is_h2(const struct secure *secure);    /* ALPN (RFC 7301) */

#endif
