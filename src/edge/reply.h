/* SPDX-License-Identifier: Apache-2.0
 *
 * reply: the reply to a POST, as much of HTTP/1.1 (RFC 9112) as a client of the hub has to know: status line,
 * Content-Length, Connection, Retry-After. No chunks: neither the hub nor a proxy in front of it needs any
 * for these few bytes. Pure.
 */
#ifndef EDGE_REPLY_H
#define EDGE_REPLY_H

#include "base/text.h"

enum { REPLY_HEAD_BYTES = 8 * 1024, REPLY_RETRY_S = 3600 };

struct reply {
    int status;
    size_t body_at, body_bytes;
    uint32_t retry_after_s; /* 0: not said; REPLY_RETRY_S at most */
    bool keep_alive;
};

/* ERR_MORE: not all here yet. ERR_INVALID, ERR_LIMIT (head or body), ERR_UNSUPPORTED (chunks): the end of the
 * connection. tunnel: it answers CONNECT, and has no body. */
MUST_CHECK int reply_parse(struct slice bytes, size_t max_body_bytes, bool tunnel, struct reply *out);

#endif
