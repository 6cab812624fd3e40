/* SPDX-License-Identifier: Apache-2.0
 *
 * depot: see depot.h.
 */
#include "hub/depot.h"

#include "base/clock.h"
#include "base/test.h"
#include "store/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t patience_us = 60 * US_PER_SECOND;

static void woken(void *arg)
{
    struct depot *d = arg;
    if (d->loader != NULL)
        loader_wake(d->loader);
}

void depot_open_journal(struct depot *d)
{
    struct err err = {0};
    struct journal_options options = {
        .dir = d->path[DEPOT_JOURNAL], .max_bytes = 64 << 20, .segment_bytes = 1 << 16};
    if (journal_open(&d->journal, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    journal_on_sync(d->journal, woken, d);
    d->settled = false;
}

void depot_open_in(struct depot *d, const char *engine, char *dir, bool fresh)
{
    static const char *const names[] = {"journal", "store", "account.db", "quarantine"};
    struct err err = {0};
    struct store *inner;
    *d = (struct depot){.dir = dir, .seq = 1, .batch_rows = 100, .keep_us = 3600 * US_PER_SECOND};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        (void)snprintf(d->path[i], sizeof d->path[i], "%.400s/%s", d->dir, names[i]);
    depot_open_journal(d);
    struct store_options options = {
        .engine = engine, .dir = d->path[DEPOT_STORE], .memory_bytes = 256 << 20, .query_threads = 1};
    if (store_open(&inner, &options, &err) != 0 ||
        account_open(&d->account, d->path[DEPOT_ACCOUNT], &err) != 0)
        fail_msg("%s", err_detail(&err));
    d->store = faulty_wrap(inner);
    assert_int_equal(batch_writer_create(&d->writer, 1), 0);
    if (!fresh)
        return;
    if (account_tenant_add(d->account, "t", &d->tenant, &err) != 0)
        fail_msg("%s", err_detail(&err));
    struct account_domain own = {d->tenant, "own.test", DOMAIN_OWN, true};
    assert_int_equal(account_domain_add(d->account, &own, &err), 0);
}

void depot_open(struct depot *d, const char *engine)
{
    depot_open_in(d, engine, fixture_directory(), true);
}

void depot_close(struct depot *d)
{
    loader_stop(&d->loader);
    batch_writer_destroy(&d->writer);
    account_close(&d->account);
    store_close(&d->store);
    journal_close(&d->journal);
    fixture_remove(d->dir);
}

void depot_start(struct depot *d)
{
    struct err err = {0};
    struct loader_options options = {.journal = d->journal,
                                     .store = d->store,
                                     .account_path = d->path[DEPOT_ACCOUNT],
                                     .quarantine_dir = d->path[DEPOT_QUARANTINE],
                                     .commit_interval_us = 1000,
                                     .batch_rows = d->batch_rows,
                                     .journal_keep_us = d->keep_us};
    if (!d->settled && loader_settle(d->journal, d->store, &err) != 0)
        fail_msg("%s", err_detail(&err));
    d->settled = true;
    if (loader_start(&d->loader, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

void depot_put(struct depot *d, uint16_t kind, struct slice bytes)
{
    struct err err = {0};
    if (journal_append(d->journal, kind, clock_real_us(), bytes, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

void depot_send_batch(struct depot *d)
{
    struct buf buf;
    struct commit commit = {.tenant = d->tenant,
                            .edge = SLICE("mx1"),
                            .epoch = {{1}},
                            .count = batch_writer_count(d->writer),
                            .hub_ts = clock_real_us()};
    commit.first_seq = d->seq - commit.count;
    buf_init(&buf, JOURNAL_RECORD_BYTES);
    assert_int_equal(batch_writer_finish(d->writer, &commit.body, &commit.hash), 0);
    assert_int_equal(commit_encode(&commit, &buf), 0);
    depot_put(d, COMMIT_BATCH, buf_slice(&buf));
    batch_writer_clear(d->writer);
    buf_fini(&buf);
}

void depot_sync(struct depot *d)
{
    struct err err = {0};
    if (journal_sync(d->journal, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

void depot_add(struct depot *d, const char *helo)
{
    char text[512];
    uint64_t i = d->seq - 1, message = i / 4, step = i % 4;
    bool end = step == 3;
    (void)snprintf(
        text, sizeof text,
        "request=smtpd_access_policy\nprotocol_state=%s\ninstance=i%lu\nhelo_name=%s\nrecipient=%s\n"
        "recipient_count=%d\nclient_address=203.0.113.7\nsender=s@far.test\n\n",
        end ? "END-OF-MESSAGE" : "RCPT", (unsigned long)message, helo,
        end                              ? ""
        : step == 2 && message % 10 == 0 ? "u1@own.test"
        : step == 2                      ? "u3@far.test"
        : step == 1                      ? "u1@own.test"
                                         : "u2@own.test",
        end ? 3 : 0);
    assert_int_equal(
        batch_writer_add(d->writer, RECORD_POLICY, 1700000000000000 + (int64_t)d->seq, slice_of(text)), 0);
    d->seq++;
}

void depot_send(struct depot *d, size_t count, size_t batch, uint64_t poison_every)
{
    for (size_t i = 0; i < count; i++) {
        depot_add(d, poison_every != 0 && d->seq % poison_every == 0 ? "poison" : "helo");
        if (batch_writer_count(d->writer) == batch || i + 1 == count)
            depot_send_batch(d);
    }
    depot_sync(d);
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

struct loader_stats depot_stats(struct depot *d)
{
    struct loader_stats stats;
    loader_get_stats(d->loader, &stats);
    return stats;
}

void depot_wait(struct depot *d, uint64_t stored, uint64_t quarantined)
{
    int64_t until = clock_monotonic_us() + patience_us;
    size_t count = 0;
    struct loader_stats stats;
    do {
        nap();
        free(faulty_seen(d->store, &count));
        stats = depot_stats(d);
    } while ((count < stored || stats.quarantined < quarantined || stats.lag_us != 0) &&
             clock_monotonic_us() < until);
    if (count != stored || stats.quarantined != quarantined || stats.lag_us != 0 || stats.stalled)
        fail_msg("stored %zu of %lu, quarantined %lu of %lu, lag %ld us, stalled %d %s", count,
                 (unsigned long)stored, (unsigned long)stats.quarantined, (unsigned long)quarantined,
                 (long)stats.lag_us, stats.stalled, stats.error);
}

void depot_wait_stalled(struct depot *d, const char *why)
{
    int64_t until = clock_monotonic_us() + patience_us;
    struct loader_stats stats = depot_stats(d);
    for (; !(stats.stalled && strcmp(stats.error, why) == 0) && clock_monotonic_us() < until;
         stats = depot_stats(d))
        nap();
    assert_true(stats.stalled);
    assert_string_equal(stats.error, why);
    assert_true(stats.lag_us > 0);
}

size_t depot_quarantined(struct depot *d)
{
    size_t count = 0;
    DIR *dir = opendir(d->path[DEPOT_QUARANTINE]);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

void depot_check_rows(struct depot *d, uint64_t poison_every)
{
    size_t count, at = 0;
    struct seen *seen = faulty_seen(d->store, &count);
    for (uint64_t seq = 1; seq < d->seq; seq++) {
        if (poison_every != 0 && seq % poison_every == 0)
            continue;
        uint64_t message = (seq - 1) / 4, step = (seq - 1) % 4;
        bool retry = step == 2 && message % 10 == 0, end = step == 3;
        int direction = end                   ? (message % 10 == 0 ? DIRECTION_IN : DIRECTION_ABSENT)
                        : step == 2 && !retry ? DIRECTION_RELAY
                                              : DIRECTION_IN;
        assert_true(at < count);
        const struct seen *s = &seen[at++];
        if (s->seq != seq || s->first != (step == 0) || s->retry_of != (retry ? seq - 1 : 0) ||
            s->recipients != (end || retry ? 0 : 1) || s->direction != direction)
            fail_msg("row %zu: seq %lu (want %lu) first %d retry_of %lu recipients %u direction '%s'", at - 1,
                     (unsigned long)s->seq, (unsigned long)seq, s->first, (unsigned long)s->retry_of,
                     s->recipients, event_direction_name(s->direction));
    }
    assert_int_equal(at, count);
    free(seen);
}
