/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: what comes back after appends, restarts, cuts, flipped bits, drops and compression. Each test
 * works in a directory of its own.
 */
#include "inside.h"
#include "testdir.h"

#include "base/log.h"
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAYLOAD = 100 };

static struct journal_options options_in(const char *dir)
{
    return (struct journal_options){.dir = dir, .max_bytes = 1024 * 1024, .segment_bytes = 64 * 1024};
}

static struct journal *opened(const struct journal_options *options)
{
    struct journal *journal;
    struct err err = {0};
    if (journal_open(&journal, options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return journal;
}

/* Appends n records with ts 1000 * seq and a payload that tells the seq; syncs. */
static void append(struct journal *journal, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t seq;
        char payload[PAYLOAD];
        memset(payload, 'x', sizeof payload);
        (void)snprintf(payload, sizeof payload, "%lu", (unsigned long)journal->next_seq);
        assert_int_equal(journal_append(journal, 7, (int64_t)journal->next_seq * 1000,
                                        (struct slice){payload, sizeof payload}, &seq, NULL),
                         0);
    }
    assert_int_equal(journal_sync(journal, NULL), 0);
}

static void assert_is(const struct journal_record *record, uint64_t seq)
{
    assert_int_equal(record->seq, seq);
    assert_int_equal(record->ts_us, seq * 1000);
    assert_int_equal(record->kind, 7);
    assert_int_equal(record->payload.n, PAYLOAD);
    assert_int_equal(strtoul(record->payload.p, NULL, 10), seq);
}

/* Reads from pos on; seqs in order (of one epoch) go to seqs, at most max. */
static size_t read_all(struct journal *journal, const char *dir, struct journal_pos pos, uint64_t *seqs,
                       size_t max)
{
    struct journal_reader *reader;
    struct journal_record record;
    size_t n = 0;
    int rc;
    assert_int_equal(journal_reader_open(&reader, journal, dir, pos, NULL), 0);
    while ((rc = journal_reader_next(reader, &record, NULL)) == 0 && n < max) {
        assert_is(&record, record.seq);
        seqs[n++] = record.seq;
    }
    assert_int_equal(rc, ERR_END);
    journal_reader_close(&reader);
    return n;
}

static void records_come_back_in_order(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    uint64_t seqs[3000];
    struct journal *journal = opened(&options);
    append(journal, 1500);
    assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 3000), 1500);
    journal_close(&journal);
    journal = opened(&options);
    append(journal, 500);
    assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 3000), 2000);
    for (size_t i = 0; i < 2000; i++)
        assert_int_equal(seqs[i], i < 1500 ? i + 1 : i - 1499);
    struct journal_stats stats;
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.depth, 2000);
    assert_int_equal(stats.appended, 500);
    assert_int_equal(stats.synced_seq, 500);
    assert_int_equal(stats.oldest_us, 1000);
    assert_true(stats.segments >= 4);
    journal_close(&journal);
    assert_int_equal(read_all(NULL, dir, (struct journal_pos){0, 0}, seqs, 3000), 2000);
}

static void unsynced_records_are_not_shown(void **state)
{
    struct journal_options options = options_in(*state);
    uint64_t seqs[16];
    struct journal *journal = opened(&options);
    append(journal, 3);
    assert_int_equal(journal_append(journal, 7, 4000, SLICE("4"), NULL, NULL), 0);
    assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 16), 3);
    journal_close(&journal);
}

static void opening_leaves_nothing_behind(void **state)
{
    struct journal_options options = options_in(*state);
    struct journal_stats stats;
    for (int i = 0; i < 5; i++) {
        struct journal *journal = opened(&options);
        assert_int_equal(journal_sync(journal, NULL), 0);
        journal_close(&journal);
    }
    struct journal *journal = opened(&options);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.segments, 0);
    assert_int_equal(testdir_count(*state, SEGMENT_PLAIN), 0);
    struct journal *second;
    struct err err;
    assert_int_equal(journal_open(&second, &options, &err), ERR_BUSY);
    assert_null(second);
    journal_close(&journal);
}

/* One unsealed segment of ten records as a crash leaves it: its bytes, for tests that damage them. */
struct image {
    char name[SEGMENT_NAME_BYTES];
    uint8_t *bytes;
    size_t n;
    size_t at[11]; /* where each record begins; [10]: the end */
};

