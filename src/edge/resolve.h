/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve: a hub's name as addresses. A name service that does not answer may hold getaddrinfo for minutes,
 * so it runs on a thread of its own, which is left to itself when nobody waits any more. All addresses are
 * given, the two families in turn, since a name may have one that leads nowhere.
 */
#ifndef EDGE_RESOLVE_H
#define EDGE_RESOLVE_H

#include "base/err.h"

#include <stddef.h>
#include <sys/socket.h>

enum { RESOLVED_MAX = 8, RESOLVED_BYTES = 96 };

struct resolved {
    size_t n; /* at least 1 after success */
    struct {
        struct sockaddr_storage address;
        socklen_t address_bytes;
        char endpoint[RESOLVED_BYTES]; /* "tcp://192.0.2.1:4000", "tcp://[2001:db8::1]:4000" */
    } to[RESOLVED_MAX];
};

/* Here and now. ERR_CONFIG (no endpoint), ERR_UNAVAILABLE (no address). */
MUST_CHECK int resolve_now(const char *endpoint, struct resolved *out, struct err *err);

struct resolve;

/* done(arg) is called on the thread, at any time until the process ends; it must not block. The endpoint is
 * copied. ERR_NO_MEMORY, ERR_CONFIG. */
MUST_CHECK int resolve_start(struct resolve **out, const char *endpoint, void (*done)(void *arg), void *arg,
                             struct err *err);
/* ERR_MORE: not yet. Otherwise nulls *resolve and answers as resolve_now. */
MUST_CHECK int resolve_take(struct resolve **resolve, struct resolved *out, struct err *err);
void resolve_abandon(struct resolve **resolve); /* nulls *resolve; safe on NULL; never waits */

#endif
