/* SPDX-License-Identifier: Apache-2.0
 *
 * allow: the client networks that may ask. Loopback and unix sockets always may. Immutable once made; replace
 * it to change it. Any thread.
 */
#ifndef EDGE_ALLOW_H
#define EDGE_ALLOW_H

#include "base/ip.h"

enum { ALLOW_NETWORKS = 1024 };

struct allow;

/* text: comma-separated prefixes, may be empty. ERR_CONFIG, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int allow_create(struct allow **out, struct slice text, struct err *err);
void allow_destroy(struct allow **allow); /* nulls *allow; safe on NULL */

/* peer is all zero for a unix socket. */
bool allow_contains(const struct allow *allow, const struct ip *peer);
bool allow_is_empty(const struct allow *allow);

#endif
