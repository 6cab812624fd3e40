/* SPDX-License-Identifier: Apache-2.0
 *
 * shelf: what an older release, a kill -9 or an interrupted change has left in the store's directory is
 * found, taken over or removed, and whatever the moment was, rows and cursor agree.
 */
#include "base/test.h"
#include "store/fixture.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the sample of schema version 1 holds: 1526 rows in the file, 100 in its WAL. */
enum { SAMPLE_ROWS = 1626 };
static const struct store_cursor sample_cursor = {{1772323200000001, 512}, 0};

static struct store *try_open(const char *dir, struct err *err)
{
    struct store *store;
    return store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, err) == 0 ? store
                                                                                                 : NULL;
}

static struct store *opened(const char *dir)
{
    struct err err = {0};
    struct store *store = try_open(dir, &err);
    if (store == NULL)
        fail_msg("open: %s", err_detail(&err));
    return store;
}

static int take_count(void *arg, const struct cell *cells, size_t count)
{
    assert_int_equal(count, 1);
    *(uint64_t *)arg = cells[0].u64;
    return 0;
}

static uint64_t counted(struct store *store)
{
    struct query *query;
    uint64_t rows = 0;
    struct err err = {0};
    struct query_sink sink = {.row = take_count, .arg = &rows};
    assert_int_equal(query_parse(SLICE("{\"measures\":[\"requests\"],\"since\":\"200h\"}"),
                                 FIXTURE_START_US + 2 * FIXTURE_RANGE_US, &query, NULL),
                     0);
    query->scope = QUERY_SCOPE_ALL;
    if (store_query(store, query, &sink, &err) != 0)
        fail_msg("%s", err_detail(&err));
    query_destroy(&query);
    return rows;
}

static size_t files(const char *dir, const char *what)
{
    DIR *listing = opendir(dir);
    size_t count = 0;
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += strstr(entry->d_name, what) != NULL;
    (void)closedir(listing);
    return count;
}

static char *sample(void)
{
    char command[1024], *dir = fixture_directory();
    (void)snprintf(command, sizeof command, "tar -xzf %s/store-version-1.tar.gz -C %s", SAMPLES, dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(files(dir, "events-current.duckdb"), 2);
    return dir;
}

static int take_part(void *arg, const struct store_part *part)
{
    struct store_part *last = arg;
    *last = *part;
    return 0;
}

static void sample_is_there(struct store *store)
{
    struct store_cursor cursor;
    struct store_stats stats;
    struct store_part part = {.id = 0};
    assert_int_equal(store_cursor(store, &cursor, NULL), 0);
    assert_int_equal(store_cursor_compare(cursor, sample_cursor), 0);
    assert_int_equal(counted(store), SAMPLE_ROWS);
    store_get_stats(store, &stats);
    assert_int_equal(stats.rows, SAMPLE_ROWS);
    assert_int_equal(store_parts(store, take_part, &part, NULL), 0);
    assert_int_equal(part.id, 1);
    assert_int_equal(part.rows, SAMPLE_ROWS);
    assert_int_equal(part.year, 2026);
    assert_int_equal(part.month, 3);
    assert_false(part.ordered);
    assert_int_equal(store_cursor_compare(part.end, sample_cursor), 0);
    assert_in_range(part.min_ts, FIXTURE_START_US, part.max_ts);
    assert_in_range(part.max_hub_ts, part.min_hub_ts, FIXTURE_START_US + 2 * FIXTURE_RANGE_US);
}

static void the_file_of_an_older_release_is_taken_over(void **state)
{
    (void)state;
    char *dir = sample();
    struct fixture fixture;
    fixture_init(&fixture, 7, 400);
    struct store *store = opened(dir);
    sample_is_there(store);
    assert_int_equal(files(dir, "events-current"), 0);
    assert_int_equal(files(dir, "events-2026-03.1.g1.duckdb"), 1);
    assert_int_equal(store_append(store, fixture.events, 100, NULL), 0); /* and written on */
    assert_int_equal(store_commit(store, (struct store_cursor){{1772323200000002, 0}, 0}, NULL), 0);
    assert_int_equal(counted(store), SAMPLE_ROWS + 100);
    store_close(&store);
    store = opened(dir);
    assert_int_equal(counted(store), SAMPLE_ROWS + 100);
    store_close(&store);
    fixture_fini(&fixture);
    fixture_remove(dir);
}

static void two_histories_are_not_mixed(void **state)
{
    (void)state;
    char command[1024], *dir = sample();
    struct err err = {0};
    struct store *store = opened(dir);
    store_close(&store);
    (void)snprintf(command, sizeof command, "cp %s/events-2026-03.1.g1.duckdb %s/events-current.duckdb", dir,
                   dir);
    assert_int_equal(system(command), 0);
    assert_null(try_open(dir, &err));
    assert_non_null(strstr(err.detail, "events-current.duckdb"));
    fixture_remove(dir);
}

/* A child does something until it is killed, so long after it began; false: it had ended by itself. */
static bool killed_after(void (*what)(const char *dir), const char *dir, int64_t us)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        what(dir);
        _exit(0);
    }
    int64_t until = clock_monotonic_us() + us;
    while (clock_monotonic_us() < until && waitpid(child, &status, WNOHANG) == 0)
        (void)usleep(100);
    (void)kill(child, SIGKILL);
    if (waitpid(child, &status, 0) != child) /* taken above */
        return false;
    return WIFSIGNALED(status);
}

