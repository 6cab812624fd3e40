/* SPDX-License-Identifier: Apache-2.0
 *
 * damage: what DuckDB's file and WAL may meet: garbage, a second process, kill -9 at any moment, a full disk.
 * After all of it the store opens, and its rows and its cursor agree.
 */
#include "base/log.h"
#include "base/test.h"
#include "store/fixture.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store *opened(const char *dir)
{
    struct err err = {0};
    struct store *store;
    if (store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, &err) != 0)
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

/* The tests' cursor is the number of rows: both must always tell the same. */
static uint64_t rows_and_cursor_agree(struct store *store)
{
    struct store_cursor cursor;
    struct store_stats stats;
    assert_int_equal(store_cursor(store, &cursor, NULL), 0);
    store_get_stats(store, &stats);
    assert_int_equal(counted(store), cursor.pos.offset);
    assert_int_equal(stats.rows, cursor.pos.offset);
    return cursor.pos.offset;
}

static int put(struct store *store, const struct fixture *fixture, uint64_t *rows, struct err *err)
{
    int rc = store_append(store, fixture->events, fixture->count, err);
    if (rc == 0)
        rc = store_commit(store, (struct store_cursor){.pos = {1, *rows + fixture->count}}, err);
    if (rc == 0)
        *rows += fixture->count;
    return rc;
}

struct known {
    const struct fixture *fixture;
    size_t offset; /* of the text in struct event */
};

static int is_known(void *arg, const struct cell *cells, size_t count)
{
    const struct known *known = arg;
    assert_int_equal(count, 2);
    if (cells[0].type == CELL_NULL)
        return 0;
    for (size_t i = 0; i < known->fixture->count; i++) {
        struct slice text;
        memcpy(&text, (const char *)&known->fixture->events[i] + known->offset, sizeof text);
        if (slice_equal(text, cells[0].text))
            return 0;
    }
    fail_msg("'%.*s' was never stored", (int)(cells[0].text.n < 200 ? cells[0].text.n : 200),
             cells[0].text.p);
    return -1;
}

/* A row's texts are its own: DuckDB finds where one begins from where the one before it ends. */
static void texts_are_those_put(struct store *store, const struct fixture *fixture)
{
    static const char *const names[] = {"instance", "sender", "recipient"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char question[256];
        enum column column;
        struct query *query;
        struct err err = {0};
        (void)snprintf(question, sizeof question,
                       "{\"measures\":[\"requests\"],\"by\":[\"%s\"],\"since\":\"200h\",\"limit\":100000}",
                       names[i]);
        assert_int_equal(event_column(slice_of(names[i]), &column), 0);
        struct known known = {fixture, event_columns[column].offset};
        struct query_sink sink = {.row = is_known, .arg = &known};
        assert_int_equal(
            query_parse(slice_of(question), FIXTURE_START_US + 2 * FIXTURE_RANGE_US, &query, NULL), 0);
        query->scope = QUERY_SCOPE_ALL;
        if (store_query(store, query, &sink, &err) != 0)
            fail_msg("%s", err_detail(&err));
        query_destroy(&query);
    }
}

static void path_in(char out[4096], const char *dir, const char *name)
{
    (void)snprintf(out, 4096, "%s/%s", dir, name);
}

/* Overwrites length bytes at offset (from the end when negative) by noise. */
static void spoil(const char *path, off_t offset, size_t length, uint64_t seed)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    off_t at = offset >= 0 ? offset : status.st_size + offset;
    for (size_t i = 0; i < length && at + (off_t)i < status.st_size; i++) {
        uint8_t byte = (uint8_t)fixture_random(&seed);
        assert_int_equal(pwrite(fd, &byte, 1, at + (off_t)i), 1);
    }
    (void)close(fd);
}

static size_t damaged_files(const char *dir, const char *what)
{
    DIR *listing = opendir(dir);
    size_t count = 0;
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += strstr(entry->d_name, what) != NULL;
    (void)closedir(listing);
    return count;
}