static void take_image(const char *dir, struct image *image)
{
    struct journal_options options = options_in(dir);
    struct journal *journal = opened(&options);
    append(journal, 10);
    segment_name(image->name, journal->active.number, SEGMENT_PLAIN);
    image->n = (size_t)journal->active.summary.end;
    image->bytes = malloc(image->n);
    assert_int_equal(pread(journal->fd, image->bytes, image->n, 0), image->n);
    for (size_t i = 0; i <= 10; i++)
        image->at[i] = SEGMENT_HEADER_BYTES + i * (RECORD_HEADER_BYTES + PAYLOAD);
    assert_int_equal(image->at[10], image->n);
    journal_close(&journal);
}

/* A fresh directory with the first n bytes of the image in it. */
static void put_image(const char *dir, const struct image *image, size_t n)
{
    testdir_empty(dir);
    testdir_write(dir, image->name, image->bytes, n);
}

static void a_cut_anywhere_in_the_last_record(void **state)
{
    const char *dir = *state;
    struct image image;
    struct journal_options options = options_in(dir);
    take_image(dir, &image);
    for (size_t cut = image.at[9]; cut <= image.n; cut++) {
        uint64_t seqs[16], expected = cut == image.n ? 10 : 9;
        struct journal_stats stats;
        put_image(dir, &image, cut);
        for (int round = 0; round < 2; round++) { /* the second recovery changes nothing */
            struct journal *journal = opened(&options);
            journal_get_stats(journal, &stats);
            assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 16), expected);
            assert_int_equal(seqs[expected - 1], expected);
            assert_int_equal(stats.depth, expected);
            assert_int_equal(stats.quarantined, cut > image.at[9] && cut < image.n);
            assert_int_equal(stats.quarantined_bytes, cut == image.n ? 0 : cut - image.at[9]);
            journal_close(&journal);
        }
    }
    free(image.bytes);
}

static void each_bit_of_one_record_flipped(void **state)
{
    const char *dir = *state;
    struct image image;
    struct journal_options options = options_in(dir);
    take_image(dir, &image);
    for (size_t bit = image.at[4] * 8; bit < image.at[5] * 8; bit++) {
        uint64_t seqs[16];
        struct journal_stats stats;
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_image(dir, &image, image.n);
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(read_all(NULL, dir, (struct journal_pos){0, 0}, seqs, 16), 9);
        for (int round = 0; round < (bit % 64 == 0 ? 2 : 1); round++) {
            struct journal *journal = opened(&options);
            assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 16), 9);
            for (uint64_t i = 0; i < 9; i++)
                assert_int_equal(seqs[i], i < 4 ? i + 1 : i + 2);
            journal_get_stats(journal, &stats);
            assert_int_equal(stats.quarantined, 1);
            assert_int_equal(stats.quarantined_bytes, RECORD_HEADER_BYTES + PAYLOAD);
            journal_close(&journal);
        }
    }
    free(image.bytes);
}

static void a_flipped_segment_header_costs_nothing(void **state)
{
    const char *dir = *state;
    struct image image;
    take_image(dir, &image);
    for (size_t i = 0; i < SEGMENT_HEADER_BYTES; i++) {
        uint64_t seqs[16];
        image.bytes[i] ^= 0x10;
        put_image(dir, &image, image.n);
        image.bytes[i] ^= 0x10;
        assert_int_equal(read_all(NULL, dir, (struct journal_pos){0, 0}, seqs, 16), 10);
    }
    memset(image.bytes, 0, SEGMENT_HEADER_BYTES);
    put_image(dir, &image, image.n);
    struct journal_options options = options_in(dir);
    struct journal_stats stats;
    struct journal *journal = opened(&options);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.quarantined, 1);
    assert_int_equal(stats.quarantined_bytes, image.n);
    journal_close(&journal);
    free(image.bytes);
}

/* A stranger who guesses the format, but not the epoch, can't plant a record inside a payload. */
static void a_record_inside_a_payload_stays_there(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    uint8_t planted[RECORD_HEADER_BYTES + 4];
    struct epoch guessed = {{0}};
    struct record record = {.seq = 2, .kind = 7};
    record_encode(record_seed(&guessed), &record, SLICE("evil"), planted);
    memcpy(planted + RECORD_HEADER_BYTES, "evil", 4);
    struct journal *journal = opened(&options);
    char name[SEGMENT_NAME_BYTES];
    uint8_t flip;
    assert_int_equal(
        journal_append(journal, 7, 1000, (struct slice){(char *)planted, sizeof planted}, NULL, NULL), 0);
    append(journal, 2);
    assert_int_equal(pread(journal->fd, &flip, 1, SEGMENT_HEADER_BYTES + 8), 1);
    flip ^= 1;
    assert_int_equal(pwrite(journal->fd, &flip, 1, SEGMENT_HEADER_BYTES + 8), 1);
    segment_name(name, journal->active.number, SEGMENT_PLAIN);
    uint64_t seqs[16];
    assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 16), 2);
    assert_int_equal(seqs[0], 2);
    journal_close(&journal);
}

