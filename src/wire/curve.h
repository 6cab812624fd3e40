/* SPDX-License-Identifier: Apache-2.0
 *
 * curve: ZeroMQ sockets as this project uses them: CURVE keys in files, the limits of the wire on every
 * socket, one context for the process, and the ZAP answer that names a peer by its key (ZMTP CURVE, RFC 26;
 * ZAP, RFC 27 of the ZeroMQ project).
 */
#ifndef WIRE_CURVE_H
#define WIRE_CURVE_H

#include "base/ip.h"

enum {
    CURVE_Z85_BYTES = 41, /* a key as text, with its NUL */
    CURVE_HANDSHAKE_MS = 2000,
    CURVE_HEARTBEAT_MS = 5000,
    CURVE_HEARTBEAT_TIMEOUT_MS = 15000,
};

struct curve_keys {
    char public_key[CURVE_Z85_BYTES];
    char secret_key[CURVE_Z85_BYTES];
};

/* The process's one context, made at first use and never ended (libzmq closes it badly while sockets linger).
 * NULL when there is no memory. Any thread. */
void *curve_context(void);

/* Reads the secret key from path (its only line). Missing: makes a pair, writes path (0600) and path.pub
 * (0644), both whole or not at all. The public key is computed from the secret one. ERR_DENIED (also when
 * others may read the file), ERR_INVALID (no key), ERR_IO, ERR_FULL, ERR_NOT_FOUND (no such directory). */
MUST_CHECK int curve_keys_load(struct curve_keys *out, const char *path, struct err *err);
MUST_CHECK int curve_key_check(const char *z85,
                               struct err *err); /* ERR_INVALID: no public key of 40 characters */

/* "tcp://mail.example:4000", "tcp://[2001:db8::1]:4000" → host and port. ERR_CONFIG. */
enum { CURVE_HOST_BYTES = 256, CURVE_PORT_BYTES = 8 };
MUST_CHECK int curve_endpoint_split(const char *endpoint, char host[CURVE_HOST_BYTES],
                                    char port[CURVE_PORT_BYTES], struct err *err);

/* A ROUTER that speaks CURVE only, accepts peers by ZAP only, and holds the limits; not yet bound. */
MUST_CHECK int curve_server(void **socket, const struct curve_keys *keys, int high_water, struct err *err);
/* A DEALER likewise; it never reconnects by itself. endpoint is only looked at: with
 * brackets it is IPv6. Names have one family then, so give an address. */
MUST_CHECK int curve_client(void **socket, const struct curve_keys *keys, const char *server_key,
                            const char *endpoint, int high_water, struct err *err);

/* Binds or connects; a clear line when that fails. ERR_BUSY (address in use), ERR_DENIED, ERR_INVALID. */
MUST_CHECK int curve_bind(void *socket, const char *endpoint, struct err *err);
MUST_CHECK int curve_connect(void *socket, const char *endpoint, struct err *err);

/* The REP socket on which libzmq asks who may come in; bind it before any server socket. One a process. */
MUST_CHECK int curve_zap_open(void **zap, struct err *err);
void curve_zap_close(void **zap);
/* Answers one request if there is one: every CURVE key from an address that `admit` lets in (the API key
 * decides later) becomes the connection's User-Id; everything else is refused. admit NULL: from anywhere.
 * False when there was none. */
bool curve_zap_answer(void *zap, bool (*admit)(void *arg, const struct ip *address), void *arg);

/* What libzmq knows of the peer that sent this message (a zmq_msg_t; the payload frame, not the identity). */
MUST_CHECK int curve_peer(void *message, struct ip *address, char key[CURVE_Z85_BYTES]);

/* Connection events of a client socket (zmq_socket_monitor). */
enum curve_event { CURVE_NONE, CURVE_CONNECTED, CURVE_READY, CURVE_HANDSHAKE_FAILED, CURVE_CLOSED };
MUST_CHECK int curve_monitor_open(void **monitor, void *socket, struct err *err);
void curve_monitor_close(void **monitor, void *socket);
enum curve_event curve_monitor_next(void *monitor); /* CURVE_NONE: nothing at present */

#endif