/* A child that crashed leaves another store behind than one that was killed. */
static void reap_killed(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the child ended by itself [status=%#x]", (unsigned)status);
}

/* A child fills the store and dies without closing it, so that the WAL stays. */
static void die_with_wal(const char *dir, uint64_t commits)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct fixture fixture;
        uint64_t rows = 0;
        struct store *store;
        fixture_init(&fixture, 1, 300);
        if (store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, NULL) != 0)
            _exit(1);
        for (uint64_t i = 0; i < commits; i++)
            if (put(store, &fixture, &rows, NULL) != 0)
                _exit(2);
        (void)kill(getpid(), SIGKILL);
    }
    reap_killed(child);
}

static void a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    static const struct {
        off_t offset;
        size_t length;
    } cases[] = {
        {0, 12288}, /* the headers */
        {0, 64 << 20},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *dir = fixture_directory(), path[4096];
        struct fixture fixture;
        uint64_t rows = 0;
        fixture_init(&fixture, 1, 300);
        struct store *store = opened(dir);
        assert_int_equal(put(store, &fixture, &rows, NULL), 0);
        store_close(&store);
        fixture_part(dir, ".duckdb", path);
        spoil(path, cases[i].offset, cases[i].length, i);
        store = opened(dir);
        assert_int_equal(rows_and_cursor_agree(store), 0);
        assert_int_equal(damaged_files(dir, ".duckdb.damaged-"), 1);
        rows = 0;
        assert_int_equal(put(store, &fixture, &rows, NULL), 0); /* as the loader does from its journal */
        store_close(&store);
        store = opened(dir);
        assert_int_equal(rows_and_cursor_agree(store), fixture.count);
        store_close(&store);
        fixture_fini(&fixture);
        fixture_remove(dir);
    }
}

/* Noise at many places of the WAL: whatever DuckDB makes of it, it opens, with rows and cursor of some
 * commit. */
static void a_damaged_wal_costs_no_more_than_itself(void **state)
{
    (void)state;
    char *origin = fixture_directory(), command[8192];
    die_with_wal(origin, 4);
    for (int i = 0; i < 12; i++) {
        char *dir = fixture_directory(), wal[4096];
        (void)snprintf(command, sizeof command, "cp %s/events-*.duckdb* %s/", origin, dir);
        assert_int_equal(system(command), 0);
        fixture_part(dir, ".duckdb.wal", wal);
        struct stat status;
        assert_int_equal(stat(wal, &status), 0);
        if (i == 0)
            spoil(wal, 0, (size_t)status.st_size, 99);
        else if (i < 6)
            assert_int_equal(truncate(wal, status.st_size * i / 6), 0);
        else
            spoil(wal, status.st_size * (i - 6) / 6 + 10, 64, (uint64_t)i);
        struct store *store = opened(dir);
        uint64_t rows = rows_and_cursor_agree(store);
        print_message("wal case %d: %llu rows\n", i, (unsigned long long)rows);
        store_close(&store);
        fixture_remove(dir);
    }
    fixture_remove(origin);
}

struct told {
    uint64_t rows, checkpointed;
};

/* Commits until killed, of so many messages; a checkpoint each few, or only those that DuckDB makes. */
static void commit_and_tell(const char *dir, int to, size_t messages, bool by_itself)
{
    struct fixture fixture;
    struct store_cursor cursor;
    struct store *store;
    struct told told = {0};
    fixture_init(&fixture, 6, messages);
    if (store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, NULL) != 0 ||
        store_cursor(store, &cursor, NULL) != 0)
        _exit(1);
    told.rows = cursor.pos.offset;
    for (int i = 1; put(store, &fixture, &told.rows, NULL) == 0; i++) {
        if (!by_itself && i % 4 == 0 && store_checkpoint(store, NULL) != 0)
            _exit(2);
        if (store_checkpointed(store, &cursor, NULL) != 0)
            _exit(3);
        told.checkpointed = cursor.pos.offset;
        if (write(to, &told, sizeof told) != sizeof told)
            _exit(4);
    }
    _exit(5);
}

