/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: what is taken out is gone from the files, and nothing else changes: not for cursors, not for those
 * who read, not when the process is killed in the middle.
 */
#include "scrub.h"

#include "inside.h"
#include "testdir.h"

#include "base/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORDS = 3000, EVERY = 7, FILE_BYTES = 4 << 20, NOISE = 150 };
static const char canary[] = "canary@example.com";

static struct journal *opened(const char *dir)
{
    struct journal *journal;
    struct err err = {0};
    const struct journal_options options = {
        .dir = dir, .max_bytes = 16 << 20, .segment_bytes = 128 << 10, .compress_level = 1};
    if (journal_open(&journal, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return journal;
}

static bool is_canary(uint64_t seq)
{
    return seq % EVERY == 0;
}

/* Some text that doesn't compress to nothing, and in each seventh record the canary. */
static size_t make_payload(uint64_t seq, char out[256])
{
    int n = snprintf(out, 256, "%lu %s ", (unsigned long)seq, is_canary(seq) ? canary : "other@example.com");
    uint64_t x = seq * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < NOISE; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        out[n++] = (char)('a' + x % 26);
    }
    return (size_t)n;
}

static void append(struct journal *journal, uint64_t n)
{
    char payload[256];
    for (uint64_t i = 0; i < n; i++) {
        uint64_t seq = journal->next_seq;
        size_t bytes = make_payload(seq, payload);
        assert_int_equal(
            journal_append(journal, 7, (int64_t)seq * 1000, (struct slice){payload, bytes}, NULL, NULL), 0);
    }
    assert_int_equal(journal_sync(journal, NULL), 0);
}

/* Blanks what holds the canary. */
static int blank(void *arg, const struct journal_record *record, uint8_t *payload, bool *changed,
                 struct err *err)
{
    (void)arg;
    (void)err;
    *changed = memmem(record->payload.p, record->payload.n, canary, strlen(canary)) != NULL;
    if (*changed)
        memset(payload, '.', record->payload.n);
    return 0;
}

static size_t scrub_all(struct journal *journal)
{
    uint64_t number = 0, records;
    size_t count = 0;
    bool changed;
    struct err err = {0};
    while (journal_next_sealed(journal, number, &number, &records) == 0) {
        if (journal_scrub(journal, number, blank, NULL, &changed, &err) != 0)
            fail_msg("%s", err_detail(&err));
        count += changed;
    }
    return count;
}

/* Reads everything; *blanked counts the records that were changed. Returns how many there are. */
static uint64_t read_journal(struct journal *journal, const char *dir, struct journal_pos from,
                             uint64_t *blanked, struct journal_pos *places)
{
    struct journal_reader *reader;
    struct journal_record record;
    uint64_t n = 0;
    char payload[256];
    *blanked = 0;
    assert_int_equal(journal_reader_open(&reader, journal, dir, from, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0) {
        size_t bytes = make_payload(record.seq, payload);
        assert_int_equal(record.payload.n, bytes);
        assert_int_equal(record.ts_us, record.seq * 1000);
        assert_int_equal(record.kind, 7);
        if (is_canary(record.seq) && record.payload.p[0] == '.')
            ++*blanked;
        else
            assert_memory_equal(record.payload.p, payload, bytes);
        if (places != NULL)
            places[n] = record.pos;
        n++;
    }
    assert_int_equal(journal_reader_skipped(reader), 0);
    journal_reader_close(&reader);
    return n;
}

/* How many files of the directory hold the canary as it is; compressed ones are read as records. */
static size_t count_found(const char *dir)
{
    size_t found = 0;
    char path[512], *bytes = malloc(FILE_BYTES);
    DIR *names = opendir(dir);
    assert_non_null(names);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, bytes, FILE_BYTES);
        found += n > 0 && memmem(bytes, (size_t)n, canary, strlen(canary)) != NULL;
        close(fd);
    }
    closedir(names);
    free(bytes);
    return found;
}

static bool pack_all(struct journal *journal)
{
    bool worked, any = false;
    do {
        assert_int_equal(journal_maintain(journal, 0, 0, &worked, NULL), 0);
        any |= worked;
    } while (worked);
    return any;
}

