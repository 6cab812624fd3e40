/* SPDX-License-Identifier: Apache-2.0
 *
 * conn: accept and close. See conn.h.
 */
#include "conn.h"

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    conn->closed(conn);
}

int conn_accept(struct conn *conn, struct acceptor *acceptor, void (*closed)(struct conn *conn))
{
    uv_loop_t *loop = acceptor_stream(acceptor)->loop;
    bool local = acceptor_endpoint(acceptor)->kind == ENDPOINT_UNIX;
    if (local)
        (void)uv_pipe_init(loop, &conn->handle.pipe, 0);
    else
        (void)uv_tcp_init(loop, &conn->handle.tcp);
    conn->handle.any.data = conn;
    conn->closed = closed;
    if (uv_accept(acceptor_stream(acceptor), &conn->handle.stream) != 0 ||
        uv_fileno(&conn->handle.any, &conn->fd) != 0 || endpoint_peer(conn->fd, &conn->peer) != 0) {
        conn_close(conn);
        return ERR_IO;
    }
    if (!local)
        (void)uv_tcp_nodelay(&conn->handle.tcp, 1);
    return 0;
}

void conn_close(struct conn *conn)
{
    if (!conn_is_closing(conn))
        uv_close(&conn->handle.any, on_closed);
}