static void the_bound_drops_the_oldest_and_counts(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.max_bytes = 256 * 1024;
    options.segment_bytes = 16 * 1024;
    struct journal_stats stats;
    uint64_t total = 0, seqs[4096];
    for (int round = 0; round < 4; round++) {
        struct journal *journal = opened(&options);
        append(journal, 1111);
        total += 1111;
        journal_get_stats(journal, &stats);
        assert_true(stats.bytes <= options.max_bytes);
        assert_int_equal(stats.bytes,
                         testdir_bytes(dir, ".seg") + (journal->fd >= 0 ? SEGMENT_FOOTER_BYTES : 0));
        assert_int_equal(stats.depth + stats.dropped, total);
        assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, 4096), stats.depth);
        journal_close(&journal);
        assert_true(testdir_bytes(dir, ".seg") <= options.max_bytes);
    }
    assert_true(stats.dropped > 1000);
    assert_true(stats.depth > 1000);
}

static void blocks_taken_ahead_are_given_back(void **state)
{
    enum { SPARE = 64 * 1024 };
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.max_bytes = 64 * 1024 * 1024;
    options.segment_bytes = 8 * 1024 * 1024;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* dies without sealing */
        append(opened(&options), 8000);
        _exit(testdir_allocated(dir, ".seg") > testdir_bytes(dir, ".seg") + SPARE ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0); /* there were some ahead */

    struct journal *journal = opened(&options);
    assert_in_range(testdir_allocated(dir, ".seg"), 1, testdir_bytes(dir, ".seg") + SPARE);
    append(journal, 8000);
    journal_close(&journal);
    assert_int_equal(testdir_count(dir, ".seg"), 2);
    assert_in_range(testdir_allocated(dir, ".seg"), 1, testdir_bytes(dir, ".seg") + SPARE);
}

static void what_a_reader_passed_is_not_dropped(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.max_bytes = 256 * 1024;
    options.segment_bytes = 16 * 1024;
    struct journal *journal = opened(&options);
    struct journal_reader *reader;
    struct journal_record record = {.seq = 0};
    struct journal_stats stats;
    append(journal, 500);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    while (record.seq < 321)
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    assert_int_equal(journal_retire(journal, record.next, NULL), 0);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.depth, 500 - 321);
    assert_int_equal(stats.oldest_us, 322 * 1000);
    journal_reader_close(&reader);
    journal_close(&journal);

    journal = opened(&options); /* the place within a segment is known again */
    assert_int_equal(journal_pos_compare(journal_retired(journal), record.next), 0);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.depth, 500 - 321);
    assert_int_equal(stats.oldest_us, 322 * 1000);
    for (int i = 0; i < 4; i++)
        append(journal, 1000);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.dropped + stats.depth, 4500 - 321);
    assert_true(stats.dropped > 179);
    journal_close(&journal);
}

static void nothing_unread_goes_when_asked(void **state)
{
    struct journal_options options = options_in(*state);
    options.max_bytes = 64 * 1024;
    options.segment_bytes = 8 * 1024;
    options.keep_unretired = true;
    struct journal *journal = opened(&options);
    struct journal_reader *reader;
    struct journal_record record;
    char payload[PAYLOAD] = "1";
    int rc;
    uint64_t n = 0;
    while ((rc = journal_append(journal, 7, 1, (struct slice){payload, PAYLOAD}, NULL, NULL)) == 0)
        n++;
    assert_int_equal(rc, ERR_FULL);
    assert_int_equal(journal_sync(journal, NULL), 0);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    assert_int_equal(journal_reader_next(reader, &record, NULL), ERR_END);
    assert_int_equal(journal_retire(journal, record.next, NULL), 0);
    assert_int_equal(journal_append(journal, 7, 1, (struct slice){payload, PAYLOAD}, NULL, NULL), 0);
    struct journal_stats stats;
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(stats.depth, 1);
    assert_int_equal(stats.oldest_us, 1);
    journal_reader_close(&reader);
    journal_close(&journal);
}

