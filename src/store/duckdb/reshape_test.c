/* SPDX-License-Identifier: Apache-2.0
 *
 * reshape: roll-ups of a release before, or of other cubes, are taken along, also where their events are
 * gone; a kill -9, a full disk or a newer release's file costs none of them.
 */
#include "base/test.h"
#include "store/fixture.h"
#include "store/store.h"

#include <dirent.h>
#include <duckdb.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_US (24 * 3600 * US_PER_SECOND)
#define LATER  (FIXTURE_START_US + 365 * DAY_US)

static const char other_cubes[] = "UPDATE rolled_made SET definition = 'other cubes'; "
                                  "ALTER TABLE rolled_hourly DROP COLUMN v_edges; "
                                  "ALTER TABLE rolled_daily DROP COLUMN v_edges; "
                                  "ALTER TABLE rolled_daily ADD COLUMN v_of_another UBIGINT";
static const char release_before[] = "DROP TABLE IF EXISTS rolled_made; "
                                     "ALTER TABLE rolled_periods DROP COLUMN IF EXISTS kept; "
                                     "ALTER TABLE rolled_periods DROP COLUMN IF EXISTS guessed; "
                                     "ALTER TABLE rolled_daily DROP COLUMN v_edges";

static struct store *try_open(const char *dir, int *rc, struct err *err)
{
    struct store *store = NULL;
    *rc = store_open(&store, &(struct store_options){"duckdb", dir, 256 << 20, 1, 0}, err);
    return *rc == 0 ? store : NULL;
}

static struct store *opened(const char *dir)
{
    struct err err = {0};
    int rc;
    struct store *store = try_open(dir, &rc, &err);
    if (store == NULL)
        fail_msg("open: %s", err_detail(&err));
    return store;
}

static size_t files(const char *dir, const char *what)
{
    DIR *listing = opendir(dir);
    size_t count = 0;
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += strstr(entry->d_name, what) != NULL;
    (void)closedir(listing);
    return count;
}

static int take_count(void *arg, const struct cell *cells, size_t count)
{
    *(uint64_t *)arg = cells[count - 1].u64;
    return 0;
}

struct figures {
    uint64_t days[2][2]; /* of tenants 1 and 2, of two days */
};

static uint64_t ask(struct store *store, uint32_t tenant, int day)
{
    char json[160];
    struct query *query;
    uint64_t requests = 0;
    struct err err = {0};
    struct query_sink sink = {.row = take_count, .arg = &requests};
    (void)snprintf(
        json, sizeof json,
        "{\"measures\":[\"requests\"],\"mode\":\"fast\",\"from\":\"2026-03-%02d\",\"to\":\"2026-03-"
        "%02d\"}",
        1 + day, 2 + day);
    assert_int_equal(query_parse(slice_of(json), LATER, &query, NULL), 0);
    query->scope = QUERY_SCOPE_TENANT;
    query->tenant = tenant;
    if (store_query(store, query, &sink, &err) != 0)
        fail_msg("%s", err_detail(&err));
    query_destroy(&query);
    return requests;
}

static struct figures read_figures(struct store *store)
{
    struct figures figures;
    for (uint32_t tenant = 1; tenant <= 2; tenant++)
        for (int day = 0; day < 2; day++)
            figures.days[tenant - 1][day] = ask(store, tenant, day);
    return figures;
}

static void figures_are(struct store *store, const struct figures *expected)
{
    struct figures figures = read_figures(store);
    assert_memory_equal(&figures, expected, sizeof figures);
}