static void open_once(const char *dir)
{
    struct store *store = try_open(dir, &(struct err){0});
    if (store == NULL)
        _exit(1);
    (void)kill(getpid(), SIGKILL);
}

static void a_kill_within_the_migration_costs_nothing(void **state)
{
    (void)state;
    char *dir = sample();
    int64_t begun = clock_monotonic_us();
    (void)killed_after(open_once, dir, 60 * US_PER_SECOND);
    int64_t whole_us = clock_monotonic_us() - begun;
    fixture_remove(dir);
    for (int round = 0; round < 24; round++) {
        dir = sample();
        (void)killed_after(open_once, dir, whole_us * (round + 1) / 25);
        size_t old = files(dir, "events-current.duckdb");
        struct store *store = opened(dir);
        sample_is_there(store);
        store_close(&store);
        assert_int_equal(files(dir, "damaged"), 0);
        assert_int_equal(files(dir, "events-current"), 0);
        print_message("killed after %d of 25: %zu old files were left\n", round + 1, old);
        fixture_remove(dir);
    }
}

/* The cursor is the number of rows. Each commit's part is closed. */
static void close_parts_for_ever(const char *dir)
{
    struct fixture fixture;
    struct store_cursor cursor;
    fixture_init(&fixture, 5, 40);
    struct store *store = try_open(dir, &(struct err){0});
    if (store == NULL || store_cursor(store, &cursor, NULL) != 0)
        _exit(1);
    for (;;) {
        cursor.pos.offset += fixture.count;
        if (store_append(store, fixture.events, fixture.count, NULL) != 0 ||
            store_commit(store, cursor, NULL) != 0 || store_close_part(store, NULL) != 0)
            _exit(2);
    }
}

static int follow(void *arg, const struct store_part *part)
{
    struct store_part *before = arg;
    assert_int_equal(store_cursor_compare(before->end, part->begin), 0);
    assert_true(part->id > before->last_id);
    *before = *part;
    return 0;
}

