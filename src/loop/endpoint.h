/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint: where a program listens: "192.0.2.1:9998", "[2001:db8::1]:9998", "*:9998" (both families) or
 * "unix:/path". Numbers only: a listening program asks no DNS.
 */
#ifndef LOOP_ENDPOINT_H
#define LOOP_ENDPOINT_H

#include "base/ip.h"

enum { ENDPOINT_PATH_BYTES = 108, ENDPOINT_TEXT_BYTES = 128 };

enum endpoint_kind { ENDPOINT_TCP, ENDPOINT_UNIX };

struct endpoint {
    enum endpoint_kind kind;
    struct ip ip; /* TCP */
    uint16_t port;
    char path[ENDPOINT_PATH_BYTES]; /* unix; empty when it has no name */
    unsigned mode;                  /* unix: of the socket's file; 0 is 0666 */
};

/* ERR_CONFIG, with the text and what would be right. Pure. */
MUST_CHECK int endpoint_parse(struct slice text, struct endpoint *out, struct err *err);
void endpoint_format(const struct endpoint *endpoint, char out[static ENDPOINT_TEXT_BYTES]);

/* True when only this machine can reach it: loopback, or a unix socket. */
bool endpoint_is_local(const struct endpoint *endpoint);

/* A bound and listening socket in *fd, close-on-exec. A unix socket's file is made with mode 0666 unless the
 * endpoint says otherwise (Postfix's smtpd is another user; the directory guards it); a dead file in its
 * place is removed. ERR_BUSY, ERR_DENIED, ERR_NOT_FOUND (directory), ERR_CONFIG (no such address here). */
MUST_CHECK int endpoint_listen(const struct endpoint *endpoint, int *fd, struct err *err);

/* What a socket is bound to. ERR_CONFIG: no listening stream socket of a known family. */
MUST_CHECK int endpoint_of_fd(int fd, struct endpoint *out, struct err *err);

/* The address of a connected peer; all zero for a unix socket. ERR_IO. */
MUST_CHECK int endpoint_peer(int fd, struct ip *out);

#endif
