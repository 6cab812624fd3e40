/* SPDX-License-Identifier: Apache-2.0
 *
 * batch_test: what is written is read; every bound holds; every altered byte is noticed; a bomb costs
 * nothing.
 */
#include "base/test.h"
#include "batch.h"
#include "bytes.h"

#include <malloc.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

static struct batch_writer *writer;
static struct batch_reader *reader;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(batch_writer_create(&writer, 3), 0);
    assert_int_equal(batch_reader_create(&reader), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_writer_destroy(&writer);
    batch_reader_destroy(&reader);
    assert_null(writer);
    assert_null(reader);
    return 0;
}

static struct slice three_records(uint64_t *hash)
{
    struct slice body;
    batch_writer_clear(writer);
    assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 11, SLICE("request=smtpd_access_policy\n\n")),
                     0);
    assert_int_equal(batch_writer_add(writer, 7, -12, SLICE("")), 0);
    assert_int_equal(batch_writer_add(writer, 65535, INT64_MAX, SLICE("\0\xff")), 0);
    assert_int_equal(batch_writer_count(writer), 3);
    assert_int_equal(batch_writer_finish(writer, &body, hash), 0);
    return body;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    uint64_t hash;
    struct slice body = three_records(&hash);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(batch_reader_open(reader, body, 41, 3, hash, NULL), 0);
        struct batch_record record;
        assert_true(batch_reader_next(reader, &record));
        assert_int_equal(record.seq, 41);
        assert_int_equal(record.ts_us, 11);
        assert_int_equal(record.kind, RECORD_POLICY);
        assert_true(slice_equal(record.payload, SLICE("request=smtpd_access_policy\n\n")));
        assert_true(batch_reader_next(reader, &record));
        assert_int_equal(record.ts_us, -12);
        assert_int_equal(record.payload.n, 0);
        assert_true(batch_reader_next(reader, &record));
        assert_int_equal(record.seq, 43);
        assert_int_equal(record.kind, 65535);
        assert_true(slice_equal(record.payload, SLICE("\0\xff")));
        assert_false(batch_reader_next(reader, &record));
    }
}

static void wrong_claims_are_refused(void **state)
{
    (void)state;
    uint64_t hash;
    struct slice body = three_records(&hash);
    const struct {
        const char *name;
        uint64_t first_seq;
        uint32_t count;
        uint64_t hash;
        int rc;
    } cases[] = {
        {"no records", 1, 0, hash, ERR_INVALID},     {"one less", 1, 2, hash, ERR_INVALID},
        {"one more", 1, 4, hash, ERR_INVALID},       {"far more", 1, BATCH_RECORDS + 1, hash, ERR_LIMIT},
        {"seq 0", 0, 3, hash, ERR_INVALID},          {"seq overflows", UINT64_MAX - 2, 3, hash, ERR_INVALID},
        {"other hash", 1, 3, hash ^ 1, ERR_CORRUPT}, {"the truth", UINT64_MAX - 3, 3, hash, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct batch_record record;
        int rc = batch_reader_open(reader, body, cases[i].first_seq, cases[i].count, cases[i].hash, NULL);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", cases[i].name, err_name(rc));
        assert_int_equal(batch_reader_next(reader, &record), rc == 0);
    }
}

/* A flip that changes nothing but the frame's own header (a reserved window bit) may pass: then the records
 * are the same. */
static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    uint64_t hash;
    struct slice body = three_records(&hash);
    char *copy = malloc(body.n + 1);
    for (size_t bit = 0; bit < body.n * 8; bit++) {
        memcpy(copy, body.p, body.n);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        if (batch_reader_open(reader, (struct slice){copy, body.n}, 1, 3, hash, NULL) != 0)
            continue;
        struct batch_record record;
        assert_true(batch_reader_next(reader, &record));
        assert_true(slice_equal(record.payload, SLICE("request=smtpd_access_policy\n\n")));
    }
    memcpy(copy, body.p, body.n);
    copy[body.n] = 0;
    for (size_t n = 0; n < body.n; n++)
        assert_int_not_equal(batch_reader_open(reader, (struct slice){copy, n}, 1, 3, hash, NULL), 0);
    assert_int_equal(batch_reader_open(reader, (struct slice){copy, body.n + 1}, 1, 3, hash, NULL),
                     ERR_INVALID);
    free(copy);
}