static void only_what_matches_changes(void **state)
{
    const char *dir = *state;
    for (int packed = 0; packed < 2; packed++) {
        struct journal_pos *before = calloc(RECORDS, sizeof *before), *after = calloc(RECORDS, sizeof *after);
        struct journal_stats old, now;
        uint64_t blanked;
        struct journal *journal = opened(dir);
        append(journal, RECORDS);
        if (packed)
            assert_true(pack_all(journal));
        else
            assert_true(count_found(dir) > 3); /* it can be found */
        assert_int_equal(read_journal(journal, NULL, (struct journal_pos){0, 0}, &blanked, before), RECORDS);
        assert_int_equal(blanked, 0);
        journal_get_stats(journal, &old);
        assert_int_equal(journal_rotate(journal, NULL), 0);
        assert_true(scrub_all(journal) > 3);
        assert_int_equal(count_found(dir), 0);
        assert_int_equal(testdir_count(dir, SEGMENT_TMP), 0);
        assert_int_equal(read_journal(journal, NULL, (struct journal_pos){0, 0}, &blanked, after), RECORDS);
        assert_int_equal(blanked, RECORDS / EVERY);
        assert_memory_equal(before, after, RECORDS * sizeof *before); /* cursors stay valid */
        journal_get_stats(journal, &now);
        assert_int_equal(now.depth, old.depth);
        assert_int_equal(now.bytes, testdir_bytes(dir, SEGMENT_PLAIN) + testdir_bytes(dir, SEGMENT_PACKED));
        assert_int_equal(scrub_all(journal), 0); /* nothing is left to do */
        assert_int_equal(journal_retire(journal, before[RECORDS / 2], NULL), 0);
        journal_get_stats(journal, &now);
        assert_int_equal(now.depth, RECORDS - RECORDS / 2);
        journal_close(&journal);
        assert_int_equal(read_journal(NULL, dir, before[RECORDS - 2], &blanked, NULL), 2);
        free(before);
        free(after);
        testdir_empty(dir);
    }
}

/* Open before, read to the end after. */
static void who_reads_is_not_disturbed(void **state)
{
    struct journal *journal = opened(*state);
    struct journal_reader *reader;
    struct journal_record record;
    uint64_t n = 0;
    append(journal, RECORDS);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    for (; n < 20; n++)
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    assert_int_equal(journal_rotate(journal, NULL), 0);
    assert_true(scrub_all(journal) > 3);
    append(journal, 10);
    for (; journal_reader_next(reader, &record, NULL) == 0; n++)
        assert_int_equal(record.seq, n + 1);
    assert_int_equal(n, RECORDS + 10);
    assert_int_equal(journal_reader_skipped(reader), 0);
    journal_reader_close(&reader);
    journal_close(&journal);
}

static void a_rotated_segment_is_sealed_and_the_next_begins(void **state)
{
    struct journal *journal = opened(*state);
    struct journal_stats stats;
    uint64_t number = 0, records = 0, blanked;
    assert_int_equal(journal_rotate(journal, NULL), 0); /* nothing there */
    append(journal, 5);
    assert_int_equal(journal_next_sealed(journal, 0, &number, &records), ERR_END);
    assert_int_equal(journal_rotate(journal, NULL), 0);
    assert_int_equal(journal_rotate(journal, NULL), 0);
    assert_int_equal(journal_next_sealed(journal, 0, &number, &records), 0);
    assert_int_equal(records, 5);
    append(journal, 5);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.segments, 2);
    assert_int_equal(stats.synced_seq, 10);
    assert_int_equal(read_journal(journal, NULL, (struct journal_pos){0, 0}, &blanked, NULL), 10);
    assert_int_equal(journal_scrub(journal, number + 1000, blank, NULL, &(bool){false}, NULL), ERR_NOT_FOUND);
    journal_close(&journal);
}

