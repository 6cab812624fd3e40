/* SPDX-License-Identifier: Apache-2.0
 *
 * edges: every edge that ever delivered or greeted, by tenant and edge id: how far it has come (epochs.h),
 * and how it was doing when it was last heard. The first half survives a restart (a snapshot file, and the
 * hub's journal behind it), the second is told anew by each HELLO. One thread.
 */
#ifndef HUB_EDGES_H
#define HUB_EDGES_H

#include "epochs.h"
#include "history.h"
#include "wire/frame.h"

enum {
    EDGES_MAX = 65536,
    EDGES_TENANT_MAX = 4096, /* of one tenant, so that none takes all places */
};
#define EDGES_SILENT_US                                                                                      \
    (INT64_C(60) * 1000000) /* who is silent for longer is shown as gone: six keepalives */

enum edge_transport { EDGE_BY_ZMQ, EDGE_BY_HTTPS, EDGE_BY_LINES }; /* lines: a program, no policy-proxy */

struct session;

struct edge {
    struct edge *next; /* in its bucket */
    uint32_t tenant;
    char id[BATCH_EDGE_BYTES + 1];
    struct epochs epochs;
    struct history *history; /* NULL: nothing yet */
    /* not in the snapshot: */
    struct session *session;                                             /* the live one, or NULL */
    char host[FRAME_HOST_BYTES + 1], software[FRAME_SOFTWARE_BYTES + 1]; /* UTF-8 */
    struct ip peer;
    enum edge_transport transport;
    struct epoch present, before; /* of the last two processes that greeted */
    int64_t seen_us;              /* hub's clock; 0: not since the hub's start */
    int64_t clock_offset_us;
    int64_t figures_us; /* hub's clock: when it sent them; 0: not since the hub's start */
    struct frame_figures figures;
    bool run_twice; /* two processes greet in turns */
};

struct edges;

MUST_CHECK int edges_create(struct edges **out);
void edges_destroy(struct edges **edges);

struct edge *edges_find(struct edges *edges, uint32_t tenant, struct slice id); /* NULL: not known */
/* Finds or adds; NULL: EDGES_MAX or no memory. */
struct edge *edges_add(struct edges *edges, uint32_t tenant, struct slice id);
/* Is it known, or has its tenant room for another? */
bool edges_admit(struct edges *edges, uint32_t tenant, struct slice id);
/* Is there a record of the tenant's, of whatever edge? */
bool edges_heard(const struct edges *edges, uint32_t tenant);
/* Every edge, in no order. */
void edges_each(struct edges *edges, void (*visit)(void *arg, struct edge *edge), void *arg);

/* Counts a batch that the journal holds; what is known already changes nothing. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int edges_replay(struct edges *edges, const struct commit *commit);

/* The snapshot, written whole or not at all, fsynced; pos is where the journal goes on behind it. ERR_IO,
 * ERR_FULL, ERR_DENIED. */
MUST_CHECK int edges_save(struct edges *edges, const char *path, struct journal_pos pos, struct err *err);
/* Fills an empty table. ERR_NOT_FOUND; ERR_CORRUPT (no progress is left in it then). */
MUST_CHECK int edges_load(struct edges *edges, const char *path, struct journal_pos *pos, struct err *err);

/* The edge's figures are fresh: they go into its history. now_us: real time. */
void edges_note(struct edge *edge, int64_t now_us);
/* JSON array of an edge's minutes, the oldest first, as receive.h says. ERR_NOT_FOUND, ERR_LIMIT. */
MUST_CHECK int edges_history_json(struct edges *edges, uint32_t tenant, struct slice id, struct buf *json);

/* JSON array of the tenant's edges (0: all), as receive.h says. now_us: real time. */
MUST_CHECK int edges_json(struct edges *edges, uint32_t tenant, int64_t now_us, struct buf *json);

#endif