static void roll(struct store *store)
{
    struct err err = {0};
    if (store_roll(store, LATER, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* Two days, rolled; the first day's events are gone. Made once, and copied. */
static char *origin;
static struct figures figures;

static int make_origin(void **state)
{
    (void)state;
    struct fixture fixture;
    struct err err = {0};
    struct store_keep old = {0, STORE_KIND_EVENTS, FIXTURE_START_US + DAY_US};
    struct store_rewrite retain = {.keeps = &old, .keep_count = 1};
    origin = fixture_directory();
    struct store *store = opened(origin);
    fixture_init(&fixture, 3, 150);
    assert_int_equal(store_append(store, fixture.events, fixture.count, NULL), 0);
    assert_int_equal(store_commit(store, (struct store_cursor){{1, fixture.count}, 0}, NULL), 0);
    assert_int_equal(store_close_part(store, NULL), 0);
    roll(store);
    figures = read_figures(store);
    for (int i = 0; i < 4; i++)
        assert_true(figures.days[i / 2][i % 2] > 0);
    if (store_rewrite_part(store, 1, &retain, NULL, NULL, NULL, &err) != 0)
        fail_msg("%s", err_detail(&err));
    figures_are(store, &figures);
    store_close(&store);
    fixture_fini(&fixture);
    return 0;
}

static int remove_origin(void **state)
{
    (void)state;
    fixture_remove(origin);
    return 0;
}

static void copy_origin(const char *dir)
{
    char command[16384];
    (void)snprintf(command, sizeof command, "mkdir -p %s && cp %s/*.duckdb* %s/", dir, origin, dir);
    assert_int_equal(system(command), 0);
}

/* Changes the file of a store that is closed. */
static void alter(const char *dir, const char *sql)
{
    char path[4096];
    duckdb_database database;
    duckdb_connection connection;
    duckdb_result result;
    (void)snprintf(path, sizeof path, "%s/" STORE_ROLLUPS_FILE, dir);
    assert_int_equal(duckdb_open(path, &database), DuckDBSuccess);
    assert_int_equal(duckdb_connect(database, &connection), DuckDBSuccess);
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        fail_msg("%s", duckdb_result_error(&result));
    duckdb_destroy_result(&result);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
}

static void store_late(struct store *store, int64_t ts)
{
    struct fixture fixture;
    struct store_cursor cursor;
    fixture_init(&fixture, 4, 1);
    fixture.events[0].tenant = 1;
    fixture.events[0].ts = ts;
    assert_int_equal(store_cursor(store, &cursor, NULL), 0);
    cursor.pos.offset++;
    assert_int_equal(store_append(store, fixture.events, 1, NULL), 0);
    assert_int_equal(store_commit(store, cursor, NULL), 0);
    fixture_fini(&fixture);
}

static void what_was_rolled_is_taken_along(void **state)
{
    (void)state;
    const char *const changes[] = {other_cubes, release_before};
    for (size_t i = 0; i < ARRAY_LENGTH(changes); i++) {
        char *dir = fixture_directory();
        struct figures later = figures;
        copy_origin(dir);
        alter(dir, changes[i]);
        struct store *store = opened(dir);
        figures_are(store, &figures);
        store_late(store, FIXTURE_START_US + DAY_US / 2); /* what has none is kept as before */
        store_late(store, FIXTURE_START_US + DAY_US + DAY_US / 2);
        roll(store); /* and what has events is rolled anew */
        later.days[0][1]++;
        figures_are(store, &later);
        store_close(&store);
        store = opened(dir);
        figures_are(store, &later);
        store_close(&store);
        assert_int_equal(files(dir, "damaged"), 0);
        assert_int_equal(files(dir, ".tmp"), 0);
        fixture_remove(dir);
    }
}

static void what_a_newer_release_wrote_is_left_alone(void **state)
{
    (void)state;
    char *dir = fixture_directory();
    struct err err = {0};
    int rc;
    copy_origin(dir);
    alter(dir, "UPDATE rolled_made SET version = version + 1, definition = 'of tomorrow'");
    assert_null(try_open(dir, &rc, &err));
    assert_int_equal(rc, ERR_VERSION);
    assert_int_equal(files(dir, "damaged"), 0);
    alter(dir, "UPDATE rolled_made SET version = version - 1");
    struct store *store = opened(dir);
    figures_are(store, &figures);
    store_close(&store);
    fixture_remove(dir);
}

/* A child opens the store and is killed, so long after it began. */
static void open_and_be_killed(const char *dir, int64_t us)
{
    int status, rc;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)try_open(dir, &rc, &(struct err){0});
        (void)kill(getpid(), SIGKILL);
    }
    int64_t until = clock_monotonic_us() + us;
    while (clock_monotonic_us() < until && waitpid(child, &status, WNOHANG) == 0)
        (void)usleep(100);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
}

static void a_kill_leaves_the_old_ones_or_the_new(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };
    int64_t whole_us = 0;
    for (int round = 0; round <= ROUNDS; round++) {
        char *dir = fixture_directory();
        copy_origin(dir);
        alter(dir, release_before);
        int64_t begun_us = clock_monotonic_us();
        open_and_be_killed(dir, round == 0 ? 60 * US_PER_SECOND : whole_us * round / ROUNDS);
        whole_us = round == 0 ? clock_monotonic_us() - begun_us : whole_us;
        print_message("killed after %d of %d: %zu unfinished files\n", round, ROUNDS, files(dir, ".tmp"));
        struct store *store = opened(dir);
        figures_are(store, &figures);
        store_close(&store);
        assert_int_equal(files(dir, "damaged"), 0);
        assert_int_equal(files(dir, ".tmp"), 0);
        fixture_remove(dir);
    }
}

