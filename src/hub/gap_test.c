/* SPDX-License-Identifier: Apache-2.0
 *
 * gap: a part of the store is lost in the middle. The loader reads it again from the journal, before anything
 * new and each event once, as far as the journal reaches; then it goes on where it was.
 */
#include "base/clock.h"
#include "base/test.h"
#include "hub/depot.h"
#include "store/fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTS = 5, EACH = 300, FRESH = 200 };

static void leave(struct depot *d)
{
    loader_stop(&d->loader);
    batch_writer_destroy(&d->writer);
    account_close(&d->account);
    store_close(&d->store);
    journal_close(&d->journal);
}

/* PARTS closed parts of EACH events, and nothing open. Returns the directory. */
static char *filled(uint64_t *next_seq)
{
    struct depot d;
    char *dir = fixture_directory();
    depot_open_in(&d, "duckdb", dir, true);
    for (uint64_t i = 1; i <= PARTS; i++) {
        depot_start(&d);
        depot_send(&d, EACH, 7, 0);
        depot_wait(&d, i * EACH, 0);
        loader_stop(&d.loader);
        assert_int_equal(store_close_part(d.store, NULL), 0);
    }
    *next_seq = d.seq;
    leave(&d);
    return dir;
}

static void spoil_part(const char *dir, int id)
{
    static const char noise[16384] = "no database";
    char store[512], ending[32], path[4096];
    (void)snprintf(store, sizeof store, "%s/store", dir);
    (void)snprintf(ending, sizeof ending, ".%d.g1.duckdb", id);
    fixture_part(store, ending, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, noise, sizeof noise, 0), sizeof noise);
    (void)close(fd);
}

static int take_count(void *arg, const struct cell *cells, size_t count)
{
    uint64_t *seen = arg;
    assert_int_equal(count, 2);
    assert_int_equal(cells[1].u64, 1); /* each seq once */
    ++*seen;
    return 0;
}

static uint64_t different_seqs(struct store *store)
{
    struct query *query;
    uint64_t seen = 0;
    struct err err = {0};
    struct query_sink sink = {.row = take_count, .arg = &seen};
    assert_int_equal(query_parse(SLICE("{\"measures\":[\"requests\"],\"by\":[\"seq\"],\"limit\":100000,"
                                       "\"from\":\"2023-11-14\",\"to\":\"2023-11-16\"}"),
                                 clock_real_us(), &query, NULL),
                     0);
    query->scope = QUERY_SCOPE_ALL;
    if (store_query(store, query, &sink, &err) != 0)
        fail_msg("%s", err_detail(&err));
    query_destroy(&query);
    return seen;
}

/* The events of these parts, in order, then the fresh ones. */
static void seen_are(struct depot *d, const int *parts, size_t part_count)
{
    size_t count, at = 0;
    struct seen *seen = faulty_seen(d->store, &count);
    assert_int_equal(count, part_count * EACH + FRESH);
    for (size_t i = 0; i < part_count; i++)
        for (uint64_t k = 1; k <= EACH; k++)
            assert_int_equal(seen[at++].seq, (uint64_t)(parts[i] - 1) * EACH + k);
    for (uint64_t k = 1; k <= FRESH; k++)
        assert_int_equal(seen[at++].seq, PARTS * EACH + k);
    free(seen);
}

static void what_was_lost_is_read_again_first(void **state)
{
    (void)state;
    static const struct {
        int parts[PARTS];
        size_t count;
    } cases[] = {{{3}, 1}, {{1}, 1}, {{2, 4}, 2}, {{2, 3}, 2}, {{5}, 1}, {{1, 2, 3, 4, 5}, 5}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct depot d;
        struct store_cursor until, at, checkpointed;
        uint64_t next_seq;
        char *dir = filled(&next_seq);
        for (size_t k = 0; k < cases[i].count; k++)
            spoil_part(dir, cases[i].parts[k]);
        depot_open_in(&d, "duckdb", dir, false);
        d.tenant = 1;
        d.seq = next_seq;
        /* The journal must not retire beyond what is missing. */
        assert_int_equal(store_cursor(d.store, &at, NULL), 0);
        assert_int_equal(store_checkpointed(d.store, &checkpointed, NULL), 0);
        assert_true(store_cursor_compare(checkpointed, at) <= 0);
        assert_int_equal(store_gap(d.store, &until), cases[i].parts[cases[i].count - 1] != PARTS);
        depot_start(&d);
        depot_send(&d, FRESH, 9, 0);
        depot_wait(&d, cases[i].count * EACH + FRESH, 0);
        seen_are(&d, cases[i].parts, cases[i].count);
        assert_false(store_gap(d.store, &until));
        assert_int_equal(different_seqs(d.store), PARTS * EACH + FRESH);
        leave(&d);
        depot_open_in(&d, "duckdb", dir, false); /* nothing is missing any more */
        assert_false(store_gap(d.store, &until));
        assert_int_equal(different_seqs(d.store), PARTS * EACH + FRESH);
        depot_close(&d);
    }
}

/* The journal is gone, but for what came since: the gap is passed. */
static void what_the_journal_has_no_more_is_passed(void **state)
{
    (void)state;
    struct depot d;
    struct store_cursor until;
    uint64_t next_seq;
    char command[600], *dir = filled(&next_seq);
    spoil_part(dir, 2);
    (void)snprintf(command, sizeof command, "rm -r %s/journal", dir);
    assert_int_equal(system(command), 0);
    depot_open_in(&d, "duckdb", dir, false);
    d.tenant = 1;
    d.seq = next_seq;
    depot_start(&d);
    depot_send(&d, FRESH, 9, 0);
    depot_wait(&d, FRESH, 0);
    assert_false(store_gap(d.store, &until));
    assert_int_equal(different_seqs(d.store), (PARTS - 1) * EACH + FRESH);
    depot_close(&d);
}

/* The loader ends in the middle of it and goes on there. */
static void an_interrupted_repair_goes_on(void **state)
{
    (void)state;
    struct depot d;
    uint64_t next_seq;
    struct store_cursor until, at;
    char *dir = filled(&next_seq);
    struct store_stats stats;
    spoil_part(dir, 2);
    spoil_part(dir, 3);
    depot_open_in(&d, "duckdb", dir, false);
    d.tenant = 1;
    d.seq = next_seq;
    d.batch_rows = 10;
    depot_start(&d);
    do
        store_get_stats(d.store, &stats);
    while (stats.rows < (PARTS - 2) * EACH + 20);
    leave(&d);
    depot_open_in(&d, "duckdb", dir, false);
    d.tenant = 1;
    d.seq = next_seq;
    if (store_gap(d.store, &until)) { /* it may have been quick */
        assert_int_equal(store_cursor(d.store, &at, NULL), 0);
        assert_true(store_cursor_compare(at, until) < 0);
    }
    depot_start(&d);
    depot_send(&d, FRESH, 9, 0);
    int64_t patience = clock_monotonic_us() + 60 * US_PER_SECOND;
    do
        store_get_stats(d.store, &stats);
    while (stats.rows < PARTS * EACH + FRESH && clock_monotonic_us() < patience);
    assert_int_equal(different_seqs(d.store), PARTS * EACH + FRESH);
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_lost_is_read_again_first),
        cmocka_unit_test(what_the_journal_has_no_more_is_passed),
        cmocka_unit_test(an_interrupted_repair_goes_on),
    };
    return cmocka_run_group_tests_name("hub/gap", tests, NULL, NULL);
}
