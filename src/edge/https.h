/* SPDX-License-Identifier: Apache-2.0
 *
 * https: POSTs to one address over TLS (1.2, mbed TLS, which costs the edge a quarter of the memory that
 * OpenSSL would), one at a time, on a connection that is kept. Nothing here waits: whoever polls its
 * descriptor calls https_step. The server is known by its key's pin, by a certificate authority, or both. One
 * thread.
 */
#ifndef EDGE_HTTPS_H
#define EDGE_HTTPS_H

#include "base/buf.h"
#include "reply.h"

#include <sys/socket.h>

enum {
    HTTPS_HOST_BYTES = 256,
    HTTPS_PORT_BYTES = 8,
    HTTPS_PATH_BYTES = 256,
    HTTPS_PIN_BYTES = 32, /* SHA-256 of the SubjectPublicKeyInfo */
    HTTPS_REPLY_BYTES = 160 * 1024,
    HTTPS_CONNECT_MS = 10000, /* TCP, proxy and TLS */
    HTTPS_POST_MS = 45000,    /* a hub's disk may be slow */
};

/* "https://hub.example:8443/base" → its parts; the port is 443 when left out, the path has no '/' at its end.
 * ERR_CONFIG. */
struct https_url {
    char host[HTTPS_HOST_BYTES], port[HTTPS_PORT_BYTES], path[HTTPS_PATH_BYTES];
};
MUST_CHECK int https_url_parse(const char *text, struct https_url *out, struct err *err);
/* "sha256//" and base64, as curl takes it. ERR_CONFIG. */
MUST_CHECK int https_pin_parse(const char *text, uint8_t pin[HTTPS_PIN_BYTES], struct err *err);

struct https_options {
    struct https_url url;
    const char *path; /* behind the URL's */
    bool pinned;
    uint8_t pin[HTTPS_PIN_BYTES];
    const char *ca_file; /* PEM; "": none */
    bool proxied;        /* the address is that of an HTTP proxy: CONNECT */
    const char *bearer, *type;
};

struct https;

/* The strings outlive it. ERR_NO_MEMORY; ERR_CONFIG: the file of authorities can't be read. */
MUST_CHECK int https_open(struct https **out, const struct https_options *options, struct err *err);
void https_close(struct https **https); /* nulls; safe on NULL */

void https_go_to(struct https *https, const struct sockaddr *address, socklen_t bytes);
bool https_is_idle(const struct https *https); /* takes a POST */
/* body is copied. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_CHECK int https_post(struct https *https, struct slice body, int64_t now_us);

/* What to poll for: -1, or a descriptor and POLLIN or POLLOUT. */
int https_poll(const struct https *https, short *events);
/* ERR_MORE: it goes on; 0: the reply is there, until the next POST; else it is over, with a text that says
 * what to do: ERR_UNAVAILABLE, ERR_DENIED (not the pinned or a certified key), ERR_TIMEOUT, ERR_INVALID,
 * ERR_UNSUPPORTED. ERR_END: there is no POST. */
MUST_CHECK int https_step(struct https *https, int64_t now_us, struct reply *reply, struct slice *body,
                          struct err *err);
/* The pin of the server's key, once TLS stands: to be shown. False: not known. */
bool https_seen_pin(const struct https *https, uint8_t pin[HTTPS_PIN_BYTES]);

#endif