/* Until it told of so many commits and of a checkpoint that is not the last of them; then it is killed. */
static struct told kill_behind_checkpoint(const char *dir, uint64_t commits, size_t messages, bool by_itself)
{
    int pipes[2], status;
    struct told told = {0};
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)close(pipes[0]);
        commit_and_tell(dir, pipes[1], messages, by_itself);
    }
    (void)close(pipes[1]);
    for (uint64_t i = 0; i < commits || told.checkpointed == 0 || told.checkpointed == told.rows; i++)
        assert_int_equal(read(pipes[0], &told, sizeof told), sizeof told);
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    for (struct told last; read(pipes[0], &last, sizeof last) == sizeof last;)
        told = last;
    (void)close(pipes[0]);
    return told;
}

/* The journal retires behind a checkpoint: what it holds must be there without the WAL. */
static void without_its_wal_the_checkpoint_is_left(void **state)
{
    (void)state;
    static const struct {
        uint64_t commits;
        size_t messages;
        bool by_itself;
    } cases[] = {{1, 60, false}, {6, 60, false}, {11, 300, false}, {1, 4000, true}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *dir = fixture_directory(), wal[4096];
        struct stat status;
        for (int round = 0; round < (cases[i].by_itself ? 1 : 3); round++) {
            struct told told =
                kill_behind_checkpoint(dir, cases[i].commits, cases[i].messages, cases[i].by_itself);
            fixture_part(dir, ".duckdb.wal", wal);
            if (stat(wal, &status) == 0)
                spoil(wal, 0, (size_t)status.st_size, (uint64_t)round);
            struct store *store = opened(dir);
            uint64_t rows = rows_and_cursor_agree(store);
            print_message("%llu rows, %llu of them in the checkpoint: %llu are left\n",
                          (unsigned long long)told.rows, (unsigned long long)told.checkpointed,
                          (unsigned long long)rows);
            assert_true(rows >= told.checkpointed);
            store_close(&store);
        }
        fixture_remove(dir);
    }
}

static void a_second_process_is_refused(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    int ready[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *held;
        if (store_open(&held, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, NULL) != 0)
            _exit(1);
        _exit(write(ready[1], "x", 1) == 1 && read(done[0], &byte, 1) == 1 ? 0 : 2);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct store *store;
    struct err err = {0};
    assert_int_equal(store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, &err),
                     ERR_BUSY);
    assert_int_equal(damaged_files(dir, ".duckdb.damaged-"), 0); /* busy is not damaged */
    assert_int_equal(write(done[1], "x", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_remove(dir);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(done[i]);
    }
}

/* Commits until killed; tells each commit's rows through the pipe after it. */
static void commit_for_ever(const char *dir, int told)
{
    struct fixture fixture;
    struct store_cursor cursor;
    struct store *store;
    fixture_init(&fixture, 5, 60);
    if (store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, NULL) != 0 ||
        store_cursor(store, &cursor, NULL) != 0)
        _exit(1);
    uint64_t rows = cursor.pos.offset;
    while (put(store, &fixture, &rows, NULL) == 0)
        if (write(told, &rows, sizeof rows) != sizeof rows)
            _exit(2);
    _exit(3);
}

static void kill_at_any_moment_keeps_rows_and_cursor_together(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    uint64_t random = 4242;
    for (int round = 0; round < 12; round++) {
        int told[2];
        uint64_t rows = 0, last = 0;
        assert_int_equal(pipe(told), 0);
        pid_t child = fork();
        if (child == 0) {
            (void)close(told[0]);
            commit_for_ever(dir, told[1]);
        }
        (void)close(told[1]);
        uint64_t commits = 1 + fixture_below(&random, 12);
        for (uint64_t i = 0; i < commits; i++) {
            assert_int_equal(read(told[0], &rows, sizeof rows), sizeof rows);
            last = rows;
        }
        int64_t until = clock_monotonic_us() + (int64_t)fixture_below(&random, 8000);
        while (clock_monotonic_us() < until) /* somewhere inside a later commit */
            ;
        (void)kill(child, SIGKILL);
        reap_killed(child);
        while (read(told[0], &rows, sizeof rows) == sizeof rows)
            last = rows;
        (void)close(told[0]);
        struct store *store = opened(dir);
        assert_true(rows_and_cursor_agree(store) >= last); /* what was answered is there */
        store_close(&store);
    }
    assert_int_equal(damaged_files(dir, ".duckdb.damaged-"), 0);
    assert_int_equal(damaged_files(dir, ".duckdb.wal.damaged-"), 0);
    fixture_remove(dir);
}