/* A clock that was ahead for a while, then right again: what it stamped goes like everything else. */
static void retired_segments_go_by_their_age(void **state)
{
    static const struct {
        const char *name;
        int64_t ts[5]; /* of a segment each; the last one is being written */
        int64_t now, keep;
        size_t left;
    } cases[] = {
        {"all young", {100, 200, 300, 400, 500}, 600, 550, 5},
        {"some old", {100, 200, 300, 400, 500}, 600, 350, 3},
        {"all old", {100, 200, 300, 400, 500}, 6000, 350, 1},
        {"no keeping", {100, 200, 300, 400, 500}, 0, 0, 1},
        {"ahead, then right", {100, 90000, 90001, 400, 500}, 600, 150, 1},
        {"ahead, then right, young", {100, 90000, 90001, 400, 500}, 600, 300, 4},
        {"ahead and not yet right", {100, 90000, 90001, 90002, 90003}, 600, 300, 4},
    };
    struct journal_options options = options_in(*state);
    char payload[PAYLOAD] = "1";
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct journal_stats stats;
        struct journal_reader *reader;
        struct journal_record record;
        bool worked = true;
        testdir_empty(*state);
        struct journal *journal = opened(&options);
        for (size_t k = 0; k < ARRAY_LENGTH(cases[i].ts); k++) {
            journal_close(&journal); /* each open begins a segment */
            journal = opened(&options);
            assert_int_equal(
                journal_append(journal, 7, cases[i].ts[k], (struct slice){payload, PAYLOAD}, NULL, NULL), 0);
        }
        assert_int_equal(journal_sync(journal, NULL), 0);
        assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
        while (journal_reader_next(reader, &record, NULL) == 0)
            assert_int_equal(journal_retire(journal, record.next, NULL), 0);
        journal_reader_close(&reader);
        while (worked)
            assert_int_equal(journal_maintain(journal, cases[i].now, cases[i].keep, &worked, NULL), 0);
        journal_get_stats(journal, &stats);
        if (stats.segments != cases[i].left)
            fail_msg("%s: %lu are left", cases[i].name, (unsigned long)stats.segments);
        journal_close(&journal);
    }
}

static void compression_keeps_positions(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.max_bytes = 64 * 1024 * 1024;
    options.segment_bytes = 1024 * 1024;
    options.compress_level = 3;
    struct journal *journal = opened(&options);
    struct journal_reader *early;
    struct journal_record record, probe;
    enum { N = 20000 };
    static struct journal_pos at[N + 1];
    struct journal_stats before, after;
    bool worked = true;
    append(journal, N);
    assert_int_equal(journal_reader_open(&early, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    assert_int_equal(journal_reader_next(early, &record, NULL), 0);
    at[1] = record.pos;
    journal_get_stats(journal, &before);
    while (worked)
        assert_int_equal(journal_maintain(journal, 0, 0, &worked, NULL), 0);
    assert_true(testdir_count(dir, SEGMENT_PACKED) >= 2);
    assert_int_equal(testdir_count(dir, SEGMENT_PLAIN), 1);
    journal_get_stats(journal, &after);
    assert_true(after.bytes < before.bytes / 2);
    for (uint64_t seq = 2; seq <= N; seq++) { /* its open file is the plain one still */
        assert_int_equal(journal_reader_next(early, &record, NULL), 0);
        assert_is(&record, seq);
        at[seq] = record.pos;
    }
    for (uint64_t seq = N; seq > 700; seq -= 699) {
        assert_int_equal(journal_reader_seek(early, at[seq], NULL), 0);
        assert_int_equal(journal_reader_next(early, &probe, NULL), 0);
        assert_is(&probe, seq);
        assert_int_equal(journal_pos_compare(probe.pos, at[seq]), 0);
        assert_int_equal(journal_retire(journal, at[(N - seq) / 3 + 1], NULL), 0);
    }
    journal_reader_close(&early);
    journal_close(&journal);
    journal = opened(&options);
    static uint64_t seqs[N];
    assert_int_equal(read_all(journal, NULL, at[1234], seqs, N), N - 1233);
    assert_int_equal(seqs[0], 1234);
    assert_int_equal(read_all(NULL, dir, (struct journal_pos){0, 0}, seqs, N), N);
    journal_close(&journal);
}

static void damage_in_a_packed_segment_costs_a_chunk(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.max_bytes = 64 * 1024 * 1024;
    options.segment_bytes = 4 * 1024 * 1024;
    options.compress_level = 1;
    enum { N = 40000 };
    static uint64_t seqs[N];
    struct journal *journal = opened(&options);
    bool worked = true;
    append(journal, N);
    while (worked)
        assert_int_equal(journal_maintain(journal, 0, 0, &worked, NULL), 0);
    char name[SEGMENT_NAME_BYTES];
    segment_name(name, journal->segments[0].number, SEGMENT_PACKED);
    assert_true(journal->segments[0].packed);
    off_t places[] = {PACKED_TEST_CHUNK_HEAD, (off_t)journal->segments[0].file_bytes / 2};
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        struct journal_stats stats;
        testdir_flip(dir, name, places[i]);
        size_t n = read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, N);
        assert_true(n < N && n > N - 5000);
        assert_int_equal(seqs[n - 1], N);
        assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, N), n);
        journal_get_stats(journal, &stats);
        assert_int_equal(stats.quarantined, i + 1); /* met twice, counted once */
        testdir_flip(dir, name, places[i]);
        assert_int_equal(read_all(journal, NULL, (struct journal_pos){0, 0}, seqs, N), N);
    }
    journal_close(&journal);
}

