/* SPDX-License-Identifier: Apache-2.0
 *
 * session: connections that greeted and were welcomed, found by their routing id; at most one for each edge.
 * One thread.
 */
#ifndef HUB_SESSION_H
#define HUB_SESSION_H

#include "edges.h"
#include "wire/curve.h"

enum { SESSION_ROUTE_BYTES = 255, ROUTE_HTTPS = 255 };

/* Where an answer goes: which socket, and libzmq's name of the connection on it; or ROUTE_HTTPS and the name
 * of an edge's link, of whose parcels one at a time is here (post.h). */
struct route {
    uint8_t socket, bytes;
    uint8_t id[SESSION_ROUTE_BYTES];
};

struct session {
    struct session *next;          /* in its bucket */
    struct session *newer, *older; /* in order of opening */
    struct route route;
    struct edge *edge;
    uint32_t tenant, greeting;
    struct ip peer;
    uint8_t api_key_bytes;
    char api_key[FRAME_KEY_BYTES]; /* to be checked again when the control data changes */
    int64_t heard_us;              /* monotonic */
    uint64_t checked;              /* generation of the control data that it was checked against */
};

struct sessions;

MUST_CHECK int sessions_create(struct sessions **out, uint32_t max);
void sessions_destroy(struct sessions **sessions);
size_t sessions_count(const struct sessions *sessions);

struct session *sessions_find(struct sessions *sessions, const struct route *route); /* NULL: none */
/* Opens a session (zeroed but for its route); there is none of that route. ERR_BUSY: max, ERR_NO_MEMORY. */
MUST_CHECK int sessions_open(struct sessions *sessions, const struct route *route, struct session **out);
/* Ends it: takes it off its edge, wipes the key, frees. */
void sessions_close(struct sessions *sessions, struct session *session);
struct session *sessions_oldest(struct sessions *sessions); /* then session->newer */

#endif
