/* SPDX-License-Identifier: Apache-2.0
 *
 * erase: what a tombstone covers is passed by the loader, and scrubbed it is nowhere in the journal and the
 * quarantine: not even without the tombstone does a rebuild bring it back, and all else comes back.
 */
#include "account/tombstone.h"
#include "base/clock.h"
#include "base/test.h"
#include "hub/depot.h"
#include "hub/scrubber.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENTS = 400 };
static const char canary[] = "u1@own.test"; /* a recipient of depot.h's traffic: once or twice a message */

static void add_tombstone(struct depot *d, const char *address, int64_t before_us, uint64_t *id)
{
    struct account_tombstone t = {
        .tenant = d->tenant, .address = address, .before_us = before_us, .who = "me"};
    assert_int_equal(account_tombstone_add(d->account, &t, id, NULL), 0);
}

/* Step 1 of each message asks about it, and step 2 of each tenth (a retry). */
static bool has_canary(uint64_t seq)
{
    uint64_t message = (seq - 1) / 4, step = (seq - 1) % 4;
    return step == 1 || (step == 2 && message % 10 == 0);
}

static uint64_t survivors(uint64_t events)
{
    uint64_t n = 0;
    for (uint64_t seq = 1; seq <= events; seq++)
        n += !has_canary(seq);
    return n;
}

/* The store begins anew, as after the loss of its directory. */
static void wipe_store(struct depot *d, const char *name)
{
    struct store *inner;
    loader_stop(&d->loader);
    store_close(&d->store);
    (void)snprintf(d->path[DEPOT_STORE], sizeof d->path[DEPOT_STORE], "%.400s/%s", d->dir, name);
    struct store_options options = {.engine = "null", .dir = d->path[DEPOT_STORE]};
    assert_int_equal(store_open(&inner, &options, NULL), 0);
    d->store = faulty_wrap(inner);
    d->settled = false;
}

static struct scrubber_count scrub(struct depot *d)
{
    struct erasures *erasures;
    struct scrubber *scrubber;
    struct err err = {0};
    uint64_t number = 0, records;
    bool changed;
    assert_int_equal(journal_rotate(d->journal, NULL), 0);
    assert_int_equal(erasures_load(&erasures, d->account, 0, NULL), 0);
    assert_int_equal(scrubber_create(&scrubber, erasures, NULL), 0);
    while (journal_next_sealed(d->journal, number, &number, &records) == 0)
        if (journal_scrub(d->journal, number, scrubber_look, scrubber, &changed, &err) != 0)
            fail_msg("%s", err_detail(&err));
    assert_int_equal(scrubber_quarantine(scrubber, d->path[DEPOT_QUARANTINE], NULL), 0);
    struct scrubber_count count = scrubber_counted(scrubber);
    scrubber_destroy(&scrubber);
    erasures_destroy(&erasures);
    return count;
}

static void check_stored(struct depot *d, uint64_t events)
{
    size_t count;
    struct seen *seen = faulty_seen(d->store, &count);
    assert_int_equal(count, survivors(events));
    for (size_t i = 0; i < count; i++)
        assert_false(has_canary(seen[i].seq));
    free(seen);
}

static void it_does_not_come_back(void **state)
{
    (void)state;
    struct depot d;
    uint64_t id;
    depot_open(&d, "null");
    d.keep_us = INT64_MAX / 2;
    depot_send(&d, EVENTS, 37, 0);
    depot_start(&d);
    depot_wait(&d, EVENTS, 0); /* they are stored: the detector works */
    add_tombstone(&d, "U1@Own.Test", clock_real_us() + 1, &id);
    wipe_store(&d, "store-1");
    depot_start(&d);
    depot_wait(&d, survivors(EVENTS), 0); /* the tombstone alone */
    check_stored(&d, EVENTS);
    assert_int_equal(depot_stats(&d).erased, EVENTS - survivors(EVENTS));
    struct scrubber_count count = scrub(&d);
    assert_int_equal(count.events, EVENTS - survivors(EVENTS));
    assert_int_equal(count.lost + count.unreadable, 0);
    assert_int_equal(account_tombstone_remove(d.account, d.tenant, id, NULL), 0);
    wipe_store(&d, "store-2");
    depot_start(&d);
    depot_wait(&d, survivors(EVENTS), 0); /* the journal alone */
    check_stored(&d, EVENTS);
    assert_int_equal(depot_stats(&d).parse_errors, 0);
    assert_int_equal(scrub(&d).events, 0);
    depot_close(&d);
}

/* What comes after the moment is kept, whosever name it bears; other tenants' too. */
static void only_what_was_before_goes(void **state)
{
    (void)state;
    struct depot d;
    uint64_t id;
    depot_open(&d, "null");
    d.keep_us = INT64_MAX / 2;
    depot_send(&d, 100, 10, 0);
    int64_t moment_us = clock_real_us() + 1;
    add_tombstone(&d, canary, moment_us, &id);
    while (clock_real_us() < moment_us)
        continue;
    uint32_t own = d.tenant;
    depot_send(&d, 100, 10, 0);
    d.tenant = own + 1; /* another tenant's, in the same journal */
    d.seq = 1;
    depot_send(&d, 100, 10, 0);
    d.tenant = own;
    depot_start(&d);
    depot_wait(&d, survivors(100) + 200, 0);
    assert_int_equal(scrub(&d).events, 100 - survivors(100));
    wipe_store(&d, "store-1");
    depot_start(&d);
    depot_wait(&d, survivors(100) + 200, 0);
    depot_close(&d);
}

