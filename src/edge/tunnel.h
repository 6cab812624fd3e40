/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel: a way to the hub through OpenSSH's client, kept up as a child: from a socket of our own, beside the
 * spool, to the hub's port as seen from a machine that lets us in by key. It asks nobody anything
 * (BatchMode), believes no host that isn't in its own file of known hosts, and ends with the thread that runs
 * it, however that ends (PR_SET_PDEATHSIG). One thread.
 */
#ifndef EDGE_TUNNEL_H
#define EDGE_TUNNEL_H

#include "base/err.h"

#include <stdint.h>

enum { TUNNEL_PATH_BYTES = 1024, TUNNEL_TEXT_BYTES = 320, TUNNEL_SOCKET_BYTES = 104 };
#define TUNNEL_BACKOFF_MIN_US INT64_C(500000)
#define TUNNEL_BACKOFF_MAX_US INT64_C(30000000)

struct tunnel_options {
    const char *via;         /* USER@HOST or USER@HOST:PORT */
    const char *key_file;    /* made at first use, with its .pub */
    const char *known_hosts; /* the host's line is in it */
    const char *socket;      /* made by the child; the directory is ours alone */
    const char *to_host, *to_port;
};

struct tunnel;

/* Copies the strings. ERR_CONFIG: what can't be; ERR_NO_MEMORY. Nothing runs yet. */
MUST_CHECK int tunnel_open(struct tunnel **out, const struct tunnel_options *options, struct err *err);
void tunnel_close(struct tunnel **tunnel); /* ends the child; nulls; safe on NULL */

/* Makes the key when there is none (may take a second). public_key gets its line for authorized_keys
 * (TUNNEL_TEXT_BYTES). ERR_NOT_FOUND: ssh-keygen isn't installed; ERR_DENIED, ERR_IO. */
MUST_CHECK int tunnel_make_key(const struct tunnel *tunnel, char *public_key, struct err *err);

/* Starts the child, looks after it, starts it again with back-off. True: it is up. */
bool tunnel_step(struct tunnel *tunnel, int64_t now_us);
bool tunnel_is_up(const struct tunnel *tunnel);
const char *tunnel_endpoint(const struct tunnel *tunnel); /* "ipc://…" */
/* Why it isn't up: the child's last words, or ours; with what to do. */
const char *tunnel_why(const struct tunnel *tunnel);

#endif
