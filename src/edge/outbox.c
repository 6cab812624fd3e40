/* SPDX-License-Identifier: Apache-2.0
 *
 * outbox: see outbox.h.
 */
#include "outbox.h"

#include "base/clock.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

enum { ZSTD_LEVEL = 3 };

struct shipment {
    struct epoch epoch;
    uint64_t last_seq;
    uint32_t count;
    int64_t first_ts, sent_us;
    struct journal_pos next; /* acked: everything before this */
};

struct outbox {
    struct spool *spool;           /* borrowed */
    struct journal *journal;       /* the spool's */
    struct spool_shipped *shipped; /* the spool's */
    struct epoch present;
    struct journal_reader *reader;
    struct batch_writer *writer;
    struct journal_record held; /* read, not yet collected; its payload is the reader's */
    bool holding, named, at_end;
    struct shipment open; /* what the writer has */
    uint64_t open_first_seq;
    int64_t open_since_us;
    struct shipment flying[OUTBOX_WINDOW]; /* a ring */
    size_t flying_first, flying_count;
    struct frame_progress known[FRAME_EPOCHS];
    uint16_t known_count;
    uint32_t batch_records;
    struct journal_pos acked, retired;
    uint64_t unsendable;
};

int outbox_open(struct outbox **out, struct spool *spool, struct err *err)
{
    struct journal *journal = spool_journal(spool);
    struct outbox *o = calloc(1, sizeof *o);
    int rc = o == NULL ? ERR_NO_MEMORY : batch_writer_create(&o->writer, ZSTD_LEVEL);
    if (rc != 0) {
        outbox_close(&o);
        return err_set(err, rc, "no memory for the uplink");
    }
    o->spool = spool;
    o->journal = journal;
    o->shipped = spool_shipped(spool);
    journal_epoch(journal, &o->present);
    o->acked = o->retired = journal_retired(journal);
    rc = journal_reader_open(&o->reader, journal, NULL, o->acked, err);
    if (rc != 0)
        outbox_close(&o);
    *out = o;
    return rc;
}