static void fill_disk(const char *path)
{
    static const char zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t step = sizeof zeros; step >= 512;)
        if (write(fd, zeros, step) != (ssize_t)step)
            step /= 2;
    (void)close(fd);
}

/* In a mount namespace of its own, which goes with the process (as in damage_test.c). */
static void without_room_nothing_is_dropped(void **state)
{
    (void)state;
    char *dir = fixture_directory(), data[4096], ballast[4096];
    struct err err = {0};
    int rc;
    if (unshare(CLONE_NEWNS) != 0 ||
        (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 && errno != EINVAL) ||
        mount("none", dir, "tmpfs", 0, "size=160m") != 0) {
        int errnum = errno;
        fixture_remove(dir);
        fail_msg("no small tmpfs (run the tests as root): %s", strerror(errnum));
    }
    (void)snprintf(data, sizeof data, "%s/data", dir);
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    copy_origin(data);
    alter(data, release_before);
    fill_disk(ballast);
    for (int i = 0; i < 3; i++) {
        assert_null(try_open(data, &rc, &err));
        if (rc != ERR_FULL)
            fail_msg("%s: %s", err_name(rc), err_detail(&err));
        assert_int_equal(files(data, ".tmp"), 0); /* the room that there is is the mail's */
    }
    assert_int_equal(unlink(ballast), 0);
    struct store *store = opened(data);
    figures_are(store, &figures);
    store_close(&store);
    assert_int_equal(files(data, "damaged"), 0);
    assert_int_equal(umount(dir), 0);
    fixture_remove(dir);
}

/* One byte in so many. */
static bool damage(const char *path, off_t at, off_t n)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    for (off_t i = at; i < at + n && i < size; i += 61) {
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, i), 1);
        byte ^= 0x5a;
        assert_int_equal(pwrite(fd, &byte, 1, i), 1);
    }
    if (fd >= 0)
        (void)close(fd);
    return at < size;
}

static void without_their_wal_what_has_events_is_rolled_anew(void **state)
{
    (void)state;
    char *dir = fixture_directory(), wal[4096];
    struct figures later = figures;
    int status;
    copy_origin(dir);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        store_late(opened(dir), FIXTURE_START_US + DAY_US + DAY_US / 2);
        (void)kill(getpid(), SIGKILL);
    }
    (void)waitpid(child, &status, 0);
    (void)snprintf(wal, sizeof wal, "%s/" STORE_ROLLUPS_FILE ".wal", dir);
    assert_true(damage(wal, 120, 1 << 20)); /* behind the first record */
    struct store *store = opened(dir);
    assert_int_equal(files(dir, STORE_ROLLUPS_FILE ".wal.damaged"), 1);
    assert_int_equal(files(dir, STORE_ROLLUPS_FILE ".damaged"), 0);
    roll(store);
    later.days[0][1]++;
    figures_are(store, &later);
    store_close(&store);
    fixture_remove(dir);
}