/* Fills what is left of the disk with a file. */
static void fill_disk(const char *path)
{
    static const char zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    size_t step = sizeof zeros;
    while (step >= 512)
        if (write(fd, zeros, step) != (ssize_t)step)
            step /= 2;
    (void)close(fd);
}

static void a_full_disk_costs_nothing_that_was_committed(void **state)
{
    (void)state;
    char *dir = fixture_directory(), ballast[4096], data[4096];
    struct fixture fixture;
    struct err err = {0};
    uint64_t rows = 0;
    /* in a mount namespace of its own, so that it goes with the process; below chroot (EINVAL) it is private
     * as its maker left it */
    if (unshare(CLONE_NEWNS) != 0 ||
        (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 && errno != EINVAL) ||
        mount("none", dir, "tmpfs", 0, "size=64m") != 0) {
        int errnum = errno;
        fixture_remove(dir);
        fail_msg("no small tmpfs (run the tests as root): %s", strerror(errnum));
    }
    path_in(ballast, dir, "ballast");
    path_in(data, dir, "data");
    fixture_init(&fixture, 1, 1500);
    struct store *store = opened(data);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(put(store, &fixture, &rows, &err), 0);
        fill_disk(ballast);
        int rc = 0;
        for (int i = 0; rc == 0 && i < 50; i++)
            rc = put(store, &fixture, &rows, &err);
        if (rc != ERR_FULL)
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        /* Again and again; opening the file again may have freed room for one. */
        for (int i = 0; i < 3; i++) {
            rc = put(store, &fixture, &rows, &err);
            assert_true(rc == 0 || rc == ERR_FULL);
        }
        (void)rows_and_cursor_agree(store);
        assert_int_equal(unlink(ballast), 0);
        int64_t until = clock_monotonic_us() + 30 * US_PER_SECOND;
        do
            rc = put(store, &fixture, &rows, &err);
        while (rc == ERR_FULL && clock_monotonic_us() < until);
        if (rc != 0)
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        assert_int_equal(rows_and_cursor_agree(store), rows);
        texts_are_those_put(store, &fixture);
        store_close(&store);
        store = opened(data);
        assert_int_equal(rows_and_cursor_agree(store), rows);
        texts_are_those_put(store, &fixture);
    }
    store_close(&store);
    assert_int_equal(damaged_files(data, ".duckdb.damaged-"), 0);
    assert_int_equal(umount(dir), 0);
    fixture_fini(&fixture);
    fixture_remove(dir);
}

/* The machine's trouble is no damage: nothing is set aside for it. */
static void without_descriptors_the_file_stays(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    struct fixture fixture;
    struct err err = {0};
    struct rlimit limit, none;
    uint64_t rows = 0;
    fixture_init(&fixture, 1, 500);
    struct store *store = opened(dir);
    assert_int_equal(put(store, &fixture, &rows, &err), 0);
    store_close(&store);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int more = 0; more < 2; more++) {
        none = (struct rlimit){(rlim_t)(next + more), limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        int rc = store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, &err);
        if (rc == 0)
            store_close(&store); /* one descriptor was enough */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (rc != ERR_IO && (rc != 0 || more == 0))
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        assert_int_equal(damaged_files(dir, ".duckdb.damaged-"), 0);
        assert_int_equal(damaged_files(dir, ".duckdb.wal.damaged-"), 0);
    }
    store = opened(dir);
    assert_int_equal(rows_and_cursor_agree(store), rows);
    store_close(&store);
    fixture_fini(&fixture);
    fixture_remove(dir);
}