void outbox_close(struct outbox **outbox)
{
    struct outbox *o = *outbox;
    if (o == NULL)
        return;
    journal_reader_close(&o->reader);
    batch_writer_destroy(&o->writer);
    free(o);
    *outbox = NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool same_epoch(const struct epoch *a, const struct epoch *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

/* The held record gets the name by which the hub knows it. */
static int name_held(struct outbox *o, struct err *err)
{
    struct spool_shipped *shipped = o->shipped;
    if (shipped->renaming && same_epoch(&o->held.epoch, &o->present)) {
        int rc = spool_rename(o->spool, o->held.seq, err);
        if (rc != 0)
            return rc;
    }
    const struct standin *standin = standins_find(&shipped->standins, &o->held.epoch, o->held.seq);
    if (standin != NULL) {
        o->held.epoch = standin->name;
        o->held.seq -= standin->base;
    }
    o->named = true;
    return 0;
}

static int hold(struct outbox *o, struct err *err)
{
    if (!o->holding) {
        int rc = journal_reader_next(o->reader, &o->held, err);
        o->at_end = rc == ERR_END;
        if (rc != 0)
            return rc;
        o->holding = true;
        o->named = false;
    }
    return o->named ? 0 : name_held(o, err);
}

/* The name by which the hub knows what comes next of the present epoch. */
static const struct epoch *present_name(const struct outbox *o)
{
    if (o->shipped->renaming)
        return &o->shipped->fresh;
    const struct standin *standin = standins_find(&o->shipped->standins, &o->present, UINT64_MAX);
    return standin != NULL ? &standin->name : &o->present;
}

/* The held record is dealt with once everything before it is. */
static void pass(struct outbox *o)
{
    o->holding = false;
    if (batch_writer_count(o->writer) > 0)
        o->open.next = o->held.next;
    else if (o->flying_count > 0)
        o->flying[(o->flying_first + o->flying_count - 1) % OUTBOX_WINDOW].next = o->held.next;
    else
        o->acked = o->held.next;
}

static const struct frame_progress *known(const struct outbox *o, const struct epoch *epoch)
{
    for (uint16_t i = 0; i < o->known_count; i++)
        if (memcmp(o->known[i].epoch.b, epoch->b, sizeof epoch->b) == 0)
            return &o->known[i];
    return NULL;
}

uint16_t outbox_epochs(struct outbox *o, struct epoch *epochs)
{
    uint16_t count = 1;
    epochs[0] = *present_name(o);
    if (hold(o, NULL) == 0 && memcmp(o->held.epoch.b, epochs[0].b, sizeof epochs[0].b) != 0)
        epochs[count++] = o->held.epoch;
    return count;
}

bool outbox_disowns(const struct outbox *o, const struct frame_progress *progress, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        if (same_epoch(&progress[i].epoch, present_name(o)))
            return progress[i].last_seq > o->shipped->sent;
    return false;
}

void outbox_rename(struct outbox *o)
{
    o->shipped->sent = 0;
    o->shipped->renaming = true;
    randombytes_buf(o->shipped->fresh.b, sizeof o->shipped->fresh.b);
}

int outbox_restart(struct outbox *o, const struct frame_progress *progress, uint16_t count,
                   uint32_t batch_records, struct err *err)
{
    batch_writer_clear(o->writer);
    o->flying_first = o->flying_count = 0;
    o->holding = o->at_end = false;
    o->known_count = count;
    if (count > 0)
        memcpy(o->known, progress, count * sizeof *progress);
    o->batch_records = batch_records;
    return journal_reader_seek(o->reader, o->acked, err);
}

/* ---- collecting ------------------------------------------------------------------------------ */

static bool fits_open(const struct outbox *o)
{
    uint32_t count = batch_writer_count(o->writer);
    return count == 0 || (memcmp(o->held.epoch.b, o->open.epoch.b, sizeof o->open.epoch.b) == 0 &&
                          o->held.seq == o->open.last_seq + 1 && count < o->batch_records);
}

static void collected(struct outbox *o)
{
    if (batch_writer_count(o->writer) == 1) {
        o->open.epoch = o->held.epoch;
        o->open.first_ts = o->held.ts_us;
        o->open_first_seq = o->held.seq;
        o->open_since_us = clock_monotonic_us();
    }
    o->open.last_seq = o->held.seq;
    o->open.next = o->held.next;
    o->holding = false;
}

/* What the held record asks for: 0 it was collected or passed, ERR_LIMIT close the batch first, ERR_CONFLICT.
 */
static int collect(struct outbox *o)
{
    const struct frame_progress *progress = known(o, &o->held.epoch);
    if (progress == NULL)
        return batch_writer_count(o->writer) > 0 ? ERR_LIMIT : ERR_CONFLICT;
    if (o->held.seq <= progress->last_seq) {
        pass(o);
        return 0;
    }
    if (!fits_open(o))
        return ERR_LIMIT;
    int rc = batch_writer_add(o->writer, o->held.kind, o->held.ts_us, o->held.payload);
    if (rc == 0) {
        collected(o);
    } else if (rc == ERR_LIMIT && batch_writer_count(o->writer) == 0) { /* no batch will ever take it */
        o->unsendable++;
        pass(o);
        rc = 0;
    }
    return rc;
}

int outbox_fill(struct outbox *o, struct err *err)
{
    for (;;) {
        int rc = hold(o, err);
        if (rc == ERR_END)
            return batch_writer_count(o->writer) > 0 ? ERR_MORE : ERR_END;
        if (rc == 0)
            rc = collect(o);
        if (rc == ERR_LIMIT)
            return 0;
        if (rc == ERR_CONFLICT)
            return o->flying_count > 0 ? ERR_BUSY : ERR_CONFLICT;
        if (rc != 0)
            return rc;
    }
}

int64_t outbox_waiting_since_us(const struct outbox *o)
{
    return o->open_since_us;
}

int outbox_take(struct outbox *o, struct frame_batch *batch)
{
    assert(o->flying_count < OUTBOX_WINDOW);
    int rc = batch_writer_finish(o->writer, &batch->body, &batch->hash);
    if (rc != 0)
        return rc;
    batch->epoch = o->open.epoch;
    batch->first_seq = o->open_first_seq;
    batch->count = batch_writer_count(o->writer);
    o->open.count = batch->count;
    o->open.sent_us = clock_monotonic_us();
    o->flying[(o->flying_first + o->flying_count++) % OUTBOX_WINDOW] = o->open;
    batch_writer_clear(o->writer);
    if (same_epoch(&o->open.epoch, present_name(o)) && o->open.last_seq > o->shipped->sent)
        o->shipped->sent = o->open.last_seq;
    return 0;
}

/* ---- acks ------------------------------------------------------------------------------------ */

uint64_t outbox_ack(struct outbox *o, const struct frame_progress *progress)
{
    uint64_t records = 0;
    while (o->flying_count > 0) {
        const struct shipment *head = &o->flying[o->flying_first];
        if (memcmp(head->epoch.b, progress->epoch.b, sizeof head->epoch.b) != 0 ||
            head->last_seq > progress->last_seq)
            break;
        records += head->count;
        o->acked = head->next;
        o->flying_first = (o->flying_first + 1) % OUTBOX_WINDOW;
        o->flying_count--;
    }
    return records;
}

size_t outbox_in_flight(const struct outbox *o)
{
    return o->flying_count;
}

int64_t outbox_sent_us(const struct outbox *o)
{
    return o->flying_count > 0 ? o->flying[o->flying_first].sent_us : 0;
}

int64_t outbox_oldest_ts(const struct outbox *o)
{
    struct journal_stats stats;
    if (o->flying_count > 0)
        return o->flying[o->flying_first].first_ts;
    if (batch_writer_count(o->writer) > 0)
        return o->open.first_ts;
    if (o->holding)
        return o->held.ts_us;
    if (o->at_end)
        return 0;
    journal_get_stats(o->journal, &stats);
    return stats.depth > 0 ? stats.oldest_us : 0;
}

uint64_t outbox_unsendable(const struct outbox *o)
{
    return o->unsendable;
}

int outbox_retire(struct outbox *o, struct err *err)
{
    if (journal_pos_compare(o->acked, o->retired) == 0)
        return 0;
    int rc = journal_retire(o->journal, o->acked, err);
    if (rc == 0)
        o->retired = o->acked;
    return rc;
}
