/* SPDX-License-Identifier: Apache-2.0
 *
 * http: the server: its listener, its birth and death. See http.h.
 */
#include "inside.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

static void on_bell_closed(struct bell *bell)
{
    free((char *)bell - offsetof(struct http, bell));
}

void http_free_when_done(struct http *http)
{
    if (http->closing && http->connections == NULL && http->working == 0 && http->streams == 0 &&
        http->laters == 0)
        bell_close(&http->bell, on_bell_closed);
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    connection_accept(arg, acceptor);
}

static int listen_at(struct http *http, struct err *err)
{
    int fd = -1;
    struct endpoint endpoint;
    int rc = endpoint_parse(slice_of(http->options.listen), &endpoint, err);
    if (rc == 0 && !endpoint_is_local(&endpoint))
        rc = err_set(
            err, ERR_CONFIG,
            "http '%s' is beyond loopback (choose a loopback address and put a proxy with TLS before it: "
            "it is plain HTTP)",
            http->options.listen);
    if (rc == 0)
        rc = endpoint_listen(&endpoint, &fd, err);
    return rc != 0 ? rc : acceptor_open(&http->acceptor, http->loop, fd, true, on_connection, http, err);
}

int http_open(struct http **out, uv_loop_t *loop, const struct http_options *options, struct err *err)
{
    struct http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for http");
    http->loop = loop;
    http->options = *options;
    http->counters = options->counters;
    http->last = &http->first;
    int rc = getrandom(&http->id_seed, sizeof http->id_seed, 0) == sizeof http->id_seed
                 ? listen_at(http, err)
                 : err_set(err, ERR_IO, "the kernel has no random bytes");
    if (rc == 0 && (rc = bell_open(&http->bell, loop, exchange_heard)) != 0) {
        acceptor_close(&http->acceptor);
        (void)err_set(err, rc, "no memory for http");
    }
    if (rc != 0)
        free(http);
    else
        *out = http;
    return rc;
}

void http_close(struct http **http)
{
    struct http *self = *http;
    *http = NULL;
    if (self == NULL)
        return;
    self->closing = true;
    acceptor_close(&self->acceptor);
    for (struct connection *connection = self->connections; connection != NULL; connection = connection->next)
        connection_end(connection);
    http_free_when_done(self);
}

const struct endpoint *http_endpoint(const struct http *http)
{
    return acceptor_endpoint(http->acceptor);
}
