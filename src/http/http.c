/* SPDX-License-Identifier: Apache-2.0
 *
 * http: the server: its listeners, its birth and death. See http.h.
 */
#include "base/clock.h"
#include "base/log.h"
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
    if (!http->closing || http->connections != NULL || http->working > 0 || http->streams > 0 ||
        http->laters > 0)
        return;
    tls_close(&http->tls);
    bell_close(&http->bell, on_bell_closed);
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    connection_accept(arg, acceptor, false);
}

static void on_secure_connection(void *arg, struct acceptor *acceptor)
{
    connection_accept(arg, acceptor, true);
}

static int listen_plain(struct http *http, struct err *err)
{
    int fd = -1;
    struct endpoint endpoint;
    int rc = endpoint_parse(slice_of(http->options.listen), &endpoint, err);
    if (rc == 0 && !endpoint_is_local(&endpoint))
        rc = err_set(
            err, ERR_CONFIG,
            "http '%s' is beyond loopback (it is plain HTTP: choose a loopback address, and https for "
            "what is beyond this machine)",
            http->options.listen);
    if (rc == 0)
        rc = endpoint_listen(&endpoint, &fd, err);
    return rc != 0 ? rc : acceptor_open(&http->acceptor, http->loop, fd, true, on_connection, http, err);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void reload(struct http *http, bool anyway)
{
    bool changed;
    struct err err = {0};
    if (tls_reload(http->tls, anyway, &changed, &err) != 0)
        log_error("https: the certificate stays as it was [%s]", err_detail(&err));
    else if (changed)
        log_info("https: the certificate was read [pin=%s]", tls_pin(http->tls));
}

static void upkeep(void *arg)
{
    struct http *http = arg;
    tls_turn_ticket_keys(http->tls, clock_monotonic_us());
    reload(http, false);
}

void http_reload(struct http *http)
{
    if (http->tls != NULL)
        reload(http, true);
}

const char *http_pin(const struct http *http)
{
    return http->tls != NULL ? tls_pin(http->tls) : "";
}

static int listen_tls(struct http *http, struct err *err)
{
    int fd = -1;
    struct endpoint endpoint;
    int rc = tls_open(&http->tls, http->options.certificate, http->options.key, err);
    if (rc == 0)
        rc = endpoint_parse(slice_of(http->options.listen_tls), &endpoint, err);
    if (rc == 0)
        rc = endpoint_listen(&endpoint, &fd, err);
    if (rc == 0)
        rc = acceptor_open(&http->secure_acceptor, http->loop, fd, true, on_secure_connection, http, err);
    if (rc == 0 && ticker_create(&http->upkeep, http->loop, upkeep, http) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for https");
    if (rc == 0)
        ticker_set(http->upkeep, HTTP_UPKEEP_MS, HTTP_UPKEEP_MS);
    return rc;
}

/* ---- its life -------------------------------------------------------------------------------- */

static bool is_wanted(const char *listen)
{
    return listen != NULL && listen[0] != '\0';
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
                 ? 0
                 : err_set(err, ERR_IO, "the kernel has no random bytes");
    if (rc == 0 && bell_open(&http->bell, loop, exchange_heard) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "no memory for http");
    if (rc != 0) {
        free(http);
        return rc;
    }
    if (is_wanted(options->listen))
        rc = listen_plain(http, err);
    if (rc == 0 && is_wanted(options->listen_tls))
        rc = listen_tls(http, err);
    if (rc != 0)
        http_close(&http);
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
    acceptor_close(&self->secure_acceptor);
    ticker_destroy(&self->upkeep);
    for (struct connection *connection = self->connections; connection != NULL; connection = connection->next)
        connection_end(connection);
    http_free_when_done(self);
}
