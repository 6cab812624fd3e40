/* SPDX-License-Identifier: Apache-2.0
 *
 * acceptor: one listening socket on the loop, whether made here or inherited (systemd socket activation).
 * Handles die twice: acceptor_close detaches, the close callback frees. Loop thread.
 */
#ifndef LOOP_ACCEPTOR_H
#define LOOP_ACCEPTOR_H

#include "endpoint.h"

#include <uv.h>

enum { ACCEPTOR_INHERITED_MAX = 16 };

struct acceptor;

/* Called for each connection that waits: conn_accept() takes it. */
typedef void (*acceptor_call)(void *arg, struct acceptor *acceptor);

/* Takes fd (a listening stream socket), also when it fails. unlink_at_close: the socket's file is our own. */
MUST_CHECK int acceptor_open(struct acceptor **out, uv_loop_t *loop, int fd, bool unlink_at_close,
                             acceptor_call call, void *arg, struct err *err);
void acceptor_close(struct acceptor **acceptor); /* nulls *acceptor; safe on NULL */

/* Where it listens, with the port that the kernel chose. Lives as long as the acceptor. */
const struct endpoint *acceptor_endpoint(const struct acceptor *acceptor);
/* In the call of a connection for which there is no memory: closes it, without any. A call that neither
 * accepts nor turns away was the last. */
void acceptor_turn_away(struct acceptor *acceptor);

uv_stream_t *acceptor_stream(struct acceptor *acceptor);

/* The sockets that the supervisor passed (sd_listen_fds(3)); their number, 0 without one. Once: the
 * environment variables are removed. */
int acceptor_inherited(int fds[static ACCEPTOR_INHERITED_MAX]);

#endif