/* Each block of the part in turn. */
static void damage_of_events_is_not_blamed_on_roll_ups(void **state)
{
    (void)state;
    enum { HEAD_BYTES = 3 * 4096, BLOCK_BYTES = 262144 };
    size_t blamed = 0;
    bool more = true;
    for (off_t block = 0; more; block++) {
        char *dir = fixture_directory(), path[4096];
        struct err err = {0};
        int rc;
        copy_origin(dir);
        alter(dir, release_before);
        DIR *listing = opendir(dir);
        for (const struct dirent *entry; (entry = readdir(listing)) != NULL;)
            if (strncmp(entry->d_name, "events-", 7) == 0)
                (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        (void)closedir(listing);
        more = damage(path, HEAD_BYTES + block * BLOCK_BYTES, BLOCK_BYTES);
        struct store *store = try_open(dir, &rc, &err);
        print_message("block %d: %s\n", (int)block, rc != 0 ? err_detail(&err) : "opened");
        blamed += rc == ERR_CORRUPT && strstr(err_detail(&err), "part ") != NULL;
        assert_int_equal(files(dir, STORE_ROLLUPS_FILE ".damaged"), 0);
        if (store != NULL)
            store_close(&store);
        fixture_remove(dir);
    }
    assert_true(blamed > 0);
}

/* --- while events are missing -------------------------------------------------------------------------- */

enum { PARTS = 3 };

static const struct store_keep first_day_goes = {0, STORE_KIND_EVENTS, FIXTURE_START_US + DAY_US};
static const struct store_keep both_days_go = {0, STORE_KIND_EVENTS, FIXTURE_START_US + 2 * DAY_US};

static void retain(struct store *store, const struct store_keep *keep)
{
    struct store_rewrite how = {.keeps = keep, .keep_count = 1};
    struct err err = {0};
    int rc = 0;
    assert_int_equal(store_close_part(store, NULL), 0);
    for (uint64_t id = 1; rc == 0; id++)
        rc = store_rewrite_part(store, id, &how, NULL, NULL, NULL, &err);
    if (rc != ERR_NOT_FOUND)
        fail_msg("%s", err_detail(&err));
}

/* As one part, up to the journal's position `part` or, in a gap, to its end. */
static void store_third(struct store *store, const struct fixture *fixture, uint64_t part)
{
    size_t third = fixture->count / PARTS;
    struct store_cursor end = {{1, part}, 0};
    struct err err = {0};
    if (store_append(store, fixture->events + (part - 1) * third, third, &err) != 0 ||
        store_commit(store, end, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* Three parts with events of both days; those of the first day are gone. The file is the release before's. */
static struct figures make_three(const char *dir, struct fixture *fixture)
{
    struct store *store = opened(dir);
    fixture_init(fixture, 3, 60);
    for (uint64_t part = 1; part <= PARTS; part++) {
        store_third(store, fixture, part);
        assert_int_equal(store_close_part(store, NULL), 0);
    }
    roll(store);
    struct figures before = read_figures(store);
    retain(store, &first_day_goes);
    store_close(&store);
    alter(dir, release_before);
    return before;
}

static void lose_part(const char *dir, int part)
{
    char ending[32], path[4096];
    (void)snprintf(ending, sizeof ending, ".%d.g2.duckdb", part);
    fixture_part(dir, ending, path);
    assert_true(damage(path, 0, 16384));
}

/* The loader reads them again, and with them what was gone. */
static void read_again(struct store *store, const struct fixture *fixture, uint64_t part)
{
    struct store_cursor at, until;
    assert_int_equal(store_cursor(store, &at, NULL), 0);
    assert_int_equal(at.pos.offset, part - 1);
    if (store_gap(store, &until))
        assert_int_equal(until.pos.offset, part);
    store_third(store, fixture, part);
    assert_false(store_gap(store, &until));
    assert_int_equal(store_close_part(store, NULL), 0);
}

static void retention_waits_for_a_gap(struct store *store)
{
    struct store_rewrite how = {.keeps = &both_days_go, .keep_count = 1};
    struct store_cursor until;
    if (store_gap(store, &until))
        assert_int_equal(store_rewrite_part(store, 1, &how, NULL, NULL, NULL, NULL), ERR_BUSY);
}

/* The second day has its events again, the first one has few of its own: what comes late is counted in the
 * one and not in the other, from the next start or retention on. */
static void what_is_only_missing_is_not_kept_for_good(void **state)
{
    (void)state;
    static const struct {
        int part; /* a gap, or the end of all */
        bool retained;
    } cases[] = {{2, false}, {3, false}, {2, true}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *dir = fixture_directory();
        struct fixture fixture;
        struct figures later = make_three(dir, &fixture);
        print_message("part %d, %s\n", cases[i].part, cases[i].retained ? "retained" : "opened again");
        lose_part(dir, cases[i].part);
        struct store *store = opened(dir);
        figures_are(store, &later); /* nothing is lost by what is missing, */
        retention_waits_for_a_gap(store);
        read_again(store, &fixture, (uint64_t)cases[i].part);
        store_late(store, FIXTURE_START_US + DAY_US / 2);
        store_late(store, FIXTURE_START_US + DAY_US + DAY_US / 2);
        figures_are(store, &later); /* nor by what comes then */
        later.days[0][1]++;
        if (cases[i].retained) {
            retain(store, &both_days_go);
        } else {
            store_close(&store);
            store = opened(dir);
            figures_are(store, &later);
        }
        roll(store);
        figures_are(store, &later);
        store_close(&store);
        fixture_fini(&fixture);
        fixture_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_leaves_the_old_ones_or_the_new), /* forks come first */
        cmocka_unit_test(without_their_wal_what_has_events_is_rolled_anew),
        cmocka_unit_test(damage_of_events_is_not_blamed_on_roll_ups),
        cmocka_unit_test(what_is_only_missing_is_not_kept_for_good),
        cmocka_unit_test(what_was_rolled_is_taken_along),
        cmocka_unit_test(what_a_newer_release_wrote_is_left_alone),
        cmocka_unit_test(without_room_nothing_is_dropped),
    };
    return cmocka_run_group_tests_name("store/reshape", tests, make_origin, remove_origin);
}
