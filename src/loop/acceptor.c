/* SPDX-License-Identifier: Apache-2.0
 *
 * acceptor: a uv_tcp_t or uv_pipe_t around a listening descriptor. See acceptor.h.
 */
#include "acceptor.h"

#include "notify.h"

#include <stdlib.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

union stream {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct acceptor {
    union stream handle;
    union stream away; /* the connection that is being turned away */
    bool turning_away, more_to_turn_away;
    struct endpoint endpoint;
    acceptor_call call; /* NULL once closed */
    void *arg;
    bool unlink_at_close, closed;
};

static void on_connection(uv_stream_t *stream, int status)
{
    struct acceptor *acceptor = stream->data;
    if (status == 0 && acceptor->call != NULL)
        acceptor->call(acceptor->arg, acceptor);
}

static void free_when_done(struct acceptor *acceptor)
{
    if (acceptor->closed && !acceptor->turning_away)
        free(acceptor);
}

static void on_closed(uv_handle_t *handle)
{
    struct acceptor *acceptor = handle->data;
    acceptor->closed = true;
    free_when_done(acceptor);
}

static void on_turned_away(uv_handle_t *handle)
{
    struct acceptor *acceptor = handle->data;
    bool more = acceptor->more_to_turn_away && acceptor->call != NULL;
    acceptor->turning_away = acceptor->more_to_turn_away = false;
    if (more)
        acceptor_turn_away(acceptor);
    free_when_done(acceptor);
}

/* libuv listens no more until the connection that it announced is accepted. */
void acceptor_turn_away(struct acceptor *acceptor)
{
    if (acceptor->turning_away) {
        acceptor->more_to_turn_away = true;
        return;
    }
    acceptor->turning_away = true;
    if (acceptor->endpoint.kind == ENDPOINT_UNIX)
        (void)uv_pipe_init(acceptor->handle.any.loop, &acceptor->away.pipe, 0);
    else
        (void)uv_tcp_init(acceptor->handle.any.loop, &acceptor->away.tcp);
    acceptor->away.any.data = acceptor;
    (void)uv_accept(&acceptor->handle.stream, &acceptor->away.stream);
    uv_close(&acceptor->away.any, on_turned_away);
}

static int attach(struct acceptor *acceptor, uv_loop_t *loop, int fd)
{
    if (acceptor->endpoint.kind == ENDPOINT_UNIX) {
        (void)uv_pipe_init(loop, &acceptor->handle.pipe, 0);
        return uv_pipe_open(&acceptor->handle.pipe, fd);
    }
    (void)uv_tcp_init(loop, &acceptor->handle.tcp);
    return uv_tcp_open(&acceptor->handle.tcp, fd);
}

int acceptor_open(struct acceptor **out, uv_loop_t *loop, int fd, bool unlink_at_close, acceptor_call call,
                  void *arg, struct err *err)
{
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    int rc = acceptor == NULL ? err_set(err, ERR_NO_MEMORY, "no memory for a listening socket")
                              : endpoint_of_fd(fd, &acceptor->endpoint, err);
    if (rc != 0) {
        close(fd);
        free(acceptor);
        return rc;
    }
    acceptor->call = call;
    acceptor->arg = arg;
    acceptor->unlink_at_close = unlink_at_close;
    int status = attach(acceptor, loop, fd);
    acceptor->handle.any.data = acceptor;
    if (status != 0)
        close(fd);
    else
        status = uv_listen(&acceptor->handle.stream, BACKLOG, on_connection);
    if (status != 0) {
        acceptor_close(&acceptor);
        return err_set(err, ERR_IO, "descriptor %d cannot be listened on: %s", fd, uv_strerror(status));
    }
    *out = acceptor;
    return 0;
}

void acceptor_close(struct acceptor **acceptor)
{
    struct acceptor *self = *acceptor;
    *acceptor = NULL;
    if (self == NULL)
        return;
    self->call = NULL;
    if (self->unlink_at_close && self->endpoint.kind == ENDPOINT_UNIX)
        (void)unlink(self->endpoint.path);
    uv_close(&self->handle.any, on_closed);
}

const struct endpoint *acceptor_endpoint(const struct acceptor *acceptor)
{
    return &acceptor->endpoint;
}

uv_stream_t *acceptor_stream(struct acceptor *acceptor)
{
    return &acceptor->handle.stream;
}

int acceptor_inherited(int fds[static ACCEPTOR_INHERITED_MAX])
{
    int n = notify_sockets(ACCEPTOR_INHERITED_MAX);
    for (int i = 0; i < n; i++)
        fds[i] = NOTIFY_FIRST_SOCKET + i;
    return n;
}
