/* SPDX-License-Identifier: Apache-2.0
 *
 * originals: every record of a tenant is told once and as it was, whatever the size of pages; what is erased
 * is not, scrubbed or not; what is missing is told as a gap, and only then.
 */
#include "hub/originals.h"

#include "account/tombstone.h"
#include "base/clock.h"
#include "base/test.h"
#include "hub/depot.h"
#include "hub/scrubber.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 2000 };

struct heard {
    uint32_t tenant;
    uint64_t seqs[RECORDS];
    size_t count, gaps, canaries;
    int64_t last_hub_us, gap_from, gap_to;
};

static int hear_record(void *arg, const struct raw_record *record)
{
    struct heard *h = arg;
    char text[32];
    assert_true(h->count < RECORDS);
    assert_true(h->tenant == 0 || record->tenant == h->tenant);
    assert_true(slice_equal(record->edge, SLICE("mx1")));
    assert_int_equal(record->edge_ts, 1700000000000000 + (int64_t)record->seq);
    assert_memory_equal(record->request.p, "request=smtpd_access_policy\n", 28);
    assert_memory_equal(record->request.p + record->request.n - 2, "\n\n", 2);
    (void)snprintf(text, sizeof text, "\ninstance=i%lu\n", (unsigned long)((record->seq - 1) / 4));
    assert_non_null(memmem(record->request.p, record->request.n, text, strlen(text)));
    h->canaries += memmem(record->request.p, record->request.n, "u1@own.test", 11) != NULL;
    h->seqs[h->count++] = record->seq;
    h->last_hub_us = record->hub_ts;
    return 0;
}

static int hear_gap(void *arg, int64_t from_us, int64_t to_us)
{
    struct heard *h = arg;
    h->gaps++;
    h->gap_from = from_us;
    h->gap_to = to_us;
    return 0;
}

/* The cursor goes through its text, as between two requests. */
static int read_page(struct depot *d, struct raw_place *place, uint64_t limit, struct heard *h, bool *more)
{
    char text[RAW_PLACE_BYTES];
    struct err err = {0};
    struct raw_page page = {
        .place = *place, .limit = limit, .record = hear_record, .gap = hear_gap, .arg = h};
    int rc = originals_read(d->journal, d->account, &page, &err);
    raw_place_write(&page.place, text);
    assert_int_equal(raw_place_read(slice_of(text), place), 0);
    *more = page.more;
    return rc;
}

static void read_all(struct depot *d, struct raw_place *place, uint64_t limit, struct heard *h)
{
    bool more = true;
    while (more)
        assert_int_equal(read_page(d, place, limit, h, &more), 0);
}

static struct raw_place beginning(uint32_t tenant)
{
    return (struct raw_place){.tenant = tenant, .gap = true};
}

static void expect(const struct heard *h, uint64_t first, uint64_t last)
{
    assert_int_equal(h->count, last - first + 1);
    for (size_t i = 0; i < h->count; i++)
        assert_int_equal(h->seqs[i], first + i);
}

static void send_others(struct depot *d, size_t count)
{
    uint64_t seq = d->seq;
    d->tenant++;
    d->seq = 1;
    depot_send(d, count, 5, 0);
    d->tenant--;
    d->seq = seq;
}

/* All that is sealed goes, as when it is old enough. */
static void remove_segments(struct depot *d)
{
    uint64_t oldest, next;
    bool worked = true;
    assert_int_equal(journal_rotate(d->journal, NULL), 0);
    journal_span(d->journal, &oldest, &next);
    assert_int_equal(journal_retire(d->journal, (struct journal_pos){next - 1, UINT32_MAX}, NULL), 0);
    while (worked)
        assert_int_equal(journal_maintain(d->journal, INT64_MAX, 0, &worked, NULL), 0);
    journal_span(d->journal, &oldest, &next);
    assert_int_equal(oldest, 0);
}

