/* SPDX-License-Identifier: Apache-2.0
 *
 * conn: the part that every accepted connection shares: its handle, its peer, its two deaths. Embed it as the
 * first member; conn_close() detaches, the close callback `closed` frees the owner, and nothing else does.
 * Loop thread.
 */
#ifndef LOOP_CONN_H
#define LOOP_CONN_H

#include "acceptor.h"

struct conn {
    union {
        uv_handle_t any; /* any.data points back to the conn */
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    int fd;         /* the handle's, until it is closed */
    struct ip peer; /* all zero for a unix socket */
    void (*closed)(struct conn *conn);
};

/* Accepts what waits at the acceptor. On ERR_IO the conn is already being closed: `closed` will be called,
 * the caller only returns. */
MUST_CHECK int conn_accept(struct conn *conn, struct acceptor *acceptor, void (*closed)(struct conn *conn));

/* Once or more often; no callback but `closed` comes afterwards. */
void conn_close(struct conn *conn);

static inline bool conn_is_closing(const struct conn *conn)
{
    return uv_is_closing(&conn->handle.any) != 0;
}

#endif
