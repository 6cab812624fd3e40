/* SPDX-License-Identifier: Apache-2.0
 *
 * head: the little of HTTP/1.1 (RFC 9112) that visits speak, so that curl and Prometheus can talk to us as
 * well: a request line, headers of which Content-Length alone matters, a body; one request a connection. No
 * chunks, no upgrades. Pure.
 */
#ifndef LOOP_HEAD_H
#define LOOP_HEAD_H

#include "base/buf.h"

enum { HEAD_BYTES = 8 * 1024 };

struct head {
    struct slice method, target; /* into the parsed bytes */
    size_t body_at;              /* where the body begins */
    size_t body_bytes;           /* Content-Length; 0 without one */
};

/* ERR_MORE: not all here yet. ERR_INVALID, ERR_LIMIT (head over HEAD_BYTES or body over max_body_bytes),
 * ERR_UNSUPPORTED (Transfer-Encoding): answer and close. */
MUST_CHECK int head_parse(struct slice bytes, size_t max_body_bytes, struct head *out, struct err *err);

/* The head of a reply whose body follows. type: of the body; fields: more, each with its CR LF. ERR_LIMIT,
 * ERR_NO_MEMORY. */
MUST_CHECK int head_write(struct buf *out, int status, const char *type, struct slice fields,
                          size_t body_bytes);

#endif
