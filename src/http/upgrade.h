/* SPDX-License-Identifier: Apache-2.0
 *
 * upgrade: the opening handshake of a WebSocket (RFC 6455, 4.2), the server's side. Pure.
 */
#ifndef HTTP_UPGRADE_H
#define HTTP_UPGRADE_H

#include "request_head.h"

enum { UPGRADE_ACCEPT_BYTES = 29 /* of the base64 of a SHA-1, with its NUL */ };

/* 0: it asks for a WebSocket as it should, and accept has the answer to its key; or the status to refuse it
 * with (400, 426) and why. Extensions and subprotocols that it offers are not taken. */
MUST_CHECK int upgrade_check(const struct http_head *head, char accept[static UPGRADE_ACCEPT_BYTES],
                             const char **why);

#endif
