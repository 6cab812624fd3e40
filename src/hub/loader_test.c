/* SPDX-License-Identifier: Apache-2.0
 *
 * loader: whatever happens, each event is stored once, in order, with the same meaning. depot.h has the
 * parts.
 */
#include "base/clock.h"
#include "base/test.h"
#include "hub/depot.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t patience_us = 60 * US_PER_SECOND;

static void everything_is_stored_once(void **state)
{
    (void)state;
    static const char *const engines[] = {"null", "duckdb"};
    for (size_t i = 0; i < ARRAY_LENGTH(engines); i++) {
        struct depot d;
        struct store_stats stats;
        depot_open(&d, engines[i]);
        depot_send(&d, 1000, 37, 0); /* a backlog */
        depot_start(&d);
        depot_wait(&d, 1000, 0);
        depot_send(&d, 1, 1, 0); /* and what comes while it waits */
        depot_wait(&d, 1001, 0);
        depot_send(&d, 250, 250, 0); /* a batch over several transactions */
        depot_wait(&d, 1251, 0);
        depot_check_rows(&d, 0);
        assert_int_equal(faulty_largest(d.store), 100);
        store_get_stats(d.store, &stats);
        assert_int_equal(stats.rows, 1251);
        assert_int_equal(depot_stats(&d).parse_errors, 0);
        loader_stop(&d.loader);
        struct store_cursor cursor; /* stopping makes a checkpoint, and what it holds retires */
        assert_int_equal(store_cursor(d.store, &cursor, NULL), 0);
        assert_int_equal(journal_pos_compare(journal_retired(d.journal), cursor.pos), 0);
        depot_close(&d);
    }
}

static void full_size_transactions_of_a_backlog(void **state)
{
    (void)state;
    struct depot d;
    depot_open(&d, "null");
    d.batch_rows = 10000;
    depot_send(&d, 40000, 4000, 0);
    depot_start(&d);
    depot_wait(&d, 40000, 0);
    depot_check_rows(&d, 0);
    assert_in_range(faulty_largest(d.store), 10000 - 4096, 10000);
    assert_in_range(depot_stats(&d).commits, 4, 10);
    depot_close(&d);
}

static void a_dead_store_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        enum fault_mode mode;
        const char *why;
    } cases[] = {{FAULT_DEAD_IO, "the disk is dead"},
                 {FAULT_DEAD_ENGINE, "the engine is dead"},
                 {FAULT_NO_CURSOR, "the cursor can't be read"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct depot d;
        depot_open(&d, "null");
        depot_send(&d, 500, 50, 0);
        depot_start(&d);
        depot_wait(&d, 500, 0);
        faulty_set(d.store, cases[i].mode);
        depot_send(&d, 500, 50, 0); /* receiving goes on */
        depot_wait_stalled(&d, cases[i].why);
        depot_send(&d, 500, 50, 0);
        faulty_set(d.store, FAULT_NONE);
        depot_wait(&d, 1500, 0);
        depot_check_rows(&d, 0);
        assert_int_equal(depot_quarantined(&d), 0);
        depot_close(&d);
    }
}

static void stopping_does_not_wait_for_a_dead_store(void **state)
{
    (void)state;
    struct depot d;
    depot_open(&d, "null");
    depot_start(&d);
    faulty_set(d.store, FAULT_DEAD_IO);
    depot_send(&d, 500, 50, 0);
    depot_wait_stalled(&d, "the disk is dead");
    loader_stop(&d.loader);
    faulty_set(d.store, FAULT_NONE);
    depot_start(&d);
    depot_wait(&d, 500, 0);
    depot_check_rows(&d, 0);
    depot_close(&d);
}

/* A new loader (and now and then a new journal epoch) after each commit: the rows are as if it had never
 * stopped. */
static void restarts_change_nothing(void **state)
{
    (void)state;
    static const struct {
        size_t events, batch, rows;
    } cases[] = {{200, 9, 7}, {100, 50, 1}, {300, 1, 4}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct depot d;
        size_t count = 0, restarts = 0;
        depot_open(&d, "null");
        d.batch_rows = cases[i].rows;
        depot_send(&d, cases[i].events, cases[i].batch, 0);
        while (count < cases[i].events) {
            size_t before = count;
            int64_t until = clock_monotonic_us() + patience_us;
            depot_start(&d);
            while (count == before && clock_monotonic_us() < until)
                free(faulty_seen(d.store, &count));
            loader_stop(&d.loader);
            free(faulty_seen(d.store, &count));
            assert_true(count > before);
            if (++restarts % 5 == 0) {
                journal_close(&d.journal);
                depot_open_journal(&d);
            }
        }
        depot_check_rows(&d, 0);
        depot_close(&d);
    }
}

