/* SPDX-License-Identifier: Apache-2.0
 *
 * loader: a real journal, real control data and a real store (null or DuckDB) behind an engine that fails
 * when it is told to. Whatever happens: each event is stored once, in order, with the same meaning, or it is
 * in quarantine.
 */
#include "base/clock.h"
#include "base/test.h"
#include "hub/faulty.h"
#include "hub/loader.h"
#include "store/fixture.h"
#include "wire/batch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t patience_us = 60 * US_PER_SECOND;

struct world {
    char *dir;
    char path[4][512]; /* journal, store, account, quarantine */
    struct journal *journal;
    struct store *store;
    struct account *account;
    struct loader *loader;
    struct batch_writer *writer;
    uint32_t tenant;
    uint64_t seq; /* of the next event */
    size_t batch_rows;
    bool settled; /* for the journal as it is open now */
};

enum { JOURNAL, STORE, ACCOUNT, QUARANTINE };

static void woken(void *arg)
{
    struct world *w = arg;
    if (w->loader != NULL)
        loader_wake(w->loader);
}

static void open_journal(struct world *w)
{
    struct err err = {0};
    struct journal_options options = {
        .dir = w->path[JOURNAL], .max_bytes = 64 << 20, .segment_bytes = 1 << 16};
    if (journal_open(&w->journal, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    journal_on_sync(w->journal, woken, w);
    w->settled = false;
}

static void world_open(struct world *w, const char *engine)
{
    static const char *const names[] = {"journal", "store", "account.db", "quarantine"};
    struct err err = {0};
    struct store *inner;
    *w = (struct world){.dir = fixture_directory(), .seq = 1, .batch_rows = 100};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        (void)snprintf(w->path[i], sizeof w->path[i], "%.400s/%s", w->dir, names[i]);
    open_journal(w);
    struct store_options options = {
        .engine = engine, .dir = w->path[STORE], .memory_bytes = 256 << 20, .query_threads = 1};
    if (store_open(&inner, &options, &err) != 0 || account_open(&w->account, w->path[ACCOUNT], &err) != 0 ||
        account_tenant_add(w->account, "t", &w->tenant, &err) != 0)
        fail_msg("%s", err_detail(&err));
    w->store = faulty_wrap(inner);
    struct account_domain own = {w->tenant, "own.test", DOMAIN_OWN, true};
    assert_int_equal(account_domain_add(w->account, &own, &err), 0);
    assert_int_equal(batch_writer_create(&w->writer, 1), 0);
}

static void world_close(struct world *w)
{
    loader_stop(&w->loader);
    batch_writer_destroy(&w->writer);
    account_close(&w->account);
    store_close(&w->store);
    journal_close(&w->journal);
    fixture_remove(w->dir);
}

static void start(struct world *w)
{
    struct err err = {0};
    struct loader_options options = {.journal = w->journal,
                                     .store = w->store,
                                     .account_path = w->path[ACCOUNT],
                                     .quarantine_dir = w->path[QUARANTINE],
                                     .commit_interval_us = 1000,
                                     .batch_rows = w->batch_rows,
                                     .journal_keep_us = 3600 * US_PER_SECOND};
    if (!w->settled && loader_settle(w->journal, w->store, &err) != 0)
        fail_msg("%s", err_detail(&err));
    w->settled = true;
    if (loader_start(&w->loader, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

static void journal_bytes(struct world *w, uint16_t kind, struct slice bytes)
{
    struct err err = {0};
    if (journal_append(w->journal, kind, clock_real_us(), bytes, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* What the edge collected goes into the journal as the hub writes it. */
static void send_batch(struct world *w)
{
    struct buf buf;
    struct commit commit = {.tenant = w->tenant,
                            .edge = SLICE("mx1"),
                            .epoch = {{1}},
                            .count = batch_writer_count(w->writer),
                            .hub_ts = clock_real_us()};
    commit.first_seq = w->seq - commit.count;
    buf_init(&buf, JOURNAL_RECORD_BYTES);
    assert_int_equal(batch_writer_finish(w->writer, &commit.body, &commit.hash), 0);
    assert_int_equal(commit_encode(&commit, &buf), 0);
    journal_bytes(w, COMMIT_BATCH, buf_slice(&buf));
    batch_writer_clear(w->writer);
    buf_fini(&buf);
}

static void sync_journal(struct world *w)
{
    struct err err = {0};
    if (journal_sync(w->journal, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* The i-th event of a fixed traffic: messages of two recipients (one in ten asked for twice) and their end.
 */
static void add_event(struct world *w, const char *helo)
{
    char text[512];
    uint64_t i = w->seq - 1, message = i / 4, step = i % 4;
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
        batch_writer_add(w->writer, RECORD_POLICY, 1700000000000000 + (int64_t)w->seq, slice_of(text)), 0);
    w->seq++;
}

static void send_events(struct world *w, size_t count, size_t batch, uint64_t poison_every)
{
    for (size_t i = 0; i < count; i++) {
        add_event(w, poison_every != 0 && w->seq % poison_every == 0 ? "poison" : "helo");
        if (batch_writer_count(w->writer) == batch || i + 1 == count)
            send_batch(w);
    }
    sync_journal(w);
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static struct loader_stats stats_of(struct world *w)
{
    struct loader_stats stats;
    loader_get_stats(w->loader, &stats);
    return stats;
}

/* Until so many events are stored or in quarantine, and nothing is left. */
static void wait_for(struct world *w, uint64_t stored, uint64_t quarantined)
{
    int64_t until = clock_monotonic_us() + patience_us;
    size_t count = 0;
    struct loader_stats stats;
    do {
        nap();
        free(faulty_seen(w->store, &count));
        stats = stats_of(w);
    } while ((count < stored || stats.quarantined < quarantined || stats.lag_us != 0) &&
             clock_monotonic_us() < until);
    if (count != stored || stats.quarantined != quarantined || stats.lag_us != 0 || stats.stalled)
        fail_msg("stored %zu of %lu, quarantined %lu of %lu, lag %ld us, stalled %d %s", count,
                 (unsigned long)stored, (unsigned long)stats.quarantined, (unsigned long)quarantined,
                 (long)stats.lag_us, stats.stalled, stats.error);
}

static void wait_stalled(struct world *w, const char *why)
{
    int64_t until = clock_monotonic_us() + patience_us;
    struct loader_stats stats = stats_of(w);
    for (; !(stats.stalled && strcmp(stats.error, why) == 0) && clock_monotonic_us() < until;
         stats = stats_of(w))
        nap();
    assert_true(stats.stalled);
    assert_string_equal(stats.error, why);
    assert_true(stats.lag_us > 0);
}

static size_t quarantine_files(struct world *w)
{
    size_t count = 0;
    DIR *dir = opendir(w->path[QUARANTINE]);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

/* Everything that was sent, in order, once, but for each poison_every-th; with the meaning it must have. */
static void check_rows(struct world *w, uint64_t poison_every)
{
    size_t count, at = 0;
    struct seen *seen = faulty_seen(w->store, &count);
    for (uint64_t seq = 1; seq < w->seq; seq++) {
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

static void everything_is_stored_once(void **state)
{
    (void)state;
    static const char *const engines[] = {"null", "duckdb"};
    for (size_t i = 0; i < ARRAY_LENGTH(engines); i++) {
        struct world w;
        struct store_stats stats;
        world_open(&w, engines[i]);
        send_events(&w, 1000, 37, 0); /* a backlog */
        start(&w);
        wait_for(&w, 1000, 0);
        send_events(&w, 1, 1, 0); /* and what comes while it waits */
        wait_for(&w, 1001, 0);
        send_events(&w, 250, 250, 0); /* a batch over several transactions */
        wait_for(&w, 1251, 0);
        check_rows(&w, 0);
        assert_int_equal(faulty_largest(w.store), 100);
        store_get_stats(w.store, &stats);
        assert_int_equal(stats.rows, 1251);
        assert_int_equal(stats_of(&w).parse_errors, 0);
        loader_stop(&w.loader);
        assert_true(journal_retired(w.journal).segment > 0);
        world_close(&w);
    }
}

static void full_size_transactions_of_a_backlog(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "null");
    w.batch_rows = 10000;
    send_events(&w, 40000, 4000, 0);
    start(&w);
    wait_for(&w, 40000, 0);
    check_rows(&w, 0);
    assert_in_range(faulty_largest(w.store), 10000 - 4096, 10000);
    assert_in_range(stats_of(&w).commits, 4, 10);
    world_close(&w);
}

static void refused_rows_are_found_and_kept(void **state)
{
    (void)state;
    static const struct {
        const char *engine;
        enum fault_mode mode;
        uint64_t every;
        size_t events, rows;
    } cases[] = {
        {"null", FAULT_POISON_APPEND, 101, 1000, 100},   {"null", FAULT_POISON_COMMIT, 101, 1000, 100},
        {"null", FAULT_POISON_COMMIT, 1000, 1000, 4096}, /* the very last */
        {"null", FAULT_POISON_COMMIT, 2, 12, 100},       {"duckdb", FAULT_POISON_COMMIT, 333, 1000, 500},
        {"null", FAULT_POISON_COMMIT, 1, 9, 100}, /* nothing but */
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct world w;
        uint64_t poison = cases[i].events / cases[i].every;
        world_open(&w, cases[i].engine);
        w.batch_rows = cases[i].rows;
        faulty_set(w.store, cases[i].mode);
        send_events(&w, cases[i].events, 64, cases[i].every);
        start(&w);
        wait_for(&w, cases[i].events - poison, poison);
        check_rows(&w, cases[i].every);
        assert_int_equal(quarantine_files(&w), poison);
        world_close(&w);
    }
}

static void a_refused_request_is_kept_as_it_came(void **state)
{
    (void)state;
    struct world w;
    char path[700], bytes[2048];
    world_open(&w, "null");
    faulty_set(w.store, FAULT_POISON_APPEND);
    send_events(&w, 3, 3, 2);
    start(&w);
    wait_for(&w, 2, 1);
    (void)snprintf(path, sizeof path, "%s/%u-mx1-01000000000000000000000000000000-2.request",
                   w.path[QUARANTINE], w.tenant);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
    (void)fclose(file);
    assert_non_null(strstr(bytes, "reason: poison at append\n"));
    assert_non_null(strstr(bytes, "\nseq: 2\n"));
    assert_non_null(strstr(
        bytes, "\n\nrequest=smtpd_access_policy\nprotocol_state=RCPT\ninstance=i0\nhelo_name=poison\n"));
    world_close(&w);
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
        struct world w;
        world_open(&w, "null");
        send_events(&w, 500, 50, 0);
        start(&w);
        wait_for(&w, 500, 0);
        faulty_set(w.store, cases[i].mode);
        send_events(&w, 500, 50, 0); /* receiving goes on */
        wait_stalled(&w, cases[i].why);
        send_events(&w, 500, 50, 0);
        faulty_set(w.store, FAULT_NONE);
        wait_for(&w, 1500, 0);
        check_rows(&w, 0);
        assert_int_equal(quarantine_files(&w), 0);
        world_close(&w);
    }
}

static void stopping_does_not_wait_for_a_dead_store(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "null");
    start(&w);
    faulty_set(w.store, FAULT_DEAD_IO);
    send_events(&w, 500, 50, 0);
    wait_stalled(&w, "the disk is dead");
    loader_stop(&w.loader);
    faulty_set(w.store, FAULT_NONE);
    start(&w);
    wait_for(&w, 500, 0);
    check_rows(&w, 0);
    world_close(&w);
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
        struct world w;
        size_t count = 0, restarts = 0;
        world_open(&w, "null");
        w.batch_rows = cases[i].rows;
        send_events(&w, cases[i].events, cases[i].batch, 0);
        while (count < cases[i].events) {
            size_t before = count;
            int64_t until = clock_monotonic_us() + patience_us;
            start(&w);
            while (count == before && clock_monotonic_us() < until)
                free(faulty_seen(w.store, &count));
            loader_stop(&w.loader);
            free(faulty_seen(w.store, &count));
            assert_true(count > before);
            if (++restarts % 5 == 0) {
                journal_close(&w.journal);
                open_journal(&w);
            }
        }
        check_rows(&w, 0);
        world_close(&w);
    }
}

static void what_cannot_be_read_is_kept_and_passed(void **state)
{
    (void)state;
    struct world w;
    struct buf buf;
    world_open(&w, "null");
    send_events(&w, 10, 10, 0);
    journal_bytes(&w, 99, SLICE("from the future"));
    journal_bytes(&w, COMMIT_BATCH, SLICE("no commit"));
    struct commit commit = {.tenant = 1, .edge = SLICE("mx1"), .epoch = {{1}}, .first_seq = 5000, .count = 3};
    commit.body = SLICE("no zstd frame");
    buf_init(&buf, 1 << 20);
    assert_int_equal(commit_encode(&commit, &buf), 0);
    journal_bytes(&w, COMMIT_BATCH, buf_slice(&buf));
    buf_fini(&buf);
    add_event(&w, "helo"); /* 11 */
    assert_int_equal(batch_writer_add(w.writer, 77, 1, SLICE("another kind")), 0);
    w.seq++; /* 12 */
    assert_int_equal(batch_writer_add(w.writer, RECORD_POLICY, 1, SLICE("sender=a\n\n")), 0);
    w.seq++; /* 13 */
    send_batch(&w);
    sync_journal(&w);
    start(&w);
    wait_for(&w, 11, 0);
    send_events(&w, 7, 7, 0);
    wait_for(&w, 18, 0);
    assert_int_equal(stats_of(&w).parse_errors, 5);
    assert_int_equal(quarantine_files(&w), 5);
    size_t count;
    struct seen *seen = faulty_seen(w.store, &count);
    assert_int_equal(seen[10].seq, 11);
    assert_int_equal(seen[11].seq, 14);
    free(seen);
    struct store_cursor cursor; /* the last batch behind them is passed too */
    assert_int_equal(store_cursor(w.store, &cursor, NULL), 0);
    assert_int_equal(cursor.skip, 0);
    world_close(&w);
}

static void new_rules_hold_for_what_comes_then(void **state)
{
    (void)state;
    struct world w;
    size_t count;
    world_open(&w, "null");
    start(&w);
    send_events(&w, 4, 4, 0);
    wait_for(&w, 4, 0);
    uint32_t version = 0;
    for (uint64_t round = 1; round <= 20; round++) {
        enum domain_kind kind = round % 2 == 0 ? DOMAIN_OWN : DOMAIN_RELAYED;
        struct account_domain far = {w.tenant, "far.test", kind, true};
        w.seq = 5 + 80 * round;
        send_events(&w, 1, 1, 0); /* so that the loader has just looked when the rule is made */
        assert_int_equal(account_domain_add(w.account, &far, NULL), 0);
        w.seq = 47 + 80 * round; /* the third event of a message that is no retry: far.test */
        send_events(&w, 1, 1, 0);
        wait_for(&w, 4 + 2 * round, 0);
        struct seen *seen = faulty_seen(w.store, &count);
        assert_int_equal(seen[count - 1].direction, kind == DOMAIN_OWN ? DIRECTION_IN : DIRECTION_RELAY);
        assert_true(seen[count - 1].rule_version > version);
        version = seen[count - 1].rule_version;
        free(seen);
        assert_int_equal(account_domain_remove(w.account, w.tenant, "far.test", NULL), 0);
    }
    world_close(&w);
}

/* The journal's directory was lost, the store was not: the new journal's numbers lie behind the old cursor.
 */
static void a_new_journal_is_read_on_from_its_beginning(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "null");
    send_events(&w, 120, 8, 0);
    start(&w);
    wait_for(&w, 120, 0);
    loader_stop(&w.loader);
    journal_close(&w.journal);
    (void)snprintf(w.path[JOURNAL], sizeof w.path[JOURNAL], "%.400s/journal-new", w.dir);
    open_journal(&w);
    start(&w);
    send_events(&w, 40, 8, 0);
    wait_for(&w, 160, 0);
    check_rows(&w, 0);
    world_close(&w);
}

/* The store was another hub's, or the clock was far ahead when its journal began. */
static void a_cursor_beyond_the_journal_holds_nothing_up(void **state)
{
    (void)state;
    struct world w;
    struct store_cursor beyond = {{UINT64_C(1) << 60, 4096}, 3};
    world_open(&w, "null");
    assert_int_equal(store_commit(w.store, beyond, NULL), 0);
    start(&w);
    send_events(&w, 40, 8, 0);
    wait_for(&w, 40, 0);
    check_rows(&w, 0);
    loader_stop(&w.loader);
    start(&w); /* and nothing twice */
    send_events(&w, 40, 8, 0);
    wait_for(&w, 80, 0);
    check_rows(&w, 0);
    world_close(&w);
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
        struct world w;
        char backup[512];
        world_open(&w, engines[i]);
        (void)snprintf(backup, sizeof backup, "%.400s/backup", w.dir);
        send_events(&w, 40, 8, 0);
        start(&w);
        wait_for(&w, 40, 0);
        loader_stop(&w.loader);
        journal_close(&w.journal);
        copy_journal(w.path[JOURNAL], backup);
        open_journal(&w);
        start(&w);
        send_events(&w, 40, 8, 0);
        wait_for(&w, 80, 0);
        loader_stop(&w.loader);
        journal_close(&w.journal);
        copy_journal(backup, w.path[JOURNAL]);
        open_journal(&w);
        send_events(&w, 80, 8, 0); /* received before there is a loader */
        start(&w);
        wait_for(&w, 160, 0);
        faulty_set(w.store, FAULT_DEAD_IO); /* what failed is found again behind the new cursor */
        send_events(&w, 40, 8, 0);
        wait_stalled(&w, "the disk is dead");
        faulty_set(w.store, FAULT_NONE);
        wait_for(&w, 200, 0);
        check_rows(&w, 0);
        world_close(&w);
    }
}

static void bad_options_are_one_clear_line(void **state)
{
    (void)state;
    struct world w;
    struct err err = {0};
    world_open(&w, "null");
    struct loader_options options = {.journal = w.journal,
                                     .store = w.store,
                                     .account_path = w.path[ACCOUNT],
                                     .quarantine_dir = "/proc/no/such/place"};
    assert_int_not_equal(loader_start(&w.loader, &options, &err), 0);
    assert_null(w.loader);
    assert_non_null(strstr(err_detail(&err), "/proc/no/such/place"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_stored_once),
        cmocka_unit_test(full_size_transactions_of_a_backlog),
        cmocka_unit_test(refused_rows_are_found_and_kept),
        cmocka_unit_test(a_refused_request_is_kept_as_it_came),
        cmocka_unit_test(a_dead_store_is_waited_for),
        cmocka_unit_test(stopping_does_not_wait_for_a_dead_store),
        cmocka_unit_test(restarts_change_nothing),
        cmocka_unit_test(what_cannot_be_read_is_kept_and_passed),
        cmocka_unit_test(new_rules_hold_for_what_comes_then),
        cmocka_unit_test(a_new_journal_is_read_on_from_its_beginning),
        cmocka_unit_test(a_cursor_beyond_the_journal_holds_nothing_up),
        cmocka_unit_test(a_restored_journal_skips_nothing_and_repeats_nothing),
        cmocka_unit_test(bad_options_are_one_clear_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