/* Bytes that are no record can't be searched: they go, and quarantine/ is emptied. */
static void damage_goes_too(void **state)
{
    const char *dir = *state;
    struct journal *journal = opened(dir);
    struct journal_record record;
    struct journal_reader *reader;
    char name[SEGMENT_NAME_BYTES];
    uint64_t number = 0, records, n = 0;
    append(journal, 20);
    assert_int_equal(journal_rotate(journal, NULL), 0);
    assert_int_equal(journal_next_sealed(journal, 0, &number, &records), 0);
    segment_name(name, number, SEGMENT_PLAIN);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0 && record.seq < EVERY)
        continue;
    testdir_flip(dir, name, (off_t)record.pos.offset + 5);
    journal_reader_close(&reader);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0)
        n++;
    assert_int_equal(n, 19);
    journal_reader_close(&reader);
    char quarantine[512];
    (void)snprintf(quarantine, sizeof quarantine, "%s/quarantine", dir);
    assert_int_equal(count_found(quarantine), 1);
    assert_int_equal(scrub_all(journal), 1);
    assert_int_equal(journal_scrub_quarantine(journal, NULL), 0);
    assert_int_equal(count_found(dir) + count_found(quarantine), 0);
    assert_int_equal(testdir_count(quarantine, ".bad"), 1);
    assert_int_equal(scrub_all(journal), 1); /* damage is overwritten each time: nothing tells that it was */
    struct journal_stats stats;
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.quarantined, 1); /* the place is counted once */
    journal_close(&journal);
}

static int stop_here(void *arg, const struct journal_record *record, uint8_t *payload, bool *changed,
                     struct err *err)
{
    (void)record, (void)payload, (void)changed, (void)err;
    return --*(int *)arg < 0 ? ERR_CANCELLED : 0;
}

static void a_scrub_that_ends_early_changes_nothing(void **state)
{
    struct journal *journal = opened(*state);
    uint64_t number = 0, records, blanked;
    bool changed = true;
    int left = 10;
    append(journal, RECORDS);
    assert_int_equal(journal_next_sealed(journal, 0, &number, &records), 0);
    assert_int_equal(journal_scrub(journal, number, stop_here, &left, &changed, NULL), ERR_CANCELLED);
    assert_false(changed);
    assert_int_equal(testdir_count(*state, SEGMENT_TMP), 0);
    assert_int_equal(read_journal(journal, NULL, (struct journal_pos){0, 0}, &blanked, NULL), RECORDS);
    assert_int_equal(blanked, 0);
    journal_close(&journal);
}

static void scrub_until_killed(const char *dir)
{
    struct journal *journal = opened(dir);
    (void)pack_all(journal);
    (void)scrub_all(journal);
    for (;;)
        (void)pause();
}

/* Killed at some moment: everything is there, each record old or new; then it is done in the end. */
static void a_kill_leaves_the_old_or_the_new(void **state)
{
    const char *dir = *state;
    uint64_t blanked, last = 0;
    struct journal *journal = opened(dir);
    append(journal, RECORDS);
    journal_close(&journal);
    for (int round = 0; round < 20 && last < RECORDS / EVERY; round++) {
        pid_t child = fork();
        if (child == 0)
            scrub_until_killed(dir);
        (void)usleep(2000 + 3000 * (unsigned)round);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(read_journal(NULL, dir, (struct journal_pos){0, 0}, &blanked, NULL), RECORDS);
        assert_true(blanked >= last);
        last = blanked;
    }
    journal = opened(dir);
    (void)scrub_all(journal);
    assert_int_equal(testdir_count(dir, SEGMENT_TMP), 0);
    assert_int_equal(read_journal(journal, NULL, (struct journal_pos){0, 0}, &blanked, NULL), RECORDS);
    assert_int_equal(blanked, RECORDS / EVERY);
    assert_int_equal(count_found(dir), 0);
    journal_close(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_matches_changes, testdir_make, testdir_remove),
        cmocka_unit_test_setup_teardown(who_reads_is_not_disturbed, testdir_make, testdir_remove),
        cmocka_unit_test_setup_teardown(a_rotated_segment_is_sealed_and_the_next_begins, testdir_make,
                                        testdir_remove),
        cmocka_unit_test_setup_teardown(damage_goes_too, testdir_make, testdir_remove),
        cmocka_unit_test_setup_teardown(a_scrub_that_ends_early_changes_nothing, testdir_make,
                                        testdir_remove),
        cmocka_unit_test_setup_teardown(a_kill_leaves_the_old_or_the_new, testdir_make, testdir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