/* Compresses raw bytes as one frame. */
static struct slice frame_of(const void *raw, size_t n, bool state_size)
{
    static char out[2 * BATCH_ZSTD_BYTES];
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, state_size)));
    size_t size = ZSTD_compress2(zstd, out, sizeof out, raw, n);
    assert_false(ZSTD_isError(size));
    ZSTD_freeCCtx(zstd);
    return (struct slice){out, size};
}

static void malformed_records_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t length;
        uint16_t zero;
        size_t bytes;
        int rc;
    } cases[] = {
        {"well formed", 4, 0, 20, 0},
        {"zero is not zero", 4, 1, 20, ERR_INVALID},
        {"length beyond the end", 5, 0, 20, ERR_INVALID},
        {"huge length", UINT32_MAX, 0, 20, ERR_INVALID},
        {"length before the end", 3, 0, 20, ERR_INVALID},
        {"cut head", 0, 0, 15, ERR_INVALID},
        {"nothing", 0, 0, 0, ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf raw;
        buf_init(&raw, 64);
        struct bytes_writer w = {.out = &raw};
        bytes_put_u32(&w, cases[i].length);
        bytes_put_u16(&w, 1);
        bytes_put_u16(&w, cases[i].zero);
        bytes_put_i64(&w, 5);
        bytes_put(&w, "abcd", 4);
        assert_int_equal(w.rc, 0);
        struct slice body = frame_of(raw.p, cases[i].bytes, true);
        int rc = batch_reader_open(reader, body, 1, 1, XXH3_64bits(raw.p, cases[i].bytes), NULL);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", cases[i].name, err_name(rc));
        buf_fini(&raw);
    }
}

static void a_bomb_costs_an_error_and_no_memory(void **state)
{
    (void)state;
    size_t n = 512U * 1024 * 1024;
    char *zeros = calloc(n, 1); /* untouched pages */
    struct slice bomb = frame_of(zeros, n, true);
    assert_true(bomb.n < 64 * 1024);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct err err;
    assert_int_equal(batch_reader_open(reader, bomb, 1, 1, 0, &err), ERR_LIMIT);
    assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before);

    assert_int_equal(batch_reader_open(reader, frame_of(zeros, n, false), 1, 1, 0, NULL), ERR_INVALID);
    assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before);
    free(zeros);
}

/* A frame that claims 20 bytes and yields 4 MiB and more: the content size field is rewritten. */
static void a_frame_that_lies_about_its_size_is_refused(void **state)
{
    (void)state;
    size_t n = 8U * 1024 * 1024;
    char *zeros = calloc(n, 1);
    struct slice body = frame_of(zeros, n, true);
    char *lie = malloc(body.n);
    memcpy(lie, body.p, body.n);
    assert_int_equal(ZSTD_getFrameContentSize(lie, body.n), n);
    uint32_t claim = 1024 * 1024;
    size_t at = 0;
    for (size_t i = 4; i < 14 && at == 0; i++) { /* find the field instead of knowing the header's form */
        uint32_t value;
        memcpy(&value, lie + i, sizeof value);
        if (value == n)
            at = i;
    }
    assert_int_not_equal(at, 0);
    memcpy(lie + at, &claim, sizeof claim);
    assert_int_equal(ZSTD_getFrameContentSize(lie, body.n), claim);
    assert_int_equal(batch_reader_open(reader, (struct slice){lie, body.n}, 1, 1, 0, NULL), ERR_INVALID);
    free(lie);
    free(zeros);
}

static void the_body_at_its_bound_is_read_and_one_byte_more_is_not(void **state)
{
    (void)state;
    size_t payload = BATCH_BODY_BYTES - 16;
    char *raw = calloc(BATCH_BODY_BYTES + 1, 1);
    for (int more = 0; more < 2; more++) {
        uint32_t length = (uint32_t)payload + (uint32_t)more;
        memcpy(raw, &length, sizeof length);
        size_t n = 16 + length;
        int rc = batch_reader_open(reader, frame_of(raw, n, true), 1, 1, XXH3_64bits(raw, n), NULL);
        assert_int_equal(rc, more == 0 ? 0 : ERR_LIMIT);
    }
    free(raw);
}