static void each_is_told_once(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 2, 7, 36, 37, 38, 5000};
    struct depot d;
    depot_open(&d, "null");
    for (int i = 0; i < 4; i++) {
        depot_send(&d, 100, 37, 0);
        send_others(&d, 10);
        assert_int_equal(journal_rotate(d.journal, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        struct heard h = {.tenant = d.tenant};
        struct raw_place place = beginning(d.tenant);
        read_all(&d, &place, limits[i], &h);
        expect(&h, 1, 400);
        assert_int_equal(h.gaps, 1); /* what was before the journal's beginning */
        assert_int_equal(h.gap_from, 0);
        read_all(&d, &place, limits[i], &h);
        assert_int_equal(h.count, 400);
    }
    struct heard all = {0};
    struct raw_place place = beginning(0);
    read_all(&d, &place, 5000, &all);
    assert_int_equal(all.count, 440);
    depot_close(&d);
}

static void an_erased_address_is_not_told(void **state)
{
    (void)state;
    struct depot d;
    struct heard before = {0}, covered = {0}, scrubbed = {0};
    struct raw_place place;
    struct erasures *erasures;
    struct scrubber *scrubber;
    uint64_t id, number = 0, records;
    bool changed;
    depot_open(&d, "null");
    depot_send(&d, 400, 37, 0);
    place = beginning(d.tenant);
    read_all(&d, &place, 10, &before);
    assert_true(before.canaries > 0);
    struct account_tombstone t = {
        .tenant = d.tenant, .address = "U1@own.test", .before_us = clock_real_us() + 1, .who = "me"};
    assert_int_equal(account_tombstone_add(d.account, &t, &id, NULL), 0);
    place = beginning(d.tenant);
    read_all(&d, &place, 10, &covered); /* the tombstone alone */
    assert_int_equal(covered.canaries, 0);
    assert_int_equal(covered.count, 400 - before.canaries);
    assert_int_equal(journal_rotate(d.journal, NULL), 0);
    assert_int_equal(erasures_load(&erasures, d.account, 0, NULL), 0);
    assert_int_equal(scrubber_create(&scrubber, erasures, NULL), 0);
    while (journal_next_sealed(d.journal, number, &number, &records) == 0)
        assert_int_equal(journal_scrub(d.journal, number, scrubber_look, scrubber, &changed, NULL), 0);
    scrubber_destroy(&scrubber);
    erasures_destroy(&erasures);
    assert_int_equal(account_tombstone_remove(d.account, d.tenant, id, NULL), 0);
    place = beginning(d.tenant);
    read_all(&d, &place, 10, &scrubbed); /* the journal alone */
    assert_int_equal(scrubbed.canaries, 0);
    assert_int_equal(scrubbed.count, covered.count);
    assert_int_equal(scrubbed.gaps, 1);
    depot_close(&d);
}

static void what_was_removed_is_a_gap(void **state)
{
    (void)state;
    struct depot d;
    struct heard h = {0};
    bool more;
    depot_open(&d, "null");
    struct raw_place place = beginning(d.tenant);
    depot_send(&d, 100, 10, 0);
    assert_int_equal(read_page(&d, &place, 55, &h, &more), 0); /* within a batch */
    assert_true(more);
    int64_t last_us = h.last_hub_us;
    remove_segments(&d);
    depot_send(&d, 20, 10, 0);
    h = (struct heard){0};
    read_all(&d, &place, 5000, &h);
    expect(&h, 101, 120);
    assert_int_equal(h.gaps, 1);
    assert_int_equal(h.gap_from, last_us);
    assert_true(h.gap_to > last_us && h.gap_to <= h.last_hub_us);
    remove_segments(&d); /* all of it was read: nothing is missing */
    send_others(&d, 10);
    depot_send(&d, 20, 10, 0);
    h = (struct heard){0};
    read_all(&d, &place, 5000, &h);
    expect(&h, 121, 140);
    assert_int_equal(h.gaps, 0);
    depot_close(&d);
}

static void a_restart_is_none_and_damage_is_one(void **state)
{
    (void)state;
    struct depot d;
    struct heard h = {0};
    depot_open(&d, "null");
    struct raw_place place = beginning(d.tenant);
    depot_send(&d, 10, 10, 0);
    read_all(&d, &place, 5000, &h);
    journal_close(&d.journal);
    depot_open_journal(&d);
    depot_send(&d, 10, 10, 0);
    read_all(&d, &place, 5000, &h);
    expect(&h, 1, 20);
    assert_int_equal(h.gaps, 1);
    depot_put(&d, COMMIT_BATCH, SLICE("whose it was, nobody knows"));
    depot_sync(&d);
    read_all(&d, &place, 5000, &h); /* told before the next record, in whatever page that is */
    assert_int_equal(h.gaps, 1);
    depot_send(&d, 10, 10, 0);
    read_all(&d, &place, 5000, &h);
    expect(&h, 1, 30);
    assert_int_equal(h.gaps, 2);
    depot_close(&d);
}

/* Pages that end within a journal's record and before one of the next epoch. */
static void pages_of_any_size_go_over_a_restart(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 3, 10, 11, 5000};
    struct depot d;
    depot_open(&d, "null");
    for (int i = 0; i < 3; i++) {
        depot_send(&d, 30, 10, 0);
        journal_close(&d.journal);
        depot_open_journal(&d);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        struct heard h = {.tenant = d.tenant};
        struct raw_place place = beginning(d.tenant);
        read_all(&d, &place, limits[i], &h);
        expect(&h, 1, 90);
        assert_int_equal(h.gaps, 1);
    }
    depot_close(&d);
}

