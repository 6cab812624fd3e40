/* SPDX-License-Identifier: Apache-2.0
 *
 * edges: see edges.h. A chained hash table over tenant and edge id.
 */
#include "edges.h"

#include <stdlib.h>
#include <xxhash.h>

enum { BUCKETS = 4096 };

struct edges {
    struct edge *buckets[BUCKETS];
    size_t count;
};

int edges_create(struct edges **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ERR_NO_MEMORY : 0;
}

static void edges_clear(struct edges *edges)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (edges->buckets[i] != NULL) {
            struct edge *edge = edges->buckets[i];
            edges->buckets[i] = edge->next;
            epochs_fini(&edge->epochs);
            history_destroy(&edge->history);
            free(edge);
        }
    edges->count = 0;
}

void edges_destroy(struct edges **edges)
{
    if (*edges == NULL)
        return;
    edges_clear(*edges);
    free(*edges);
    *edges = NULL;
}

static struct edge **bucket_of(struct edges *edges, uint32_t tenant, struct slice id)
{
    return &edges->buckets[XXH3_64bits_withSeed(id.p, id.n, tenant) % BUCKETS];
}

struct edge *edges_find(struct edges *edges, uint32_t tenant, struct slice id)
{
    for (struct edge *edge = *bucket_of(edges, tenant, id); edge != NULL; edge = edge->next)
        if (edge->tenant == tenant && slice_equal(slice_of(edge->id), id))
            return edge;
    return NULL;
}

struct edge *edges_add(struct edges *edges, uint32_t tenant, struct slice id)
{
    struct edge *edge = edges_find(edges, tenant, id);
    if (edge != NULL)
        return edge;
    if (edges->count == EDGES_MAX || (edge = calloc(1, sizeof *edge)) == NULL)
        return NULL;
    if (slice_to_string(id, edge->id, sizeof edge->id) != 0) {
        free(edge);
        return NULL;
    }
    struct edge **bucket = bucket_of(edges, tenant, id);
    edge->tenant = tenant;
    edge->next = *bucket;
    *bucket = edge;
    edges->count++;
    return edge;
}

bool edges_admit(struct edges *edges, uint32_t tenant, struct slice id)
{
    size_t count = 0;
    if (edges_find(edges, tenant, id) != NULL || edges->count < EDGES_TENANT_MAX)
        return true;
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct edge *edge = edges->buckets[i]; edge != NULL; edge = edge->next)
            count += edge->tenant == tenant;
    return count < EDGES_TENANT_MAX;
}

bool edges_heard(const struct edges *edges, uint32_t tenant)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (const struct edge *edge = edges->buckets[i]; edge != NULL; edge = edge->next)
            if (edge->tenant == tenant && edge->epochs.records > 0)
                return true;
    return false;
}

void edges_each(struct edges *edges, void (*visit)(void *arg, struct edge *edge), void *arg)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct edge *edge = edges->buckets[i]; edge != NULL; edge = edge->next)
            visit(arg, edge);
}

int edges_replay(struct edges *edges, const struct commit *commit)
{
    struct edge *edge = edges_add(edges, commit->tenant, commit->edge);
    if (edge == NULL)
        return edges->count == EDGES_MAX ? ERR_LIMIT : ERR_NO_MEMORY;
    struct epochs_batch batch = {commit->epoch, commit->first_seq, commit->count, commit->hash};
    if (epochs_judge(&edge->epochs, &batch) != EPOCHS_NEW)
        return 0;
    int rc = epochs_reserve(&edge->epochs, &batch.epoch);
    if (rc != 0)
        return rc;
    epochs_begin(&edge->epochs, &batch.epoch, batch.first_seq - 1); /* the journal's oldest is retired */
    epochs_stage(&edge->epochs, &batch);
    epochs_confirm(&edge->epochs);
    return 0;
}

void edges_note(struct edge *edge, int64_t now_us)
{
    struct history_figures figures = {
        .records = edge->epochs.records,
        .gap_records = edge->epochs.gap_records,
        .dropped = edge->figures.dropped,
        .answers = edge->figures.answers,
        .depth = edge->figures.depth,
        .lag_us = edge->figures.lag_us,
        .latency_p99_us = edge->figures.latency_p99_us,
    };
    history_note(&edge->history, &figures, now_us);
}