static void a_full_writer_of_noise_still_fits(void **state)
{
    (void)state;
    char noise[4096];
    uint64_t random = 88172645463325252U, hash;
    int rc = 0;
    while (rc == 0) {
        for (size_t i = 0; i < sizeof noise; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            noise[i] = (char)random;
        }
        rc = batch_writer_add(writer, 1, 1, (struct slice){noise, sizeof noise});
    }
    assert_int_equal(rc, ERR_LIMIT);
    uint32_t count = batch_writer_count(writer);
    assert_true(count > 200);
    struct slice body;
    assert_int_equal(batch_writer_finish(writer, &body, &hash), 0);
    assert_true(body.n > 1000 * 1000 && body.n <= BATCH_ZSTD_BYTES);
    assert_int_equal(batch_reader_open(reader, body, 1, count, hash, NULL), 0);
}

static void the_writer_takes_so_many_records_and_no_more(void **state)
{
    (void)state;
    struct slice body;
    uint64_t hash;
    assert_int_equal(batch_writer_finish(writer, &body, &hash), ERR_INVALID);
    for (int i = 0; i < BATCH_RECORDS; i++)
        assert_int_equal(batch_writer_add(writer, 1, i, SLICE("x")), 0);
    assert_int_equal(batch_writer_add(writer, 1, 0, SLICE("x")), ERR_LIMIT);
    assert_int_equal(batch_writer_count(writer), BATCH_RECORDS);
    batch_writer_clear(writer);
    char *large = calloc(2, 1024 * 1024);
    assert_int_equal(batch_writer_add(writer, 1, 0, (struct slice){large, 2 * 1024 * 1024}), ERR_LIMIT);
    assert_int_equal(batch_writer_count(writer), 0);
    free(large);
}

static void a_commit_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct commit commit = {.tenant = 7,
                            .edge = SLICE("mx-1.example_a"),
                            .epoch = {{1, 2, 3}},
                            .first_seq = 1,
                            .count = 3,
                            .hash = 0x1122334455667788,
                            .hub_ts = 1234567,
                            .clock_offset_us = -2500000,
                            .peer = {{0x20, 0x01}},
                            .body = SLICE("body")};
    struct buf out;
    buf_init(&out, 1024);
    assert_int_equal(commit_encode(&commit, &out), 0);
    struct commit back;
    assert_int_equal(commit_decode(buf_slice(&out), &back), 0);
    assert_int_equal(back.tenant, 7);
    assert_true(slice_equal(back.edge, commit.edge));
    assert_memory_equal(back.epoch.b, commit.epoch.b, sizeof back.epoch.b);
    assert_int_equal(back.first_seq, 1);
    assert_int_equal(back.count, 3);
    assert_int_equal(back.hash, commit.hash);
    assert_int_equal(back.hub_ts, 1234567);
    assert_int_equal(back.clock_offset_us, -2500000);
    assert_int_equal(ip_compare(&back.peer, &commit.peer), 0);
    assert_true(slice_equal(back.body, SLICE("body")));
    for (size_t n = 0; n <= out.n - 4; n++)
        assert_int_equal(commit_decode((struct slice){out.p, n}, &back), ERR_CORRUPT);
    assert_false(back.erased);
    out.p[0] = COMMIT_VERSION_ERASED;
    assert_int_equal(commit_decode(buf_slice(&out), &back), 0);
    assert_true(back.erased);
    out.p[0] = COMMIT_VERSION_ERASED + 1;
    assert_int_equal(commit_decode(buf_slice(&out), &back), ERR_VERSION);
    buf_fini(&out);
}

static void edge_ids_are_checked(void **state)
{
    (void)state;
    char longest[BATCH_EDGE_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(batch_edge_valid(SLICE("mx-1.example_a")));
    assert_true(batch_edge_valid((struct slice){longest, BATCH_EDGE_BYTES}));
    assert_false(batch_edge_valid((struct slice){longest, BATCH_EDGE_BYTES + 1}));
    assert_false(batch_edge_valid(SLICE("")));
    assert_false(batch_edge_valid(SLICE("a b")));
    assert_false(batch_edge_valid(SLICE("a/../b")));
    assert_false(batch_edge_valid(SLICE("a\0b")));
    struct commit commit = {.edge = SLICE("a\nb"), .body = SLICE("x")};
    struct buf out;
    buf_init(&out, 1024);
    assert_int_equal(commit_encode(&commit, &out), ERR_INVALID);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_claims_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_and_every_cut_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_records_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bomb_costs_an_error_and_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frame_that_lies_about_its_size_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_body_at_its_bound_is_read_and_one_byte_more_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_writer_of_noise_still_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(the_writer_takes_so_many_records_and_no_more, setup, teardown),
        cmocka_unit_test(a_commit_is_read_as_it_was_written),
        cmocka_unit_test(edge_ids_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
