/* SPDX-License-Identifier: Apache-2.0
 *
 * epochs: see epochs.h. The list of an edge is short (one epoch a restart), so it is searched from its end.
 */
#include "epochs.h"

#include <assert.h>
#include <stdlib.h>

static struct epochs_item *find(const struct epochs *epochs, const struct epoch *epoch)
{
    for (size_t i = epochs->count; i-- > 0;)
        if (epoch_equal(&epochs->items[i].epoch, epoch))
            return &epochs->items[i];
    return NULL;
}

void epochs_fini(struct epochs *epochs)
{
    for (size_t i = 0; i < epochs->count; i++)
        free(epochs->items[i].ring);
    free(epochs->items);
    *epochs = (struct epochs){0};
}

static const struct epochs_hash *remembered(const struct epochs_item *item, uint64_t first_seq,
                                            uint32_t count)
{
    if (item->ring == NULL)
        return NULL;
    uint32_t n = item->ring_count < EPOCHS_HASHES ? item->ring_count : EPOCHS_HASHES;
    for (uint32_t i = 1; i <= n; i++) {
        const struct epochs_hash *known = &item->ring[(item->ring_count - i) % EPOCHS_HASHES];
        if (known->first_seq == first_seq && known->count == count)
            return known;
    }
    return NULL;
}

enum epochs_verdict epochs_judge(const struct epochs *epochs, const struct epochs_batch *batch)
{
    const struct epochs_item *item = find(epochs, &batch->epoch);
    if (item == NULL || batch->first_seq > item->staged_last)
        return EPOCHS_NEW;
    const struct epochs_hash *known = remembered(item, batch->first_seq, batch->count);
    if (known == NULL)
        return EPOCHS_PARTIAL;
    return known->hash == batch->hash ? EPOCHS_KNOWN : EPOCHS_FORKED;
}

static struct epochs_item *least_recent(struct epochs *epochs)
{
    struct epochs_item *oldest = NULL;
    for (size_t i = 0; i < epochs->count; i++)
        if (epochs->items[i].staged_last == epochs->items[i].last &&
            (oldest == NULL || epochs->items[i].used < oldest->used))
            oldest = &epochs->items[i];
    return oldest;
}

static struct epochs_item *find_or_add(struct epochs *epochs, const struct epoch *epoch)
{
    struct epochs_item *item = find(epochs, epoch);
    if (item != NULL)
        return item;
    if (epochs->count == EPOCHS_MAX) {
        item = least_recent(epochs);
        assert(item != NULL); /* a round stages fewer batches than there are places */
        free(item->ring);
    } else {
        item = realloc(epochs->items, (epochs->count + 1) * sizeof *item);
        if (item == NULL)
            return NULL;
        epochs->items = item;
        item += epochs->count++;
    }
    *item = (struct epochs_item){.epoch = *epoch};
    return item;
}

/* Only the epochs in use keep their hashes. */
static int need_ring(struct epochs *epochs, struct epochs_item *item)
{
    struct epochs_item *oldest = NULL;
    int rings = 0;
    if (item->ring != NULL)
        return 0;
    for (size_t i = 0; i < epochs->count; i++) {
        struct epochs_item *other = &epochs->items[i];
        rings += other->ring != NULL;
        if (other->ring != NULL && other->staged_last == other->last &&
            (oldest == NULL || other->used < oldest->used))
            oldest = other;
    }
    if (rings >= EPOCHS_RINGS && oldest != NULL) {
        free(oldest->ring);
        oldest->ring = NULL;
        oldest->ring_count = 0;
    }
    item->ring = calloc(EPOCHS_HASHES, sizeof *item->ring);
    return item->ring == NULL ? ERR_NO_MEMORY : 0;
}

int epochs_reserve(struct epochs *epochs, const struct epoch *epoch)
{
    struct epochs_item *item = find_or_add(epochs, epoch);
    return item == NULL ? ERR_NO_MEMORY : need_ring(epochs, item);
}

void epochs_begin(struct epochs *epochs, const struct epoch *epoch, uint64_t last)
{
    struct epochs_item *item = find(epochs, epoch);
    assert(item != NULL);
    if (item->staged_last == 0)
        item->last = item->staged_last = last;
}

void epochs_stage(struct epochs *epochs, const struct epochs_batch *batch)
{
    struct epochs_item *item = find(epochs, &batch->epoch);
    assert(item != NULL && item->ring != NULL && batch->first_seq > item->staged_last);
    uint64_t missing = batch->first_seq - item->staged_last - 1;
    epochs->staged_gaps += missing > 0;
    epochs->staged_gap_records += missing;
    epochs->staged_records += batch->count;
    item->ring[item->ring_count++ % EPOCHS_HASHES] =
        (struct epochs_hash){batch->first_seq, batch->hash, batch->count};
    item->staged_last = batch->first_seq + batch->count - 1;
    item->used = ++epochs->uses;
}

