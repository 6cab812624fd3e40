/* SPDX-License-Identifier: Apache-2.0
 *
 * salvage: an fdatasync fails, and part of what it should have made durable can't be read back either. What
 * a reader is shown then, what is counted, and what the owner is told.
 */
#include "inside.h"
#include "testdir.h"

#include "base/log.h"
#include "base/test.h"
#include "tests/shim/disk.h"

#include <errno.h>
#include <stdio.h>

enum { PAYLOAD = 100, RECORD = RECORD_HEADER_BYTES + PAYLOAD };

static struct journal *opened(const char *dir, bool keep_unretired)
{
    struct journal_options options = {
        .dir = dir, .max_bytes = 1024 * 1024, .segment_bytes = 64 * 1024, .keep_unretired = keep_unretired};
    struct journal *journal;
    struct err err = {0};
    if (journal_open(&journal, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return journal;
}

static int append_one(struct journal *journal)
{
    static const char payload[PAYLOAD] = "x";
    return journal_append(journal, 7, 1, (struct slice){payload, sizeof payload}, NULL, NULL);
}

static void append(struct journal *journal, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(append_one(journal), 0);
}

/* The seqs that a reader is shown, as "1-3 7-9". */
static const char *shown(struct journal *journal)
{
    static char text[256];
    struct journal_reader *reader;
    struct journal_record record;
    uint64_t first = 0, last = 0;
    size_t n = 0;
    text[0] = '\0';
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    for (int rc = 0; rc == 0;) {
        rc = journal_reader_next(reader, &record, NULL);
        if (last != 0 && (rc != 0 || record.seq != last + 1)) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%lu-%lu", n != 0 ? " " : "",
                                  (unsigned long)first, (unsigned long)last);
            first = 0;
        }
        first = first != 0 ? first : record.seq;
        last = record.seq;
    }
    journal_reader_close(&reader);
    return text;
}

/* Flips a bit of the payload of the n-th record (from 1) of the segment being written; 0: of both copies of
 * its header. */
static void damage(struct journal *journal, const char *dir, int n)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, journal->active.number, SEGMENT_PLAIN);
    if (n != 0) {
        testdir_flip(dir, name, SEGMENT_HEADER_BYTES + (off_t)(n - 1) * RECORD + RECORD_HEADER_BYTES);
        return;
    }
    testdir_flip(dir, name, 20);
    testdir_flip(dir, name, SEGMENT_HEADER_BYTES / 2 + 20);
}

static const struct loss {
    const char *name;
    int synced, unsynced, damaged[2]; /* records of the segment; -1: none */
    bool keep_unretired;
    const char *shown; /* after two more */
    uint64_t first, last, dropped;
} losses[] = {
    {"nothing", 3, 6, {-1, -1}, true, "1-11", 0, 0, 0},
    {"one inside", 3, 6, {6, -1}, true, "1-5 10-11", 6, 9, 0},
    {"the first unsynced", 3, 6, {4, -1}, true, "1-3 10-11", 4, 9, 0},
    {"the last", 3, 6, {9, -1}, true, "1-8 10-11", 9, 9, 0},
    {"two", 3, 6, {5, 8}, true, "1-4 10-11", 5, 9, 0},
    {"the very first", 0, 6, {1, -1}, true, "7-8", 1, 6, 0},
    {"the header", 0, 6, {0, -1}, true, "1-8", 0, 0, 0},
    {"the header and one", 0, 6, {0, 3}, true, "1-2 7-8", 3, 6, 0},
    {"one inside, nobody to send it again", 3, 6, {6, -1}, false, "1-5 7-11", 0, 0, 1},
    {"two, nobody to send them again", 0, 6, {0, 3}, false, "1-2 4-8", 0, 0, 1},
};

static void check_loss(const char *dir, const struct loss *loss)
{
    struct journal *journal = opened(dir, loss->keep_unretired);
    struct journal_stats stats;
    uint64_t first, last;
    append(journal, loss->synced);
    assert_int_equal(journal_sync(journal, NULL), 0);
    append(journal, loss->unsynced);
    for (int i = 0; i < 2; i++)
        if (loss->damaged[i] >= 0)
            damage(journal, dir, loss->damaged[i]);
    disk_fail_syncs(EIO, 1);
    assert_int_equal(journal_sync(journal, NULL), ERR_IO);
    if (loss->first != 0) { /* nothing comes behind it before it is told */
        assert_int_equal(append_one(journal), ERR_IO);
        assert_int_equal(journal_sync(journal, NULL), ERR_IO);
    }
    assert_int_equal(journal_take_lost(journal, &first, &last), loss->first != 0);
    assert_int_equal(first, loss->first);
    assert_int_equal(last, loss->last);
    assert_false(journal_take_lost(journal, &first, &last));
    append(journal, 2);
    assert_int_equal(journal_sync(journal, NULL), 0);
    assert_string_equal(shown(journal), loss->shown);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.dropped, loss->dropped);
    journal_close(&journal);
    journal = opened(dir, loss->keep_unretired);
    assert_string_equal(shown(journal), loss->shown);
    journal_close(&journal);
}

static void what_cannot_be_read_back_is_told(void **state)
{
    for (size_t i = 0; i < ARRAY_LENGTH(losses); i++) {
        print_message("%s\n", losses[i].name);
        testdir_empty(*state);
        check_loss(*state, &losses[i]);
    }
}

/* What was written again fails and is damaged too: one range in the end. */
static void losses_in_a_row_are_one(void **state)
{
    struct journal *journal = opened(*state, true);
    uint64_t first, last;
    append(journal, 9);
    damage(journal, *state, 8);
    disk_fail_syncs(EIO, 1);
    assert_int_equal(journal_sync(journal, NULL), ERR_IO);
    damage(journal, *state, 4);
    journal->suspect = true; /* as a seal that failed leaves it */
    assert_int_equal(append_one(journal), ERR_IO);
    assert_true(journal_take_lost(journal, &first, &last));
    assert_int_equal(first, 4);
    assert_int_equal(last, 9);
    append(journal, 1);
    assert_int_equal(journal_sync(journal, NULL), 0);
    assert_string_equal(shown(journal), "1-3 10-10");
    journal_close(&journal);
}

int main(void)
{
    log_set_level(LOG_LEVEL_ERROR);
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(what_cannot_be_read_back_is_told),
        IN_DIR(losses_in_a_row_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
