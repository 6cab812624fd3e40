/* SPDX-License-Identifier: Apache-2.0
 *
 * drain: see drain.h.
 */
#include "drain.h"

struct stretch {
    uint64_t from, to; /* positions in the ring */
    struct segment_summary what;
};

/* The record at pos, all of it before end. found: left by an earlier run, so its CRC is looked at too. */
static bool record_in_ring(const struct drain *drain, uint64_t pos, uint64_t end, bool found,
                           struct record *record)
{
    const uint8_t *p = ring_at(drain->ring, pos);
    return end - pos >= RECORD_HEADER_BYTES && record_decode(drain->seed, p, record) &&
           record_bytes(record) <= end - pos && (!found || record_intact(drain->seed, p, record));
}

static void enter_epoch(struct drain *drain, uint64_t pos, uint64_t *end)
{
    struct epoch epoch;
    ring_epoch_at(drain->ring, pos, &epoch, end);
    if (drain->known && epoch_equal(&epoch, &drain->epoch))
        return;
    drain->known = true;
    drain->epoch = epoch;
    drain->seed = record_seed(&epoch);
    drain->has_seq = journal_last_seq(drain->journal, &epoch);
}

/* Where the next intact record begins, or end. */
static uint64_t pass_damage(const struct drain *drain, uint64_t pos, uint64_t end)
{
    struct record record;
    do
        pos++;
    while (pos < end && !record_in_ring(drain, pos, end, true, &record));
    return pos;
}

/* Records from *pos on that go out together; those that the journal has are passed. */
static struct stretch measure(const struct drain *drain, uint64_t *pos, uint64_t end, bool found)
{
    struct stretch stretch = {.from = *pos};
    struct record record;
    while (*pos < end && record_in_ring(drain, *pos, end, found, &record)) {
        size_t n = record_bytes(&record);
        bool has = found && record.seq <= drain->has_seq;
        if (stretch.what.records != 0 && (has || *pos + n - stretch.from > DRAIN_STRETCH_BYTES))
            break;
        *pos += n;
        if (has) {
            stretch.from = *pos;
            continue;
        }
        struct segment_summary one = segment_summary_of(&record);
        segment_summary_add(&stretch.what, &one, n);
    }
    stretch.to = *pos;
    return stretch;
}

uint64_t drain_count_found(struct drain *drain)
{
    uint64_t count = 0, pos = ring_tail(drain->ring), last = drain->ring->found_end;
    while (pos < last) {
        uint64_t end, before = pos;
        enter_epoch(drain, pos, &end);
        if (end > last)
            end = last;
        count += measure(drain, &pos, end, true).what.records;
        if (pos == before)
            pos = pass_damage(drain, pos, end);
    }
    return count;
}

int drain_stretch(struct drain *drain, uint64_t *live, struct err *err)
{
    struct ring *ring = drain->ring;
    uint64_t tail = ring_tail(ring), end = ring_head(ring), epoch_end, pos = tail;
    bool found = tail < ring->found_end;
    *live = 0;
    if (tail == end)
        return ERR_END;
    enter_epoch(drain, tail, &epoch_end);
    if (end > epoch_end)
        end = epoch_end;
    struct stretch stretch = measure(drain, &pos, end, found);
    if (stretch.what.records != 0) {
        struct iovec parts[2];
        int n = ring_parts(ring, stretch.from, stretch.to, parts);
        int rc = journal_append_stretch(drain->journal, &drain->epoch, parts, n, stretch.to - stretch.from,
                                        &stretch.what, err);
        if (rc != 0)
            return rc;
        drain->has_seq = stretch.what.last_seq;
        if (!found)
            *live = stretch.what.records;
    } else if (pos == tail) {
        pos = pass_damage(drain, tail, end);
        quarantine_stretch(drain->journal, ring->fd, 0, RING_HEADER_BYTES + (tail & (ring->bytes - 1)),
                           pos - tail);
    }
    ring_release(ring, pos);
    return 0;
}
