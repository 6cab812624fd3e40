/* SPDX-License-Identifier: Apache-2.0
 *
 * session: see session.h. A chained hash table and a list in order of opening.
 */
#include "session.h"

#include <sodium.h>
#include <stdlib.h>
#include <xxhash.h>

enum { BUCKETS = 4096 };

struct sessions {
    struct session *buckets[BUCKETS];
    struct session *oldest, *newest;
    size_t count, max;
};

int sessions_create(struct sessions **out, uint32_t max)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (*out)->max = max;
    return 0;
}

void sessions_destroy(struct sessions **sessions)
{
    if (*sessions == NULL)
        return;
    while ((*sessions)->oldest != NULL)
        sessions_close(*sessions, (*sessions)->oldest);
    free(*sessions);
    *sessions = NULL;
}

size_t sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

static struct session **bucket_of(struct sessions *sessions, const struct route *route)
{
    return &sessions->buckets[XXH3_64bits_withSeed(route->id, route->bytes, route->socket) % BUCKETS];
}

static bool same_route(const struct route *a, const struct route *b)
{
    return a->socket == b->socket && a->bytes == b->bytes && memcmp(a->id, b->id, a->bytes) == 0;
}

struct session *sessions_find(struct sessions *sessions, const struct route *route)
{
    struct session *session = *bucket_of(sessions, route);
    while (session != NULL && !same_route(&session->route, route))
        session = session->next;
    return session;
}

int sessions_open(struct sessions *sessions, const struct route *route, struct session **out)
{
    if (sessions->count >= sessions->max)
        return ERR_BUSY;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NO_MEMORY;
    session->route = *route;
    struct session **bucket = bucket_of(sessions, route);
    session->next = *bucket;
    *bucket = session;
    session->older = sessions->newest;
    if (sessions->newest != NULL)
        sessions->newest->newer = session;
    else
        sessions->oldest = session;
    sessions->newest = session;
    sessions->count++;
    *out = session;
    return 0;
}

void sessions_close(struct sessions *sessions, struct session *session)
{
    struct session **at = bucket_of(sessions, &session->route);
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    *(session->older != NULL ? &session->older->newer : &sessions->oldest) = session->newer;
    *(session->newer != NULL ? &session->newer->older : &sessions->newest) = session->older;
    if (session->edge != NULL && session->edge->session == session)
        session->edge->session = NULL;
    sessions->count--;
    sodium_memzero(session, sizeof *session);
    free(session);
}

struct session *sessions_oldest(struct sessions *sessions)
{
    return sessions->oldest;
}