static void a_tenant_goes_as_a_whole(void **state)
{
    (void)state;
    struct depot d;
    uint64_t id;
    depot_open(&d, "null");
    d.keep_us = INT64_MAX / 2;
    depot_send(&d, 100, 10, 0);
    depot_put(&d, COMMIT_BATCH, SLICE("u1@own.test, and no commit"));
    depot_sync(&d);
    depot_start(&d);
    depot_wait(&d, 100, 0);
    assert_int_equal(depot_quarantined(&d), 1);
    add_tombstone(&d, "", clock_real_us() + 1, &id);
    struct scrubber_count count = scrub(&d);
    assert_int_equal(count.events, 100);
    assert_int_equal(count.unreadable, 2); /* the record, and the quarantine's file of it */
    assert_int_equal(depot_quarantined(&d), 0);
    assert_int_equal(account_tombstone_remove(d.account, d.tenant, id, NULL), 0);
    wipe_store(&d, "store-1");
    depot_start(&d);
    depot_send(&d, 4, 4, 0);
    depot_wait(&d, 4, 0);
    depot_close(&d);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%.500s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void quarantined_requests_are_searched(void **state)
{
    (void)state;
    struct depot d;
    uint64_t id;
    char text[512];
    depot_open(&d, "null");
    depot_start(&d); /* makes the quarantine */
    const char *dir = d.path[DEPOT_QUARANTINE];
    long now = (long)clock_real_us();
    (void)snprintf(text, sizeof text, "reason: x\ntenant: %u\nhub_ts: %ld\n\nrecipient=U1@own.test\n",
                   d.tenant, now);
    write_file(dir, "covered", text);
    (void)snprintf(text, sizeof text, "reason: x\ntenant: %u\nhub_ts: %ld\n\nrecipient=u2@own.test\n",
                   d.tenant, now);
    write_file(dir, "other", text);
    (void)snprintf(text, sizeof text, "reason: x\ntenant: %u\nhub_ts: %ld\n\nu1@own.test\n", d.tenant,
                   now + 900000000);
    write_file(dir, "later", text);
    (void)snprintf(text, sizeof text, "reason: x\ntenant: %u\nhub_ts: %ld\n\nu1@own.test\n", d.tenant + 1,
                   now);
    write_file(dir, "another-tenant", text);
    write_file(dir, "cut", "reason: x\n");
    add_tombstone(&d, canary, now + 1000000, &id);
    struct scrubber_count count = scrub(&d);
    assert_int_equal(count.files, 2);
    assert_int_equal(count.unreadable, 1);
    assert_int_equal(depot_quarantined(&d), 3);
    depot_close(&d);
}

static struct slice fill(char out[64], const char *text)
{
    (void)snprintf(out, 64, "%s", text);
    return slice_of(out);
}

static void where_an_address_counts(void **state)
{
    (void)state;
    static const struct {
        const char *sender, *recipient, *username, *sasl_sender, *extra;
        bool covered;
    } cases[] = {
        {"a@b.test", "", "", "", "", true},
        {"A@B.TEST", "", "", "", "", true},
        {"", "a@b.test", "", "", "", true},
        {"", "", "a@b.test", "", "", true},
        {"", "", "", "a@b.test", "", true},
        {"", "", "", "", "{\"x\":\"see A@b.test now\"}", true},
        {"xa@b.test", "a@b.tests", "a", "b.test", "{\"x\":\"a@b\"}", false},
        {"\"q\"@b.test", "", "", "", "", true},
        {"", "", "", "", "{\"x\":\"\\\"Q\\\"@b.test\"}", true},
        {"", "", "", "", "", false},
    };
    struct depot d;
    struct erasures *erasures;
    uint64_t id;
    char text[5][64];
    depot_open(&d, "null");
    add_tombstone(&d, "a@b.test", 1000, &id);
    add_tombstone(&d, "\"q\"@b.test", 1000, &id);
    add_tombstone(&d, "z@b.test", 2000, &id);
    assert_int_equal(erasures_load(&erasures, d.account, 0, NULL), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct event event = {.tenant = d.tenant,
                              .hub_ts = 999,
                              .sender = fill(text[0], cases[i].sender),
                              .recipient = fill(text[1], cases[i].recipient),
                              .sasl_username = fill(text[2], cases[i].username),
                              .sasl_sender = fill(text[3], cases[i].sasl_sender),
                              .extra = fill(text[4], cases[i].extra)};
        if (erasures_cover(erasures, &event) != cases[i].covered)
            fail_msg("case %zu", i);
        event.hub_ts = 1000;
        assert_false(erasures_cover(erasures, &event));
        event.hub_ts = 999;
        event.tenant++;
        assert_false(erasures_cover(erasures, &event));
    }
    assert_true(erasures_concern(erasures, d.tenant, 1999));
    assert_false(erasures_concern(erasures, d.tenant, 2000));
    erasures_destroy(&erasures);
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_does_not_come_back),    cmocka_unit_test(only_what_was_before_goes),
        cmocka_unit_test(a_tenant_goes_as_a_whole), cmocka_unit_test(quarantined_requests_are_searched),
        cmocka_unit_test(where_an_address_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