static void new_rules_hold_for_what_comes_then(void **state)
{
    (void)state;
    struct depot d;
    size_t count;
    depot_open(&d, "null");
    depot_start(&d);
    depot_send(&d, 4, 4, 0);
    depot_wait(&d, 4, 0);
    uint32_t version = 0;
    for (uint64_t round = 1; round <= 20; round++) {
        enum domain_kind kind = round % 2 == 0 ? DOMAIN_OWN : DOMAIN_RELAYED;
        struct account_domain far = {d.tenant, "far.test", kind, true};
        d.seq = 5 + 80 * round;
        depot_send(&d, 1, 1, 0); /* so that the loader has just looked when the rule is made */
        assert_int_equal(account_domain_add(d.account, &far, NULL), 0);
        d.seq = 47 + 80 * round; /* the third event of a message that is no retry: far.test */
        depot_send(&d, 1, 1, 0);
        depot_wait(&d, 4 + 2 * round, 0);
        struct seen *seen = faulty_seen(d.store, &count);
        assert_int_equal(seen[count - 1].direction, kind == DOMAIN_OWN ? DIRECTION_IN : DIRECTION_RELAY);
        assert_true(seen[count - 1].rule_version > version);
        version = seen[count - 1].rule_version;
        free(seen);
        assert_int_equal(account_domain_remove(d.account, d.tenant, "far.test", NULL), 0);
    }
    depot_close(&d);
}

/* The journal's directory was lost, the store was not: the new journal's numbers lie behind the old cursor.
 */
static void a_new_journal_is_read_on_from_its_beginning(void **state)
{
    (void)state;
    struct depot d;
    depot_open(&d, "null");
    depot_send(&d, 120, 8, 0);
    depot_start(&d);
    depot_wait(&d, 120, 0);
    loader_stop(&d.loader);
    journal_close(&d.journal);
    (void)snprintf(d.path[DEPOT_JOURNAL], sizeof d.path[DEPOT_JOURNAL], "%.400s/journal-new", d.dir);
    depot_open_journal(&d);
    depot_start(&d);
    depot_send(&d, 40, 8, 0);
    depot_wait(&d, 160, 0);
    depot_check_rows(&d, 0);
    depot_close(&d);
}

/* The store was another hub's, or the clock was far ahead when its journal began. */
static void a_cursor_beyond_the_journal_holds_nothing_up(void **state)
{
    (void)state;
    struct depot d;
    struct store_cursor beyond = {{UINT64_C(1) << 60, 4096}, 3};
    depot_open(&d, "null");
    assert_int_equal(store_commit(d.store, beyond, NULL), 0);
    depot_start(&d);
    depot_send(&d, 40, 8, 0);
    depot_wait(&d, 40, 0);
    depot_check_rows(&d, 0);
    loader_stop(&d.loader);
    depot_start(&d); /* and nothing twice */
    depot_send(&d, 40, 8, 0);
    depot_wait(&d, 80, 0);
    depot_check_rows(&d, 0);
    depot_close(&d);
}

static void copy_journal(const char *from, const char *to)
{
    char command[2048];
    (void)snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

/* What is written then has the numbers and offsets of what the store has read. */
static void a_restored_journal_skips_nothing_and_repeats_nothing(void **state)
{
    (void)state;
    static const char *const engines[] = {"null", "duckdb"};
    for (size_t i = 0; i < ARRAY_LENGTH(engines); i++) {
        struct depot d;
        char backup[512];
        depot_open(&d, engines[i]);
        (void)snprintf(backup, sizeof backup, "%.400s/backup", d.dir);
        depot_send(&d, 40, 8, 0);
        depot_start(&d);
        depot_wait(&d, 40, 0);
        loader_stop(&d.loader);
        journal_close(&d.journal);
        copy_journal(d.path[DEPOT_JOURNAL], backup);
        depot_open_journal(&d);
        depot_start(&d);
        depot_send(&d, 40, 8, 0);
        depot_wait(&d, 80, 0);
        loader_stop(&d.loader);
        journal_close(&d.journal);
        copy_journal(backup, d.path[DEPOT_JOURNAL]);
        depot_open_journal(&d);
        depot_send(&d, 80, 8, 0); /* received before there is a loader */
        depot_start(&d);
        depot_wait(&d, 160, 0);
        faulty_set(d.store, FAULT_DEAD_IO); /* what failed is found again behind the new cursor */
        depot_send(&d, 40, 8, 0);
        depot_wait_stalled(&d, "the disk is dead");
        faulty_set(d.store, FAULT_NONE);
        depot_wait(&d, 200, 0);
        depot_check_rows(&d, 0);
        depot_close(&d);
    }
}

static void bad_options_are_one_clear_line(void **state)
{
    (void)state;
    struct depot d;
    struct err err = {0};
    depot_open(&d, "null");
    struct loader_options options = {.journal = d.journal,
                                     .store = d.store,
                                     .account_path = d.path[DEPOT_ACCOUNT],
                                     .quarantine_dir = "/proc/no/such/place"};
    assert_int_not_equal(loader_start(&d.loader, &options, &err), 0);
    assert_null(d.loader);
    assert_non_null(strstr(err_detail(&err), "/proc/no/such/place"));
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_stored_once),
        cmocka_unit_test(full_size_transactions_of_a_backlog),
        cmocka_unit_test(a_dead_store_is_waited_for),
        cmocka_unit_test(stopping_does_not_wait_for_a_dead_store),
        cmocka_unit_test(restarts_change_nothing),
        cmocka_unit_test(new_rules_hold_for_what_comes_then),
        cmocka_unit_test(a_new_journal_is_read_on_from_its_beginning),
        cmocka_unit_test(a_cursor_beyond_the_journal_holds_nothing_up),
        cmocka_unit_test(a_restored_journal_skips_nothing_and_repeats_nothing),
        cmocka_unit_test(bad_options_are_one_clear_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
