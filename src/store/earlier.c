/* SPDX-License-Identifier: Apache-2.0
 *
 * earlier: see earlier.h. Open addressing; as many groups as an answer has rows at most.
 */
#include "store/earlier.h"

#include "base/buf.h"

#include <stdlib.h>
#include <xxhash.h>

enum { KEY_BYTES = 1 << 20, ROOM_FIRST = 256 };

struct entry {
    XXH128_hash_t key; /* all zeros: none */
    uint64_t measures[QUERY_MEASURES];
};

/* Where the buckets of a range begin, in order. */
struct starts {
    int64_t *at;
    size_t count;
};

struct earlier {
    const struct query *now, *before;
    struct starts now_starts, before_starts;
    struct entry *entries;
    size_t count, room; /* room: a power of two */
};

static int make_starts(const struct query *query, struct starts *out)
{
    if (query->interval_us == 0)
        return 0;
    out->at = calloc(QUERY_BUCKETS + 1, sizeof *out->at);
    if (out->at == NULL)
        return ERR_NO_MEMORY;
    int64_t at = query_bucket(query, query->from);
    for (; at < query->to && out->count <= QUERY_BUCKETS; at = query_bucket_end(query, at))
        out->at[out->count++] = at;
    return 0;
}

int earlier_create(struct earlier **out, const struct query *now, const struct query *before, struct err *err)
{
    struct earlier *earlier = calloc(1, sizeof *earlier);
    int rc = earlier == NULL ? ERR_NO_MEMORY : 0;
    if (rc == 0) {
        earlier->now = now;
        earlier->before = before;
        earlier->room = ROOM_FIRST;
        earlier->entries = calloc(earlier->room, sizeof *earlier->entries);
        rc = earlier->entries == NULL ? ERR_NO_MEMORY : make_starts(now, &earlier->now_starts);
    }
    if (rc == 0)
        rc = make_starts(before, &earlier->before_starts);
    if (rc != 0)
        earlier_destroy(&earlier);
    *out = earlier;
    return rc != 0 ? err_set(err, rc, "out of memory") : 0;
}

void earlier_destroy(struct earlier **earlier)
{
    struct earlier *self = *earlier;
    *earlier = NULL;
    if (self == NULL)
        return;
    free(self->now_starts.at);
    free(self->before_starts.at);
    free(self->entries);
    free(self);
}

static int compare_starts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* The number of the bucket that begins then; all the same without buckets. */
static bool number_of(const struct starts *starts, int64_t start, uint64_t *out)
{
    *out = 0;
    if (starts->count == 0)
        return true;
    const int64_t *at = bsearch(&start, starts->at, starts->count, sizeof start, compare_starts);
    if (at != NULL)
        *out = (uint64_t)(at - starts->at);
    return at != NULL;
}

static int add_cell(struct buf *key, const struct cell *cell)
{
    const struct {
        uint64_t type, u64;
        int64_t ts;
        uint64_t bytes;
    } fixed = {cell->type, cell->u64, cell->ts, cell->type == CELL_TEXT ? cell->text.n : 0};
    int rc = buf_add(key, &fixed, sizeof fixed);
    return rc != 0 || cell->type != CELL_TEXT ? rc : buf_add_slice(key, cell->text);
}

/* ERR_NOT_FOUND: that is no bucket of the range. */
static int key_of(const struct earlier *earlier, const struct starts *starts, const struct cell *cells,
                  bool is_rest, XXH128_hash_t *out)
{
    const struct query *query = earlier->now;
    struct buf key = {.limit = KEY_BYTES};
    uint64_t number[2] = {0, is_rest};
    if (!number_of(starts, query->interval_us > 0 ? cells[0].ts : 0, &number[0]))
        return ERR_NOT_FOUND;
    cells += query->interval_us > 0;
    int rc = buf_add(&key, number, sizeof number);
    for (size_t i = 0; rc == 0 && !is_rest && i < query->dimension_count; i++)
        rc = add_cell(&key, &cells[i]);
    *out = XXH3_128bits(key.p, key.n);
    out->low64 |= 1; /* never all zeros */
    buf_fini(&key);
    return rc;
}

static struct entry *place_of(struct entry *entries, size_t room, XXH128_hash_t key)
{
    size_t at = key.high64 & (room - 1);
    while (entries[at].key.low64 != 0 && !XXH128_isEqual(entries[at].key, key))
        at = (at + 1) & (room - 1);
    return &entries[at];
}

static int grow(struct earlier *earlier)
{
    size_t room = earlier->room * 2;
    struct entry *entries = calloc(room, sizeof *entries);
    if (entries == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < earlier->room; i++)
        if (earlier->entries[i].key.low64 != 0)
            *place_of(entries, room, earlier->entries[i].key) = earlier->entries[i];
    free(earlier->entries);
    earlier->entries = entries;
    earlier->room = room;
    return 0;
}

int earlier_put(struct earlier *earlier, const struct cell *cells, bool is_rest)
{
    const struct query *query = earlier->before;
    XXH128_hash_t key;
    int rc = key_of(earlier, &earlier->before_starts, cells, is_rest, &key);
    if (rc == 0 && 2 * (earlier->count + 1) > earlier->room)
        rc = grow(earlier);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct entry *entry = place_of(earlier->entries, earlier->room, key);
    cells += (query->interval_us > 0) + (is_rest ? 0 : query->dimension_count);
    earlier->count += entry->key.low64 == 0;
    entry->key = key;
    for (size_t i = 0; i < query->measure_count; i++)
        entry->measures[i] = cells[i].u64;
    return 0;
}

const uint64_t *earlier_find(const struct earlier *earlier, const struct cell *keys, bool is_rest)
{
    XXH128_hash_t key;
    if (key_of(earlier, &earlier->now_starts, keys, is_rest, &key) != 0)
        return NULL;
    const struct entry *entry = place_of(earlier->entries, earlier->room, key);
    return entry->key.low64 != 0 ? entry->measures : NULL;
}

double earlier_seconds(const struct earlier *earlier, const struct cell *keys)
{
    const struct query *before = earlier->before;
    int64_t start = before->from, end = before->to;
    uint64_t number;
    if (before->interval_us > 0) {
        if (!number_of(&earlier->now_starts, keys[0].ts, &number) || number >= earlier->before_starts.count)
            return 0;
        start = earlier->before_starts.at[number];
        end = query_bucket_end(before, start);
        start = start > before->from ? start : before->from;
        end = end < before->to ? end : before->to;
    }
    return (double)(end - start) / (double)US_PER_SECOND;
}
