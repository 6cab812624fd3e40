/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: the journal lets segments go, on an idle hub too, but none that the store could need again when its
 * log of commits is lost.
 */
#include "base/clock.h"
#include "base/test.h"
#include "hub/depot.h"
#include "hub/keeper.h"
#include "store/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int64_t patience_us = 60 * US_PER_SECOND;

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

enum { LOADED = 4000, GOING = 10 };

/* Loads many segments and waits, idle, until the journal has let them go; then some more, and dies while the
 * store has those in its WAL only. Tells how many. */
static void load_and_die(char *dir, int to)
{
    struct depot d;
    struct journal_stats stats;
    struct store_cursor stored, checkpointed;
    int64_t until = clock_monotonic_us() + patience_us;
    depot_open_in(&d, "duckdb", dir, true);
    d.keep_us = 1;
    depot_send(&d, LOADED, 1, 0);
    journal_get_stats(d.journal, &stats);
    if (stats.segments < 10)
        _exit(1);
    depot_start(&d);
    depot_wait(&d, LOADED, 0);
    for (; stats.segments > 2; journal_get_stats(d.journal, &stats)) {
        if (clock_monotonic_us() > until)
            _exit(2); /* nothing retires */
        nap();
    }
    do {
        depot_send(&d, GOING, 1, 0);
        depot_wait(&d, d.seq - 1, 0);
        if (store_cursor(d.store, &stored, NULL) != 0 ||
            store_checkpointed(d.store, &checkpointed, NULL) != 0)
            _exit(3);
        if (clock_monotonic_us() > until)
            _exit(4);
    } while (store_cursor_compare(stored, checkpointed) == 0);
    if (write(to, &d.seq, sizeof d.seq) == sizeof d.seq)
        (void)kill(getpid(), SIGKILL);
    _exit(5);
}

static void spoil_wal(const char *store)
{
    static const char noise[4096] = "no log";
    char path[4096];
    struct stat status;
    fixture_part(store, ".duckdb.wal", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(status.st_size > 0);
    for (off_t at = 0; at < status.st_size; at += (off_t)sizeof noise)
        assert_true(pwrite(fd, noise, sizeof noise, at) > 0);
    (void)close(fd);
}

/* What the store's file does not hold the journal still does. */
static void a_lost_log_of_the_store_is_read_again(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    struct depot d;
    struct store_stats stats;
    char store[512];
    int status, pipes[2];
    uint64_t seq;
    size_t count;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        load_and_die(dir, pipes[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the child ended with %d", WEXITSTATUS(status));
    assert_int_equal(read(pipes[0], &seq, sizeof seq), sizeof seq);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    (void)snprintf(store, sizeof store, "%s/store", dir);
    spoil_wal(store);
    depot_open_in(&d, "duckdb", dir, false);
    store_get_stats(d.store, &stats);
    uint64_t left = stats.rows;
    assert_in_range(left, LOADED - 500, seq - 2); /* some are lost, by far not all */
    depot_start(&d);
    depot_wait(&d, seq - 1 - left, 0);
    struct seen *seen = faulty_seen(d.store, &count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seen[i].seq, left + 1 + i);
    free(seen);
    store_get_stats(d.store, &stats);
    assert_int_equal(stats.rows, seq - 1);
    depot_close(&d);
}

/* The store commits all of the journal before the n-th record. */
static struct journal_pos commit_before(struct depot *d, uint64_t n)
{
    struct journal_reader *reader;
    struct journal_record record;
    assert_int_equal(journal_reader_open(&reader, d->journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    journal_reader_close(&reader);
    assert_int_equal(store_commit(d->store, (struct store_cursor){record.next, 0}, NULL), 0);
    return record.next;
}

static void expect_retired(struct depot *d, struct journal_pos expected)
{
    struct keeper *keeper;
    assert_int_equal(keeper_start(&keeper, d->journal, d->store, d->keep_us, NULL), 0);
    keeper_stop(&keeper);
    assert_int_equal(journal_pos_compare(journal_retired(d->journal), expected), 0);
}

static void the_journal_retires_behind_the_checkpoint(void **state)
{
    (void)state;
    struct depot d;
    depot_open(&d, "duckdb");
    depot_send(&d, 1000, 1, 0);
    (void)commit_before(&d, 300);
    expect_retired(&d, (struct journal_pos){0, 0});
    struct journal_pos first = commit_before(&d, 500);
    assert_int_equal(store_checkpoint(d.store, NULL), 0);
    expect_retired(&d, first);
    (void)commit_before(&d, 800);
    expect_retired(&d, first);
    depot_close(&d);
}

/* Loading goes on, the journal keeps what it may have to give again. */
static void without_checkpoints_nothing_retires(void **state)
{
    (void)state;
    struct depot d;
    int64_t until = clock_monotonic_us() + patience_us;
    depot_open(&d, "duckdb");
    d.keep_us = 1;
    faulty_set(d.store, FAULT_NO_CHECKPOINT);
    depot_start(&d);
    for (uint64_t sent = 1000; sent <= 3000; sent += 1000) {
        depot_send(&d, 1000, 1, 0);
        depot_wait(&d, sent, 0);
    }
    assert_int_equal(journal_retired(d.journal).segment, 0);
    faulty_set(d.store, FAULT_NONE);
    while (journal_retired(d.journal).segment == 0 && clock_monotonic_us() < until)
        nap();
    assert_true(journal_retired(d.journal).segment != 0);
    depot_check_rows(&d, 0);
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_log_of_the_store_is_read_again), /* forks: first, before there are threads */
        cmocka_unit_test(the_journal_retires_behind_the_checkpoint),
        cmocka_unit_test(without_checkpoints_nothing_retires),
    };
    return cmocka_run_group_tests_name("hub/keeper", tests, NULL, NULL);
}
