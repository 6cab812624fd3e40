/* SPDX-License-Identifier: Apache-2.0
 *
 * backlog: transactions of the loader's full size while questions never pause, so that DuckDB makes no
 * checkpoint by itself. What is committed then stands in the file already, and the WAL only says so: it stays
 * small, and after kill -9 every row is there.
 */
#include "base/test.h"
#include "store/fixture.h"
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH_ROWS = 2 * 122880, COMMITS_MAX = 12, WAL_MAX = 4 << 20 };
static const struct store_options options = {"duckdb", NULL, 256 << 20, 2, 0};

static struct store *opened(const char *dir)
{
    struct store_options here = options;
    struct err err = {0};
    struct store *store;
    here.dir = dir;
    if (store_open(&store, &here, &err) != 0)
        fail_msg("open: %s", err_detail(&err));
    return store;
}

static int take_text(void *arg, const struct cell *cells, size_t count)
{
    struct buf *out = arg;
    fixture_row(out, cells, count);
    return buf_addf(out, "\n");
}

/* Every instance with its sums: texts and numbers of all rows, the same for the same rows. */
static int ask(struct store *store, struct buf *out)
{
    struct query *query;
    struct query_sink sink = {.row = take_text, .arg = out};
    static const char question[] =
        "{\"measures\":[\"requests\",\"bytes\",\"senders\"],\"by\":[\"stage\",\"direction\"],"
        "\"since\":\"200h\",\"mode\":\"exact\",\"limit\":1000}";
    int rc = query_parse(slice_of(question), FIXTURE_START_US + 2 * FIXTURE_RANGE_US, &query, NULL);
    if (rc != 0)
        return rc;
    query->scope = QUERY_SCOPE_ALL;
    query->timeout_us = 300 * US_PER_SECOND;
    buf_clear(out);
    rc = store_query(store, query, &sink, NULL);
    query_destroy(&query);
    return rc;
}

static void *ask_without_pause(void *arg)
{
    struct store *store = arg;
    struct buf out;
    buf_init(&out, 1 << 20);
    for (int rc = 0; rc == 0 || rc == ERR_BUSY;)
        rc = ask(store, &out);
    buf_fini(&out);
    return NULL;
}

static void fill(struct store *store, const struct fixture *fixture, uint64_t *rows)
{
    for (uint64_t more = BATCH_ROWS; more > 0;) {
        size_t some = more < fixture->count ? (size_t)more : fixture->count;
        if (store_append(store, fixture->events, some, NULL) != 0)
            _exit(2);
        more -= some;
    }
    *rows += BATCH_ROWS;
    if (store_commit(store, (struct store_cursor){.pos = {1, *rows}}, NULL) != 0)
        _exit(3);
}

/* The child: tells how many rows are committed once a commit left a WAL, and waits to be killed. */
static void commit_until_wal(const char *dir, int to)
{
    struct fixture fixture;
    struct store_options here = options;
    struct store *store;
    struct stat status;
    pthread_t thread;
    char wal[4096];
    uint64_t rows = 0;
    here.dir = dir;
    fixture_init(&fixture, 3, 2000);
    if (store_open(&store, &here, NULL) != 0)
        _exit(1);
    fill(store, &fixture, &rows); /* so that questions have something to do */
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread, NULL, ask_without_pause, store) != 0)
            _exit(4);
    for (int i = 0; i < COMMITS_MAX; i++) {
        fill(store, &fixture, &rows);
        fixture_part(dir, ".duckdb.wal", wal);
        if (wal[0] != '\0' && stat(wal, &status) == 0 && status.st_size > 0)
            break;
    }
    if (write(to, &rows, sizeof rows) == sizeof rows)
        (void)pause();
    _exit(5);
}

static uint64_t killed_with_wal(const char *dir)
{
    int pipes[2], status;
    uint64_t rows = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        commit_until_wal(dir, pipes[1]);
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], &rows, sizeof rows), sizeof rows);
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    (void)close(pipes[0]);
    return rows;
}

static void commits_of_a_backlog_are_in_the_file_already(void **state)
{
    (void)state;
    char *dir = fixture_directory(), wal[4096];
    struct stat status;
    struct store_cursor cursor;
    struct store_stats stats;
    struct buf before, after;
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    uint64_t rows = killed_with_wal(dir);
    fixture_part(dir, ".duckdb.wal", wal);
    assert_int_equal(stat(wal, &status), 0);
    print_message("%llu rows, a WAL of %lld bytes\n", (unsigned long long)rows, (long long)status.st_size);
    assert_in_range(status.st_size, 1, WAL_MAX);
    struct store *store = opened(dir);
    assert_int_equal(store_cursor(store, &cursor, NULL), 0);
    store_get_stats(store, &stats);
    assert_int_equal(cursor.pos.offset, rows);
    assert_int_equal(stats.rows, rows);
    assert_int_equal(ask(store, &before), 0);
    assert_int_equal(store_checkpoint(store, NULL), 0);
    store_close(&store);
    store = opened(dir); /* now from the file alone */
    assert_int_equal(ask(store, &after), 0);
    assert_string_equal(before.p, after.p);
    store_close(&store);
    buf_fini(&before);
    buf_fini(&after);
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_of_a_backlog_are_in_the_file_already),
    };
    return cmocka_run_group_tests_name("store/backlog", tests, NULL, NULL);
}