static void a_kill_while_parts_are_made_and_closed(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    uint64_t random = 11;
    for (int round = 0; round < 16; round++) {
        assert_true(killed_after(close_parts_for_ever, dir, 30000 + (int64_t)fixture_below(&random, 200000)));
        struct store *store = opened(dir);
        struct store_cursor cursor, until;
        struct store_part last = {.id = 0};
        assert_int_equal(store_cursor(store, &cursor, NULL), 0);
        assert_int_equal(counted(store), cursor.pos.offset);
        assert_int_equal(store_parts(store, follow, &last, NULL), 0);
        assert_int_equal(store_cursor_compare(last.end, cursor), 0);
        assert_false(store_gap(store, &until));
        store_close(&store);
        assert_int_equal(files(dir, "damaged"), 0);
        assert_int_equal(files(dir, ".tmp"), 0);
    }
    fixture_remove(dir);
}

static void rewrite_once(const char *dir)
{
    struct store *store = try_open(dir, &(struct err){0});
    _exit(store != NULL && store_rewrite_part(store, 1, NULL, NULL, NULL, NULL, NULL) == 0 ? 0 : 1);
}

/* Ten thousand rows in one closed part, written anew again and again. */
static void rewrite_for_ever(const char *dir)
{
    struct store *store = try_open(dir, &(struct err){0});
    while (store != NULL && store_rewrite_part(store, 1, NULL, NULL, NULL, NULL, NULL) == 0)
        continue;
    _exit(1);
}

static void fill_and_close(const char *dir)
{
    struct fixture fixture;
    fixture_init(&fixture, 5, 600);
    struct store *store = try_open(dir, &(struct err){0});
    for (uint64_t i = 1; store != NULL && i <= 4; i++)
        if (store_append(store, fixture.events, fixture.count, NULL) != 0 ||
            store_commit(store, (struct store_cursor){{1, i * fixture.count}, 0}, NULL) != 0)
            _exit(1);
    if (store == NULL || store_close_part(store, NULL) != 0)
        _exit(1);
    store_close(&store);
    _exit(0);
}

static void a_kill_while_a_part_is_rewritten(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    uint64_t random = 12;
    unsigned last = 1, later = 0;
    (void)killed_after(fill_and_close, dir, 60 * US_PER_SECOND);
    int64_t begun = clock_monotonic_us();
    (void)killed_after(rewrite_once, dir, 60 * US_PER_SECOND);
    uint64_t once_us = (uint64_t)(clock_monotonic_us() - begun);
    for (int round = 0; round < 16; round++) {
        assert_true(
            killed_after(rewrite_for_ever, dir, 20000 + (int64_t)fixture_below(&random, 3 * once_us)));
        size_t found = files(dir, ".duckdb");
        struct store *store = opened(dir);
        struct store_cursor cursor;
        struct store_part part = {.id = 0};
        assert_int_equal(store_cursor(store, &cursor, NULL), 0);
        assert_int_equal(counted(store), cursor.pos.offset);
        assert_int_equal(store_parts(store, take_part, &part, NULL), 0);
        assert_int_equal(part.rows, cursor.pos.offset);
        assert_true(part.generation >= last);
        later += part.generation > last;
        last = part.generation;
        store_close(&store);
        print_message("killed with %zu files: generation %u is left\n", found, last);
        assert_int_equal(files(dir, ".duckdb"), 2); /* with that of the roll-ups */
        assert_int_equal(files(dir, "damaged"), 0);
    }
    assert_true(later > 0); /* some were finished */
    fixture_remove(dir);
}

/* What an interrupted change may leave: an older generation, an unfinished file, spilled rows. */
static void what_was_interrupted_is_removed(void **state)
{
    (void)state;
    char command[4096], *dir = sample();
    struct store *store = opened(dir);
    assert_int_equal(store_close_part(store, NULL), 0);
    store_close(&store);
    (void)snprintf(
        command, sizeof command,
        "cd %s && mkdir -p tmp && echo x > tmp/spilled && echo x > events-2026-03.1.g2.duckdb.tmp && "
        "echo x > events-2026-03.1.g2.duckdb.tmp.wal && echo x > rollups.duckdb.saved.tmp && echo x > "
        "events-2025-03.1.g0.duckdb && "
        "echo x > note.txt",
        dir);
    assert_int_equal(system(command), 0);
    store = opened(dir);
    sample_is_there(store);
    store_close(&store);
    assert_int_equal(files(dir, ".tmp"), 0);
    assert_int_equal(files(dir, "note.txt"), 1); /* none of ours */
    assert_int_equal(files(dir, "g0"), 1);
    (void)snprintf(command, sizeof command, "%s/tmp/spilled", dir);
    assert_int_not_equal(access(command, F_OK), 0);
    fixture_remove(dir);
}