void epochs_confirm(struct epochs *epochs)
{
    for (size_t i = 0; i < epochs->count; i++) {
        epochs->items[i].last = epochs->items[i].staged_last;
    }
    epochs->gaps += epochs->staged_gaps;
    epochs->gap_records += epochs->staged_gap_records;
    epochs->records += epochs->staged_records;
    epochs->staged_gaps = epochs->staged_gap_records = epochs->staged_records = 0;
}

/* A ring that was written around has nothing older left: its places are empty then. */
static void forget_staged(struct epochs_item *item)
{
    while (item->ring_count > 0) {
        struct epochs_hash *latest = &item->ring[(item->ring_count - 1) % EPOCHS_HASHES];
        if (latest->first_seq <= item->last)
            return;
        *latest = (struct epochs_hash){0};
        item->ring_count--;
    }
}

void epochs_unstage(struct epochs *epochs)
{
    for (size_t i = 0; i < epochs->count; i++) {
        forget_staged(&epochs->items[i]);
        epochs->items[i].staged_last = epochs->items[i].last;
    }
    epochs->staged_gaps = epochs->staged_gap_records = epochs->staged_records = 0;
}

uint64_t epochs_last(const struct epochs *epochs, const struct epoch *epoch)
{
    const struct epochs_item *item = find(epochs, epoch);
    return item != NULL ? item->last : 0;
}

bool epochs_knows(const struct epochs *epochs, const struct epoch *epoch)
{
    return find(epochs, epoch) != NULL;
}

bool epochs_full(const struct epochs *epochs)
{
    return epochs->count >= EPOCHS_MAX;
}

uint64_t epochs_staged(const struct epochs *epochs, const struct epoch *epoch)
{
    const struct epochs_item *item = find(epochs, epoch);
    return item != NULL ? item->staged_last : 0;
}

/* ---- snapshot -------------------------------------------------------------------------------- */

static void encode_item(const struct epochs_item *item, struct bytes_writer *w)
{
    uint32_t n = item->ring == NULL ? 0 : item->ring_count < EPOCHS_HASHES ? item->ring_count : EPOCHS_HASHES;
    bytes_put(w, item->epoch.b, sizeof item->epoch.b);
    bytes_put_u64(w, item->last);
    bytes_put_u64(w, item->used);
    bytes_put_u8(w, (uint8_t)n);
    for (uint32_t i = n; i > 0; i--) {
        const struct epochs_hash *known = &item->ring[(item->ring_count - i) % EPOCHS_HASHES];
        bytes_put_u64(w, known->first_seq);
        bytes_put_u64(w, known->hash);
        bytes_put_u32(w, known->count);
    }
}

void epochs_encode(const struct epochs *epochs, struct bytes_writer *w)
{
    bytes_put_u64(w, epochs->uses);
    bytes_put_u64(w, epochs->gaps);
    bytes_put_u64(w, epochs->gap_records);
    bytes_put_u64(w, epochs->records);
    bytes_put_u16(w, (uint16_t)epochs->count);
    for (size_t i = 0; i < epochs->count; i++)
        encode_item(&epochs->items[i], w);
}

static int decode_item(struct epochs *epochs, struct bytes_reader *r)
{
    struct epoch epoch;
    bytes_get_into(r, epoch.b, sizeof epoch.b);
    uint64_t last = bytes_get_u64(r), used = bytes_get_u64(r);
    uint8_t n = bytes_get_u8(r);
    if (r->failed || n > EPOCHS_HASHES || find(epochs, &epoch) != NULL)
        return ERR_CORRUPT;
    struct epochs_item *item = find_or_add(epochs, &epoch);
    if (item == NULL || (n > 0 && need_ring(epochs, item) != 0))
        return ERR_NO_MEMORY;
    item->last = item->staged_last = last;
    item->used = used;
    for (; item->ring_count < n; item->ring_count++) {
        struct epochs_hash *known = &item->ring[item->ring_count];
        known->first_seq = bytes_get_u64(r);
        known->hash = bytes_get_u64(r);
        known->count = bytes_get_u32(r);
    }
    return r->failed ? ERR_CORRUPT : 0;
}

int epochs_decode(struct epochs *epochs, struct bytes_reader *r)
{
    int rc = 0;
    epochs->uses = bytes_get_u64(r);
    epochs->gaps = bytes_get_u64(r);
    epochs->gap_records = bytes_get_u64(r);
    epochs->records = bytes_get_u64(r);
    uint16_t count = bytes_get_u16(r);
    if (r->failed || count > EPOCHS_MAX)
        return ERR_CORRUPT;
    for (uint16_t i = 0; i < count && rc == 0; i++)
        rc = decode_item(epochs, r);
    return rc;
}
