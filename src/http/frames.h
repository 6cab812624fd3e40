/* SPDX-License-Identifier: Apache-2.0
 *
 * frames: what goes over a WebSocket (RFC 6455, 5), the server's side: bytes in, text messages and bytes out.
 * Pings are answered and mistakes are closed here. libwslay's codec, with every bound ours; the same comes of
 * the same bytes however they are cut. Pure: no sockets, no clock. Of the http room only.
 */
#ifndef HTTP_FRAMES_H
#define HTTP_FRAMES_H

#include "base/buf.h"

enum {
    FRAMES_MESSAGE_BYTES = 16 * 1024, /* of a message that comes; beyond it close 1009 */
    FRAMES_OF_MESSAGE = 64,           /* beyond it close 1008 */
    FRAMES_FEED_BYTES = 4096,         /* at once: what they cause is bounded by them */
};

struct frames;

/* text: a whole message, UTF-8, lent; it may say and close, not feed. out_bytes: that wait in `out` at most.
 * ERR_NO_MEMORY. */
MUST_CHECK int frames_create(struct frames **out, size_t out_bytes,
                             void (*text)(void *arg, struct slice text), void *arg);
void frames_destroy(struct frames **frames); /* safe on NULL */

/* At most FRAMES_FEED_BYTES. ERR_NO_MEMORY, ERR_LIMIT (out): nothing can be said any more. */
MUST_CHECK int frames_feed(struct frames *frames, struct slice bytes);
bool frames_wants_more(const struct frames *frames); /* false: what comes now is no longer looked at */

/* ERR_CANCELLED: a close has been said. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_CHECK int frames_say(struct frames *frames, struct slice text);
MUST_CHECK int frames_ping(struct frames *frames);
MUST_CHECK int frames_close(struct frames *frames, unsigned code, const char *why); /* 0 as well if it has */
bool frames_closed(const struct frames *frames); /* a close has been said */

size_t frames_waiting(const struct frames *frames);         /* bytes to be written */
void frames_take(struct frames *frames, struct buf *empty); /* swaps them for an empty buf */

#endif