static void run(const char *format, const struct depot *d)
{
    char command[2048];
    const char *journal = d->path[DEPOT_JOURNAL];
    (void)snprintf(command, sizeof command, format, journal, journal, journal);
    assert_int_equal(system(command), 0);
}

/* The journal as it was earlier: what was read since then, and where, is no longer in it. */
static void a_place_in_what_was_replaced_is_refused(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 95, 105, 5000}; /* within the first record, … and at the end */
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        struct depot d;
        struct heard h = {0};
        bool more;
        depot_open(&d, "null");
        struct raw_place before = beginning(d.tenant), place;
        depot_send(&d, 10, 10, 0);
        read_all(&d, &before, 5000, &h);
        journal_close(&d.journal);
        run("cp -a %s %s.copy", &d);
        depot_open_journal(&d);
        depot_send(&d, 110, 10, 0);
        place = before;
        assert_int_equal(read_page(&d, &place, limits[i], &h, &more), 0);
        assert_true(place.pos.segment > before.pos.segment);
        journal_close(&d.journal);
        run("rm -r %s && mv %s.copy %s", &d);
        depot_open_journal(&d);
        d.seq = 11;
        depot_send(&d, 20, 5, 0);
        assert_int_equal(journal_rotate(d.journal, NULL), 0);
        depot_send(&d, 20, 5, 0);
        h = (struct heard){0};
        assert_int_equal(read_page(&d, &place, 5000, &h, &more), ERR_CONFLICT);
        assert_int_equal(h.count, 0);
        read_all(&d, &before, 5000, &h); /* of what the copy has */
        expect(&h, 11, 50);
        depot_close(&d);
    }
}

/* Whoever makes cursors up hurts himself only. */
static void a_made_up_place(void **state)
{
    (void)state;
    struct depot d;
    struct journal_stats stats;
    uint64_t oldest, next;
    bool more;
    depot_open(&d, "null");
    depot_send(&d, 100, 10, 0);
    send_others(&d, 100);
    journal_span(d.journal, &oldest, &next);
    for (uint64_t offset = 0; offset < 2048; offset += 3) {
        struct heard h = {.tenant = d.tenant};
        struct raw_place place = {.tenant = d.tenant, .pos = {oldest, offset}, .skip = (uint32_t)offset};
        read_all(&d, &place, 5000, &h);
    }
    journal_get_stats(d.journal, &stats);
    assert_int_equal(stats.quarantined, 0);
    struct heard h = {0};
    struct raw_place place = {.tenant = d.tenant, .pos = {next, 0}};
    assert_int_equal(read_page(&d, &place, 1, &h, &more), ERR_CONFLICT);
    assert_int_equal(h.count, 0);
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_told_once),
        cmocka_unit_test(an_erased_address_is_not_told),
        cmocka_unit_test(what_was_removed_is_a_gap),
        cmocka_unit_test(a_restart_is_none_and_damage_is_one),
        cmocka_unit_test(pages_of_any_size_go_over_a_restart),
        cmocka_unit_test(a_place_in_what_was_replaced_is_refused),
        cmocka_unit_test(a_made_up_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