struct findings {
    size_t good, bad;
    char last_bad[512];
};

static int take_finding(void *arg, const char *part, const char *what, bool good)
{
    struct findings *findings = arg;
    findings->good += good;
    findings->bad += !good;
    if (!good)
        (void)snprintf(findings->last_bad, sizeof findings->last_bad, "%s: %s", part, what);
    return 0;
}

static struct findings verified(struct store *store)
{
    struct findings findings = {0};
    struct err err = {0};
    if (store_verify(store, take_finding, &findings, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return findings;
}

/* Damage that opening a file does not meet is found by reading it, and costs nothing else. */
static void damage_inside_is_found(void **state)
{
    (void)state;
    enum { HEADER_BYTES = 12288, BLOCK_BYTES = 256 * 1024 };
    char path[4096], command[16384], *dir = sample();
    struct fixture fixture;
    struct stat status;
    static const char noise[8192] = "no block";
    fixture_init(&fixture, 7, 400);
    struct store *store = opened(dir);
    assert_int_equal(store_close_part(store, NULL), 0);
    assert_int_equal(store_append(store, fixture.events, fixture.count, NULL), 0);
    assert_int_equal(store_commit(store, (struct store_cursor){{1772323200000002, 0}, 0}, NULL), 0);
    struct findings findings = verified(store);
    assert_int_equal(findings.bad, 0);
    assert_true(findings.good >= 5);
    assert_int_equal(store_rewrite_part(store, 1, NULL, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(verified(store).bad, 0);
    store_close(&store);
    fixture_part(dir, ".1.g2.duckdb", path);
    assert_int_equal(stat(path, &status), 0);
    size_t inside = 0;
    for (off_t at = HEADER_BYTES; at < status.st_size; at += BLOCK_BYTES) {
        (void)snprintf(command, sizeof command, "rm -f %s/*.damaged-* && cp %s %s/kept", dir, path, dir);
        assert_int_equal(system(command), 0);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, noise, sizeof noise, at + 16384), sizeof noise);
        (void)close(fd);
        store = opened(dir);
        bool met = files(dir, ".damaged-") > 0; /* opening reads some blocks itself */
        findings = verified(store);
        assert_int_equal(findings.bad, 1);
        inside += !met;
        assert_non_null(strstr(findings.last_bad, met ? "something is missing" : path));
        assert_int_equal(store_close_part(store, NULL), 0); /* and all goes on */
        store_close(&store);
        (void)snprintf(command, sizeof command, "mv %s/kept %s", dir, path);
        assert_int_equal(system(command), 0);
    }
    assert_true(inside > 0);
    store = opened(dir);
    assert_int_equal(verified(store).bad, 0);
    store_close(&store);
    fixture_fini(&fixture);
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* the forks come first: DuckDB's threads don't survive one */
        cmocka_unit_test(a_kill_within_the_migration_costs_nothing),
        cmocka_unit_test(a_kill_while_parts_are_made_and_closed),
        cmocka_unit_test(a_kill_while_a_part_is_rewritten),
        cmocka_unit_test(the_file_of_an_older_release_is_taken_over),
        cmocka_unit_test(two_histories_are_not_mixed),
        cmocka_unit_test(what_was_interrupted_is_removed),
        cmocka_unit_test(damage_inside_is_found),
    };
    return cmocka_run_group_tests_name("store/shelf", tests, NULL, NULL);
}
