/* SPDX-License-Identifier: Apache-2.0
 *
 * originals: see originals.h. Is nothing missing between two records of the journal? Within an epoch their
 * seqs tell. From one epoch to another nothing is when the segment of the first is still there: they go from
 * the oldest on.
 */
#include "hub/originals.h"

#include "hub/scrubber.h"
#include "wire/batch.h"

#include <sodium.h>

struct reading {
    struct journal *journal;
    struct account *account;
    struct raw_page *page;
    struct journal_reader *reader;
    struct batch_reader *bodies; /* since a batch of the tenant's was met, as the next two */
    struct erasures *erasures;
    struct scrubber *scrubber;
    uint64_t skipped; /* damaged stretches that the reader had met */
    uint64_t told;    /* records */
    bool enough;
    struct err *err;
};

/* The journal's epoch under another name: nobody who holds a cursor knows what its records begin with. */
static struct epoch name_of(struct epoch epoch)
{
    struct epoch name;
    (void)crypto_generichash(name.b, sizeof name.b, epoch.b, sizeof epoch.b, NULL, 0);
    return name;
}

static bool is_same(struct epoch a, struct epoch b)
{
    return memcmp(a.b, b.b, sizeof a.b) == 0;
}

static bool follows(const struct reading *r, const struct journal_record *record)
{
    const struct raw_place *place = &r->page->place;
    struct epoch epoch;
    if (is_same(place->epoch, name_of(record->epoch)))
        return record->seq == place->seq + 1;
    return place->seq != 0 && record->pos.segment > place->pos.segment &&
           journal_segment_epoch(r->journal, place->pos.segment, &epoch) &&
           is_same(place->epoch, name_of(epoch));
}

/* A copy of the journal that was taken earlier goes on under the numbers that the one before it had given
 * out, with an epoch of its own. */
static int check_place(struct journal *journal, const struct raw_place *place, struct err *err)
{
    static const struct epoch unknown;
    struct epoch epoch;
    uint64_t oldest, next;
    journal_span(journal, &oldest, &next);
    bool other = !is_same(place->epoch, unknown) &&
                 journal_segment_epoch(journal, place->pos.segment, &epoch) &&
                 !is_same(place->epoch, name_of(epoch));
    return place->pos.segment < next && !other
               ? 0
               : err_set(
                     err, ERR_CONFLICT,
                     "the cursor is of another journal, or of what an older copy has replaced: begin again "
                     "without it");
}

/* Tombstones of now: whoever asks after one was set is told nothing that it covers. */
static int prepare(struct reading *r)
{
    if (r->scrubber != NULL)
        return 0;
    int rc = batch_reader_create(&r->bodies);
    if (rc != 0)
        return err_set(r->err, rc, "no memory for the journal's batches");
    rc = erasures_load(&r->erasures, r->account, r->page->place.tenant, r->err);
    return rc != 0 ? rc : scrubber_create(&r->scrubber, r->erasures, r->err);
}

static int tell(struct reading *r, const struct commit *commit, const struct batch_record *record)
{
    struct raw_page *page = r->page;
    const struct raw_record told = {.tenant = commit->tenant,
                                    .edge = commit->edge,
                                    .epoch = commit->epoch,
                                    .seq = record->seq,
                                    .edge_ts = record->ts_us,
                                    .hub_ts = commit->hub_ts,
                                    .request = record->payload};
    int rc = page->place.gap ? page->gap(page->arg, page->place.hub_ts, commit->hub_ts) : 0;
    if (rc != 0)
        return rc;
    page->place.gap = false;
    rc = page->record(page->arg, &told);
    if (rc != 0 && rc != 1)
        return rc;
    page->place.hub_ts = commit->hub_ts;
    r->enough = rc == 1 || ++r->told >= page->limit;
    return 0;
}

/* The batch from page->place.skip on. */
static int tell_batch(struct reading *r, const struct commit *commit)
{
    struct raw_place *place = &r->page->place;
    struct batch_record record;
    int rc = prepare(r);
    if (rc != 0)
        return rc;
    rc = commit->erased
             ? batch_reader_open_erased(r->bodies, commit->body, commit->first_seq, commit->count, r->err)
             : batch_reader_open(r->bodies, commit->body, commit->first_seq, commit->count, commit->hash,
                                 r->err);
    if (rc == ERR_NO_MEMORY)
        return rc;
    if (rc != 0) {
        place->gap = true;
        return 0;
    }
    for (uint32_t i = 0; i < place->skip && batch_reader_next(r->bodies, &record); i++)
        continue;
    for (rc = 0; rc == 0 && !r->enough && batch_reader_next(r->bodies, &record); place->skip += rc == 0) {
        int covered = record.kind == RECORD_POLICY ? scrubber_covers(r->scrubber, commit, &record) : 1;
        rc = covered == 0 ? tell(r, commit, &record) : covered == 1 ? 0 : covered;
    }
    return rc;
}

/* *over: all of the record is told. */
static int take(struct reading *r, const struct journal_record *record, bool *over)
{
    struct raw_place *place = &r->page->place;
    struct commit commit;
    uint64_t skipped = journal_reader_skipped(r->reader);
    bool begun = journal_pos_compare(record->pos, place->pos) == 0 && place->skip > 0;
    if (!begun)
        place->skip = 0;
    if ((!begun && !follows(r, record)) || skipped != r->skipped)
        place->gap = true;
    r->skipped = skipped;
    place->pos = record->pos;
    *over = true;
    if (record->kind != COMMIT_BATCH || commit_decode(record->payload, &commit) != 0) {
        place->gap = true; /* whose it was can't be told */
        return 0;
    }
    if (place->tenant != 0 && commit.tenant != place->tenant)
        return 0;
    place->epoch = name_of(record->epoch);
    place->seq = record->seq - 1;
    int rc = tell_batch(r, &commit);
    *over = !r->enough || place->skip >= commit.count;
    return rc;
}

static int read_on(struct reading *r)
{
    struct raw_place *place = &r->page->place;
    struct journal_record record;
    int rc = 0;
    for (uint64_t bytes = 0; rc == 0 && !r->enough && bytes < ORIGINALS_SCAN_BYTES;) {
        bool over;
        rc = journal_reader_next(r->reader, &record, r->err);
        if (rc == 0)
            rc = take(r, &record, &over);
        if (rc != 0 || !over)
            continue;
        bytes += record.payload.n;
        place->pos = record.next;
        place->skip = 0;
        place->epoch = name_of(record.epoch);
        place->seq = record.seq;
    }
    r->page->more = rc == 0;
    return rc == ERR_END ? 0 : rc;
}

int originals_read(struct journal *journal, struct account *account, struct raw_page *page, struct err *err)
{
    struct reading r = {.journal = journal, .account = account, .page = page, .err = err};
    page->more = false;
    int rc = check_place(journal, &page->place, err);
    if (rc == 0)
        rc = journal_reader_open(&r.reader, journal, NULL, page->place.pos, err);
    if (rc == 0) {
        journal_reader_distrust(r.reader);
        rc = read_on(&r);
    }
    scrubber_destroy(&r.scrubber);
    erasures_destroy(&r.erasures);
    batch_reader_destroy(&r.bodies);
    journal_reader_close(&r.reader);
    return rc;
}