static void roll(struct store *store)
{
    struct err err = {0};
    if (store_roll(store, FIXTURE_START_US + 365 * 24 * 3600 * US_PER_SECOND, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* A store with roll-ups in their file, closed. */
static uint64_t fill_and_roll(const char *dir)
{
    struct fixture fixture;
    uint64_t rows = 0;
    fixture_init(&fixture, 1, 500);
    struct store *store = opened(dir);
    assert_int_equal(put(store, &fixture, &rows, NULL), 0);
    roll(store);
    store_close(&store);
    fixture_fini(&fixture);
    return rows;
}

/* Damage that opening doesn't meet is not taken for something that passes. */
static void damage_in_roll_ups_is_told_at_once(void **state)
{
    (void)state;
    enum { HEADER_BYTES = 12288, BLOCK_BYTES = 256 * 1024 };
    char *dir = fixture_directory(), path[4096], command[16384];
    struct stat status;
    size_t told = 0;
    (void)fill_and_roll(dir);
    path_in(path, dir, STORE_ROLLUPS_FILE);
    assert_int_equal(stat(path, &status), 0);
    (void)snprintf(command, sizeof command, "cp %s %s/kept", path, dir);
    assert_int_equal(system(command), 0);
    for (off_t at = HEADER_BYTES; at < status.st_size; at += BLOCK_BYTES) {
        struct err err = {0};
        spoil(path, at + 16384, 8192, (uint64_t)at);
        struct store *store = opened(dir);
        bool met = damaged_files(dir, STORE_ROLLUPS_FILE ".damaged-") > 0;
        int rc = store_sweep(store, NULL, NULL, &err);
        if (rc != 0 && rc != ERR_ENGINE)
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        assert_true(rc == 0 || !met);
        told += rc == ERR_ENGINE;
        if (rc == ERR_ENGINE)
            assert_non_null(strstr(err.detail, STORE_ROLLUPS_FILE));
        store_close(&store);
        (void)snprintf(command, sizeof command, "rm -f %s.damaged-* %s.wal && cp %s/kept %s", path, path, dir,
                       path);
        assert_int_equal(system(command), 0);
    }
    assert_true(told > 0);
    fixture_remove(dir);
}

/* Files may have so many bytes. */
static int sweep_within(struct store *store, rlim_t bytes, struct err *err)
{
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = (struct rlimit){bytes, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = store_sweep(store, NULL, NULL, err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    return rc;
}

/* Where room runs out at a commit, DuckDB refuses everything since: when nothing is written, nobody but who
 * had it run out can know. */
static void without_room_for_a_copy_the_store_goes_on(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    struct err err = {0};
    size_t full = 0;
    int rc = ERR_FULL;
    uint64_t rows = fill_and_roll(dir);
    struct store *store = opened(dir);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t kb = 4; rc != 0 && kb < 64 * 1024; kb += kb / 2) {
        rc = sweep_within(store, kb * 1024, &err);
        if (rc != 0 && rc != ERR_FULL)
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        full += rc == ERR_FULL;
        assert_int_equal(store_append(store, NULL, 0, NULL), 0); /* as the hub's jobs do */
        assert_int_equal(rows_and_cursor_agree(store), rows);
    }
    assert_int_equal(rc, 0);
    assert_true(full > 2);
    store_close(&store);
    assert_int_equal(damaged_files(dir, ".damaged-"), 0);
    fixture_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_second_process_is_refused), /* the forks come first: DuckDB's threads don't survive one */
        cmocka_unit_test(without_its_wal_the_checkpoint_is_left),
        cmocka_unit_test(kill_at_any_moment_keeps_rows_and_cursor_together),
        cmocka_unit_test(a_damaged_wal_costs_no_more_than_itself),
        cmocka_unit_test(a_damaged_file_is_set_aside),
        cmocka_unit_test(without_descriptors_the_file_stays),
        cmocka_unit_test(damage_in_roll_ups_is_told_at_once),
        cmocka_unit_test(without_room_for_a_copy_the_store_goes_on),
        cmocka_unit_test(a_full_disk_costs_nothing_that_was_committed),
    };
    return cmocka_run_group_tests_name("store/damage", tests, NULL, NULL);
}