static void retired_segments_are_removed_after_a_while(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    options.segment_bytes = 16 * 1024;
    struct journal *journal = opened(&options);
    struct journal_reader *reader;
    struct journal_record record;
    struct journal_stats stats;
    bool worked = true;
    append(journal, 500);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0)
        ;
    assert_int_equal(journal_retire(journal, record.next, NULL), 0);
    assert_int_equal(journal_maintain(journal, 500 * 1000, 1000 * 1000, &worked, NULL), 0);
    assert_false(worked); /* too young */
    for (worked = true; worked;)
        assert_int_equal(journal_maintain(journal, 500 * 1000, 0, &worked, NULL), 0);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.segments, 1); /* the one being written */
    assert_int_equal(stats.depth, 0);
    assert_int_equal(stats.oldest_us, 0);
    assert_int_equal(stats.dropped, 0);
    append(journal, 1);
    assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    assert_is(&record, 501);
    journal_get_stats(journal, &stats);
    assert_int_equal(stats.depth, 1);
    assert_int_equal(stats.oldest_us, 501 * 1000);
    journal_reader_close(&reader);
    journal_close(&journal);
}

/* A directory that was wiped must not make a stored cursor lie ahead of what is written next. */
static void a_wiped_directory_continues_behind_old_cursors(void **state)
{
    const char *dir = *state;
    struct journal_options options = options_in(dir);
    uint64_t seqs[16];
    struct journal *journal = opened(&options);
    append(journal, 3);
    struct journal_pos old = {journal->active.number, journal->active.summary.end};
    journal_close(&journal);
    testdir_empty(dir);
    journal = opened(&options);
    append(journal, 2);
    assert_int_equal(read_all(journal, NULL, old, seqs, 16), 2);
    journal_close(&journal);
}

static void a_newer_release_is_refused(void **state)
{
    const char *dir = *state;
    struct image image;
    struct journal_options options = options_in(dir);
    take_image(dir, &image);
    image.bytes[8] = SEGMENT_VERSION + 1;
    uint32_t crc = record_crc(0, image.bytes, 60);
    memcpy(image.bytes + 60, &crc, sizeof crc);
    put_image(dir, &image, image.n);
    struct journal *journal;
    struct err err;
    assert_int_equal(journal_open(&journal, &options, &err), ERR_VERSION);
    free(image.bytes);
}

static void crc_is_the_standard_one(void **state)
{
    (void)state;
    assert_int_equal(record_crc(0, "123456789", 9), 0xe3069283);
    assert_int_equal(record_crc(record_crc(0, "1234", 4), "56789", 5), 0xe3069283);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_is_the_standard_one),
        IN_DIR(records_come_back_in_order),
        IN_DIR(unsynced_records_are_not_shown),
        IN_DIR(opening_leaves_nothing_behind),
        IN_DIR(a_cut_anywhere_in_the_last_record),
        IN_DIR(each_bit_of_one_record_flipped),
        IN_DIR(a_flipped_segment_header_costs_nothing),
        IN_DIR(a_record_inside_a_payload_stays_there),
        IN_DIR(the_bound_drops_the_oldest_and_counts),
        IN_DIR(blocks_taken_ahead_are_given_back),
        IN_DIR(what_a_reader_passed_is_not_dropped),
        IN_DIR(nothing_unread_goes_when_asked),
        IN_DIR(retired_segments_go_by_their_age),
        IN_DIR(compression_keeps_positions),
        IN_DIR(damage_in_a_packed_segment_costs_a_chunk),
        IN_DIR(retired_segments_are_removed_after_a_while),
        IN_DIR(a_wiped_directory_continues_behind_old_cursors),
        IN_DIR(a_newer_release_is_refused),
    };
    log_set_level(LOG_LEVEL_ERROR); /* thousands of damaged places are met */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
