/* SPDX-License-Identifier: Apache-2.0
 *
 * control: the socket of the operator (a unix socket, mode 0660: file permissions are the guard). HTTP/1.1 as
 * in visit.h, one request and one reply a connection. Connections live on the loop; api handlers run on
 * libuv's worker threads, each with an account handle that no other has at that time. Bounds: CONTROL_VISITS
 * at once (more get 503), CONTROL_REQUEST_MS for the request to arrive, CONTROL_REPLY_MS for the reply to be
 * read, CONTROL_REPLY_BYTES; the others are visit.h's. A client that goes away cancels its own question.
 */
#ifndef HUB_CONTROL_H
#define HUB_CONTROL_H

#include "api/api.h"

#include <uv.h>

enum {
    CONTROL_VISITS = 32,
    CONTROL_REQUEST_MS = 30000,
    CONTROL_REPLY_MS = 60000,
    CONTROL_REPLY_BYTES = 32 * 1024 * 1024,
};

struct control;

struct control_options {
    const char *path;         /* of the socket */
    const char *account_path; /* outlives the control */
    struct api_context
        context; /* account and store are ignored: handles are opened as needed, and see below */
};

struct control_stats {
    uint64_t requests, refused; /* refused: answered with a problem */
};

/* Loop thread. ERR_CONFIG (path too long), and as endpoint_listen. */
MUST_CHECK int control_open(struct control **out, uv_loop_t *loop, const struct control_options *options,
                            struct err *err);
/* Accepts no more, drops those who wait and cancels their questions. The loop is to be run until it has
 * nothing left: handlers end first. Nulls *control; the memory goes with the last of them. */
void control_close(struct control **control);

/* The store for questions from now on; NULL: none. It must outlive the handlers. Loop thread. */
void control_set_store(struct control *control, struct store *store);
void control_get_stats(const struct control *control, struct control_stats *out); /* any thread */

#endif
