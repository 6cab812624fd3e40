/* SPDX-License-Identifier: Apache-2.0
 *
 * edges_json: what people are shown of the edges (edges.h).
 */
#include "edges.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdlib.h>

struct listing {
    json_t *array;
    uint32_t tenant;
    int64_t now_us;
    int rc;
};

static int set_u64(json_t *object, const char *name, uint64_t value)
{
    return json_object_set_new(object, name, json_integer((json_int_t)value));
}

static int set_time(json_t *object, const char *name, int64_t ts_us)
{
    char text[CLOCK_TEXT_BYTES];
    if (ts_us == 0)
        return json_object_set_new(object, name, json_null());
    clock_format(ts_us, text);
    return json_object_set_new(object, name, json_string(text));
}

static const struct epochs_item *latest(const struct edge *edge)
{
    const struct epochs_item *item = NULL;
    for (size_t i = 0; i < edge->epochs.count; i++)
        if (item == NULL || edge->epochs.items[i].used > item->used)
            item = &edge->epochs.items[i];
    return item;
}

static int set_progress(json_t *object, const struct edge *edge)
{
    char text[2 * JOURNAL_EPOCH_BYTES + 1] = "";
    const struct epochs_item *item = latest(edge);
    if (item != NULL)
        text_to_hex(item->epoch.b, sizeof item->epoch.b, text);
    int rc = json_object_set_new(object, "epoch", item != NULL ? json_string(text) : json_null());
    rc |= set_u64(object, "last_seq", item != NULL ? item->last : 0);
    rc |= set_u64(object, "records", edge->epochs.records);
    rc |= set_u64(object, "gaps", edge->epochs.gaps);
    rc |= set_u64(object, "gap_records", edge->epochs.gap_records);
    return rc;
}

/* They are as of when the edge sent them: what it never sent is null, not 0. */
static int set_figures(json_t *object, const struct edge *edge)
{
    int rc = set_time(object, "as_of", edge->figures_us);
#define X(name)                                                                                              \
    rc |= edge->figures_us != 0 ? set_u64(object, #name, edge->figures.name)                                 \
                                : json_object_set_new(object, #name, json_null());
    FRAME_FIGURES(X)
#undef X
    return rc;
}

/* How it was heard last; null: not since the hub's start. */
static json_t *transport_of(const struct edge *edge)
{
    static const char *const names[] = {
        [EDGE_BY_ZMQ] = "zmq", [EDGE_BY_HTTPS] = "https", [EDGE_BY_LINES] = "lines"};
    return edge->seen_us != 0 ? json_string(names[edge->transport]) : json_null();
}

static json_t *edge_object(const struct edge *edge, int64_t now_us)
{
    char address[IP_TEXT_BYTES] = "";
    bool connected = edge->session != NULL && now_us - edge->seen_us <= EDGES_SILENT_US;
    json_t *object = json_object();
    if (edge->seen_us != 0)
        ip_format(&edge->peer, address);
    int rc = json_object_set_new(object, "id", json_string(edge->id));
    rc |= set_u64(object, "tenant", edge->tenant);
    rc |= json_object_set_new(object, "connected", json_boolean(connected));
    rc |= set_time(object, "gone_since", connected ? 0 : edge->seen_us);
    rc |= json_object_set_new(object, "run_twice", json_boolean(edge->run_twice));
    rc |= json_object_set_new(object, "host", json_string(edge->host));
    rc |= json_object_set_new(object, "version", json_string(edge->software));
    rc |= json_object_set_new(object, "address", json_string(address));
    rc |= json_object_set_new(object, "transport", transport_of(edge));
    rc |= set_time(object, "last_seen", edge->seen_us);
    rc |= json_object_set_new(object, "clock_offset_us", json_integer(edge->clock_offset_us));
    rc |= set_progress(object, edge);
    rc |= set_figures(object, edge);
    if (rc == 0)
        return object;
    json_decref(object);
    return NULL;
}

static void list(void *arg, struct edge *edge)
{
    struct listing *listing = arg;
    if (listing->tenant != 0 && edge->tenant != listing->tenant)
        return;
    if (json_array_append_new(listing->array, edge_object(edge, listing->now_us)) != 0)
        listing->rc = ERR_NO_MEMORY;
}

static int append(const char *bytes, size_t n, void *arg)
{
    return buf_add(arg, bytes, n);
}

int edges_json(struct edges *edges, uint32_t tenant, int64_t now_us, struct buf *json)
{
    struct listing listing = {.array = json_array(), .tenant = tenant, .now_us = now_us};
    if (listing.array == NULL)
        return ERR_NO_MEMORY;
    edges_each(edges, list, &listing);
    if (listing.rc == 0 && json_dump_callback(listing.array, append, json, JSON_COMPACT) != 0)
        listing.rc = ERR_LIMIT;
    json_decref(listing.array);
    return listing.rc;
}

static int write_minute(const struct history_minute *minute, const char *before, struct buf *json)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format(minute->minute * 60 * US_PER_SECOND, time);
    int rc = buf_addf(json, "%s{\"time\":\"%s\"", before, time);
#define X(name)                                                                                              \
    if (rc == 0)                                                                                             \
        rc = buf_addf(json, ",\"" #name "\":%u", minute->name);
    HISTORY_COUNTERS(X)
    HISTORY_LEVELS(X)
#undef X
    return rc != 0 ? rc : buf_add(json, "}", 1);
}

int edges_history_json(struct edges *edges, uint32_t tenant, struct slice id, struct buf *json)
{
    struct history_minute minute;
    const struct edge *edge = edges_find(edges, tenant, id);
    if (edge == NULL)
        return ERR_NOT_FOUND;
    int rc = buf_add(json, "[", 1);
    for (size_t i = 0; rc == 0 && history_get(edge->history, i, &minute); i++)
        rc = write_minute(&minute, i > 0 ? "," : "", json);
    return rc != 0 ? rc : buf_add(json, "]", 1);
}
