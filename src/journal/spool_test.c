/* SPDX-License-Identifier: Apache-2.0
 *
 * spool: what was accepted is in the journal exactly once and in order, and readers and compression may work
 * meanwhile. spool_disk_test.c has bad disks, ring_test.c kill -9.
 */
#include "spooling.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void what_is_appended_is_in_the_journal(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spooling_found found;
    struct spool_stats stats;
    for (int round = 0; round < 2; round++) {
        struct spool *spool = spooling_open(&options);
        for (uint64_t n = 1; n <= 5000; n++) {
            assert_int_equal(spooling_append(spool, n), 0);
            if (n % 200 == 0)
                spooling_wait(spool, false);
        }
        spooling_wait(spool, true);
        spool_get_stats(spool, &stats);
        assert_int_equal(stats.accepted, 5000);
        assert_int_equal(stats.lost_ring_full, 0);
        assert_int_equal(stats.recovered, 0);
        assert_int_equal(stats.journal.appended, 5000);
        spooling_close(spool);
    }
    spooling_read(*state, false, &found);
    assert_int_equal(found.n, 2);
    assert_int_equal(found.of[0].records, 5000);
    assert_int_equal(found.of[1].records, 5000);
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"), 0); /* an empty ring is removed */
}

/* --- readers -------------------------------------------------------------------------------------------- */

struct follower {
    struct spool *spool;
    uint64_t until;
    _Atomic uint64_t seen, early;
};

/* Reads along, retires, compresses: what the uplink does. */
static void *follow(void *arg)
{
    struct follower *follower = arg;
    struct journal *journal = spool_journal(follower->spool);
    struct journal_reader *reader;
    struct journal_record record;
    bool worked;
    if (journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL) != 0)
        return NULL;
    while (atomic_load(&follower->seen) < follower->until) {
        int rc = journal_reader_next(reader, &record, NULL);
        if (rc != 0) {
            (void)!journal_maintain(journal, 0, 0, &worked, NULL);
            usleep(500);
            continue;
        }
        struct journal_stats stats;
        journal_get_stats(journal, &stats);
        if (record.seq > stats.synced_seq || record.seq != atomic_load(&follower->seen) + 1)
            atomic_fetch_add(&follower->early, 1);
        atomic_store(&follower->seen, record.seq);
        if (record.seq % 100 == 0)
            (void)!journal_retire(journal, record.next, NULL);
    }
    journal_reader_close(&reader);
    return NULL;
}

static void a_reader_follows_the_writer(void **state)
{
    struct spool_options options = spooling_options(*state);
    options.journal.compress_level = 1;
    options.journal.segment_bytes = 128 * 1024;
    options.sync_interval_us = 6000;
    struct spool *spool = spooling_open(&options);
    struct follower follower = {.spool = spool, .until = 20000};
    pthread_t thread;
    struct spool_stats stats;
    assert_int_equal(pthread_create(&thread, NULL, follow, &follower), 0);
    for (uint64_t n = 1; n <= follower.until; n++) {
        assert_int_equal(spooling_append(spool, n), 0);
        if (n % 100 == 0) {
            spool_get_stats(spool, &stats);
            while (stats.unwritten > 100 && usleep(500) == 0)
                spool_get_stats(spool, &stats);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&follower.early), 0);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.depth, 0);
    assert_int_equal(stats.journal.dropped, 0);
    spooling_close(spool);
}

static void count_sync(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void always_syncs_at_once(void **state)
{
    struct spool_options options = spooling_options(*state);
    options.sync = SPOOL_SYNC_ALWAYS;
    options.sync_interval_us = 3600 * US_PER_SECOND; /* has no say here */
    _Atomic unsigned syncs = 0;
    struct spool *spool = spooling_open(&options);
    assert_int_equal(spool_on_sync(spool, count_sync, &syncs), 0);
    for (uint64_t n = 1; n <= 50; n++) {
        int64_t end = clock_monotonic_us() + spooling_limit_us;
        assert_int_equal(spooling_append(spool, n), 0);
        while (spool_synced_seq(spool) < n)
            assert_true(clock_monotonic_us() < end);
    }
    assert_true(atomic_load(&syncs) >= 49);
    spooling_close(spool);
}

/* --- sealing -------------------------------------------------------------------------------------------- */

static uint64_t wait_sealed(struct spool *spool)
{
    int64_t end = clock_monotonic_us() + spooling_limit_us;
    uint64_t before;
    spool_seal(spool);
    while ((before = spool_sealed_before(spool)) == 0 && usleep(500) == 0)
        assert_true(clock_monotonic_us() < end);
    return before;
}

/* Of a spool that gets little, what was retired goes all the same; what comes later is in another segment. */
static void a_sealed_segment_goes(void **state)
{
    struct spool_options options = spooling_options(*state);
    options.sync_interval_us = 3600 * US_PER_SECOND; /* sealing waits for no sync */
    struct spool *spool = spooling_open(&options);
    struct journal *journal = spool_journal(spool);
    uint64_t oldest, next;
    bool worked;
    assert_int_not_equal(wait_sealed(spool), 0); /* nothing is there: done at once */
    for (uint64_t n = 1; n <= 60; n++) {
        assert_int_equal(spooling_append(spool, n), 0);
        if (n % 20 != 0)
            continue;
        uint64_t before = wait_sealed(spool);
        journal_span(journal, &oldest, &next);
        assert_true(oldest != 0 && oldest < before);
        assert_int_equal(spool_synced_seq(spool), n);
        assert_int_equal(testdir_count(*state, ".seg"), 1);
        assert_int_equal(journal_retire(journal, (struct journal_pos){before - 1, UINT64_MAX}, NULL), 0);
        do
            assert_int_equal(journal_maintain(journal, 0, 0, &worked, NULL), 0);
        while (worked);
        assert_int_equal(testdir_count(*state, ".seg"), 0);
    }
    spooling_close(spool);
}

/* Records that come while it is sealed are in one segment or the other, none twice. */
static void sealing_holds_up_nothing(void **state)
{
    struct spool_options options = spooling_options(*state);
    options.journal.segment_bytes = 16 << 20; /* none is full */
    struct spooling_found found;
    struct spool *spool = spooling_open(&options);
    for (uint64_t n = 1; n <= 5000; n++) {
        assert_int_equal(spooling_append(spool, n), 0);
        if (n % 40 == 0)
            spool_seal(spool);
        if (n % 200 == 0)
            (void)wait_sealed(spool);
    }
    spooling_close(spool);
    spooling_read(*state, false, &found);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.of[0].records, 5000);
    assert_true(testdir_count(*state, ".seg") >= 25);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(what_is_appended_is_in_the_journal),
        IN_DIR(a_reader_follows_the_writer),
        IN_DIR(always_syncs_at_once),
        IN_DIR(a_sealed_segment_goes),
        IN_DIR(sealing_holds_up_nothing),
    };
    if (spooling_begin() != 0)
        return 1;
    return spooling_end(cmocka_run_group_tests(tests, NULL, NULL));
}
