/* SPDX-License-Identifier: Apache-2.0
 *
 * erasures: see erasures.h. Items are sorted by tenant and address, so that an event costs a few binary
 * searches; only what it has in extra is searched for each address of its tenant.
 */
#include "erasures.h"

#include "account/tombstone.h"
#include "base/buf.h"

#include <stdlib.h>

enum { ADDRESSES_BYTES = 512 * 1024 * 1024, JSON_ADDRESS_BYTES = 2 * TOMBSTONE_ADDRESS_BYTES };

/* The items of one tenant. */
struct group {
    uint32_t tenant;
    size_t first, count;
    int64_t latest_us;
};

struct erasures {
    struct erasure *items;
    size_t count, capacity;
    struct group *groups;
    size_t group_count, group_capacity;
    struct buf texts; /* offsets until all are there, as it moves */
    struct buf lower; /* of the text being searched */
};

static int grow(void **p, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return 0;
    size_t more = *capacity != 0 ? *capacity * 2 : 16;
    void *grown = realloc(*p, more * size);
    if (grown == NULL)
        return ERR_NO_MEMORY;
    *p = grown;
    *capacity = more;
    return 0;
}

static int take(void *arg, const struct account_tombstone *tombstone)
{
    struct erasures *e = arg;
    struct group *last = e->group_count > 0 ? &e->groups[e->group_count - 1] : NULL;
    int rc = grow((void **)&e->items, &e->capacity, e->count, sizeof *e->items);
    if (rc == 0)
        rc = grow((void **)&e->groups, &e->group_capacity, e->group_count, sizeof *e->groups);
    if (rc == 0)
        rc = buf_add_slice(&e->texts, slice_of(tombstone->address));
    if (rc != 0)
        return rc;
    last = e->group_count > 0 ? &e->groups[e->group_count - 1] : NULL;
    if (last == NULL || last->tenant != tombstone->tenant) {
        last = &e->groups[e->group_count++];
        *last = (struct group){.tenant = tombstone->tenant, .first = e->count, .latest_us = INT64_MIN};
    }
    last->count++;
    if (tombstone->before_us > last->latest_us)
        last->latest_us = tombstone->before_us;
    e->items[e->count++] =
        (struct erasure){tombstone->tenant, {NULL, strlen(tombstone->address)}, tombstone->before_us};
    return 0;
}

int erasures_load(struct erasures **out, struct account *a, uint32_t tenant, struct err *err)
{
    struct erasures *e = calloc(1, sizeof *e);
    *out = NULL;
    if (e == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the tombstones");
    buf_init(&e->texts, ADDRESSES_BYTES);
    buf_init(&e->lower, SIZE_MAX);
    int rc = account_tombstone_list(a, tenant, take, e, err);
    if (rc == ERR_NO_MEMORY || rc == ERR_LIMIT)
        (void)err_set(err, rc, "no memory for the tombstones");
    if (rc != 0) {
        erasures_destroy(&e);
        return rc;
    }
    const char *text = e->texts.p;
    for (size_t i = 0; i < e->count; i++) {
        e->items[i].address.p = text;
        if (text != NULL)
            text += e->items[i].address.n;
    }
    *out = e;
    return 0;
}

void erasures_destroy(struct erasures **erasures)
{
    struct erasures *e = *erasures;
    if (e == NULL)
        return;
    free(e->items);
    free(e->groups);
    buf_fini(&e->texts);
    buf_fini(&e->lower);
    free(e);
    *erasures = NULL;
}

const struct erasure *erasures_list(const struct erasures *erasures, size_t *count)
{
    *count = erasures->count;
    return erasures->items;
}

static const struct group *group_of(const struct erasures *e, uint32_t tenant)
{
    size_t low = 0, high = e->group_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->groups[middle].tenant < tenant)
            low = middle + 1;
        else
            high = middle;
    }
    return low < e->group_count && e->groups[low].tenant == tenant ? &e->groups[low] : NULL;
}

bool erasures_concern(const struct erasures *e, uint32_t tenant, int64_t hub_ts)
{
    const struct group *group = group_of(e, tenant);
    return group != NULL && hub_ts < group->latest_us;
}

/* s in lower case; without memory for it, as it is. */
static struct slice lowered(struct erasures *e, struct slice s)
{
    buf_clear(&e->lower);
    if (s.n == 0 || buf_reserve(&e->lower, s.n) != 0)
        return s;
    text_lower(s, e->lower.p);
    return (struct slice){e->lower.p, s.n};
}

/* In the order of SQLite's BINARY. */
static int compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : a.n < b.n ? -1 : a.n > b.n;
}

static bool names(struct erasures *e, const struct group *group, struct slice field, int64_t hub_ts)
{
    size_t low = group->first, high = group->first + group->count;
    if (field.n == 0)
        return false;
    struct slice address = lowered(e, field);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(e->items[middle].address, address) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < group->first + group->count && slice_equal(e->items[low].address, address) &&
           hub_ts < e->items[low].before_us;
}

/* As JSON writes it. */
static struct slice in_json(struct slice address, char out[JSON_ADDRESS_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < address.n && n + 2 < JSON_ADDRESS_BYTES; i++) {
        if (address.p[i] == '"' || address.p[i] == '\\')
            out[n++] = '\\';
        out[n++] = address.p[i];
    }
    return (struct slice){out, n};
}

static bool stands_in(struct erasures *e, const struct group *group, struct slice text, bool json,
                      int64_t hub_ts)
{
    char escaped[JSON_ADDRESS_BYTES];
    if (text.n == 0)
        return false;
    struct slice lower = lowered(e, text);
    for (size_t i = group->first; i < group->first + group->count; i++) {
        const struct erasure *item = &e->items[i];
        struct slice address = json ? in_json(item->address, escaped) : item->address;
        if (hub_ts < item->before_us && address.n > 0 &&
            memmem(lower.p, lower.n, address.p, address.n) != NULL)
            return true;
    }
    return false;
}

static bool is_whole(const struct erasures *e, const struct group *group, int64_t hub_ts)
{
    const struct erasure *first = &e->items[group->first]; /* the empty address comes first */
    return first->address.n == 0 && hub_ts < first->before_us;
}

bool erasures_cover(struct erasures *e, const struct event *event)
{
    const struct group *group = group_of(e, event->tenant);
    int64_t hub_ts = event->hub_ts;
    if (group == NULL || hub_ts >= group->latest_us)
        return false;
    return is_whole(e, group, hub_ts) || names(e, group, event->sender, hub_ts) ||
           names(e, group, event->recipient, hub_ts) || names(e, group, event->sasl_username, hub_ts) ||
           names(e, group, event->sasl_sender, hub_ts) || stands_in(e, group, event->extra, true, hub_ts);
}

bool erasures_cover_bytes(struct erasures *e, uint32_t tenant, int64_t hub_ts, struct slice bytes)
{
    const struct group *group = group_of(e, tenant);
    return group != NULL && hub_ts < group->latest_us &&
           (is_whole(e, group, hub_ts) || stands_in(e, group, bytes, false, hub_ts));
}
