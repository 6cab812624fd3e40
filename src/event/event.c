/* SPDX-License-Identifier: Apache-2.0
 *
 * event: the tables of event.h (columns, stages, directions) and the identity of a message.
 */
#include "event.h"

#include <assert.h>
#include <xxhash.h>

const struct column_info event_columns[COLUMN_END] = {
#define NEVER    false
#define NULLABLE true
#define COLUMN(name, type, absent, source, doc)                                                              \
    [COLUMN_##name] = {#name, TYPE_##type, absent, source, doc, offsetof(struct event, name), COLUMN_##name},
#include "columns.def"
#undef COLUMN
#define DERIVED(name, type, absent, of, doc)                                                                 \
    [COLUMN_##name] = {#name, TYPE_##type, absent, #of, doc, offsetof(struct event, of), COLUMN_##of},
#include "derived.def"
#undef DERIVED
#undef NEVER
#undef NULLABLE
};

#define X(name, text) [STAGE_##name] = {text, sizeof text - 1},
static const struct slice stage_names[STAGE_COUNT] = {EVENT_STAGES(X)};
#undef X
#define X(name, text) [DIRECTION_##name] = {text, sizeof text - 1},
static const struct slice direction_names[DIRECTION_COUNT] = {EVENT_DIRECTIONS(X)};
#undef X

int event_column(struct slice name, enum column *out)
{
    for (unsigned column = 0; column < COLUMN_END; column++)
        if (event_column_is(column) && slice_equal(name, slice_of(event_columns[column].name))) {
            *out = column;
            return 0;
        }
    return ERR_NOT_FOUND;
}

const char *event_stage_name(enum stage stage)
{
    return stage < STAGE_COUNT ? stage_names[stage].p : "";
}

const char *event_direction_name(enum direction direction)
{
    return direction < DIRECTION_COUNT ? direction_names[direction].p : "";
}

static int find_name(struct slice name, const struct slice *names, unsigned count, unsigned *out)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_equal(name, names[i])) {
            *out = i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

int event_direction_parse(struct slice name, enum direction *out)
{
    unsigned found = 0;
    int rc = find_name(name, direction_names, DIRECTION_COUNT, &found);
    if (rc == 0)
        *out = (enum direction)found;
    return rc;
}

int event_stage_parse(struct slice name, enum stage *out)
{
    unsigned found = 0;
    int rc = find_name(name, stage_names, STAGE_COUNT, &found);
    if (rc == 0)
        *out = (enum stage)found;
    return rc;
}

static struct id128 canonical(XXH128_hash_t hash)
{
    XXH128_canonical_t bytes;
    struct id128 id;
    XXH128_canonicalFromHash(&bytes, hash);
    memcpy(id.b, bytes.digest, sizeof id.b);
    return id;
}

/* XXH3-128 of tenant (u32, little endian), edge, NUL, last. */
static struct id128 hash_of(const struct event_origin *origin, struct slice last)
{
    enum { TENANT_BYTES = 4 };
    char joined[TENANT_BYTES + EVENT_EDGE_BYTES + 1 + POLICY_LINE_BYTES], *at = joined + TENANT_BYTES;
    struct slice edge = origin->edge;
    assert(edge.n <= EVENT_EDGE_BYTES && last.n <= POLICY_LINE_BYTES);
    for (size_t i = 0; i < TENANT_BYTES; i++)
        joined[i] = (char)(origin->tenant >> 8 * i & 0xff);
    if (edge.n > 0)
        memcpy(at, edge.p, edge.n);
    at[edge.n] = '\0';
    memcpy(at + edge.n + 1, last.p, last.n);
    return canonical(XXH3_128bits(joined, TENANT_BYTES + edge.n + 1 + last.n));
}

struct id128 event_message_id(const struct event_origin *origin, struct slice instance)
{
    if (instance.n > 0)
        return hash_of(origin, instance);
    char own[sizeof origin->epoch.b + 8];
    memcpy(own, origin->epoch.b, sizeof origin->epoch.b);
    for (size_t i = 0; i < 8; i++)
        own[sizeof origin->epoch.b + i] = (char)(origin->seq >> 8 * i & 0xff);
    return hash_of(origin, (struct slice){own, sizeof own});
}
