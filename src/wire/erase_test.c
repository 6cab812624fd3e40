/* SPDX-License-Identifier: Apache-2.0
 *
 * erase_test: whatever is taken out of a commit, what is left reads as before, and the length is the same.
 */
#include "base/test.h"
#include "bytes.h"
#include "erase.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 300, MOST = 400, TEXT = 1024 };
static const char canary[] = "canary@example.com";

static uint64_t state_ = 7;
static uint64_t dice(uint64_t bound)
{
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_ % bound;
}

/* As Postfix writes requests: much alike, with some that is not; with the canary when asked for. */
static size_t make_request(uint64_t number, bool marked, char out[TEXT])
{
    return (size_t)snprintf(
        out, TEXT,
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=203.0.113.%"
        "lu\n"
        "client_name=mail%lu.sender.example\nhelo_name=mail.sender.example\nsender=user%lu@sender.example\n"
        "recipient=%s\nqueue_id=\ninstance=%lx.%lx.0\nsize=%lu\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\n",
        (unsigned long)dice(256), (unsigned long)dice(4), (unsigned long)dice(1000),
        marked ? canary : "someone.else@example.com", (unsigned long)number, (unsigned long)dice(UINT32_MAX),
        (unsigned long)dice(100000));
}

struct made {
    uint32_t count;
    bool marked[MOST];
    char text[MOST][TEXT];
    size_t bytes[MOST];
    struct buf commit;
};

static void make(struct made *m, uint32_t count, uint32_t odds, int level)
{
    struct batch_writer *writer;
    struct commit commit = {
        .tenant = 3, .edge = SLICE("mx1"), .epoch = {{5}}, .first_seq = 100, .hub_ts = 77};
    assert_int_equal(batch_writer_create(&writer, level), 0);
    m->count = commit.count = count;
    for (uint32_t i = 0; i < count; i++) {
        m->marked[i] = dice(100) < odds;
        m->bytes[i] = make_request(i, m->marked[i], m->text[i]);
        assert_int_equal(batch_writer_add(writer, RECORD_POLICY,
                                          1700000000000000 + (int64_t)(i * 1000 + dice(999)),
                                          (struct slice){m->text[i], m->bytes[i]}),
                         0);
    }
    assert_int_equal(batch_writer_finish(writer, &commit.body, &commit.hash), 0);
    buf_init(&m->commit, JOURNAL_RECORD_BYTES);
    assert_int_equal(commit_encode(&commit, &m->commit), 0);
    batch_writer_destroy(&writer);
}

static int has_canary(void *arg, const struct commit *commit, const struct batch_record *record)
{
    (void)arg;
    assert_int_equal(commit->tenant, 3);
    return memmem(record->payload.p, record->payload.n, canary, strlen(canary)) != NULL;
}

static void check(struct made *m, struct batch_reader *reader, uint64_t hash)
{
    struct commit commit;
    struct batch_record record;
    assert_int_equal(commit_decode(buf_slice(&m->commit), &commit), 0);
    assert_true(commit.erased);
    assert_int_equal(commit.hash, hash); /* the batch is known by it when it comes again */
    assert_int_equal(commit.hub_ts, 77);
    assert_int_equal(batch_reader_open_erased(reader, commit.body, commit.first_seq, commit.count, NULL), 0);
    for (uint32_t i = 0; i < m->count; i++) {
        assert_true(batch_reader_next(reader, &record));
        assert_int_equal(record.seq, 100 + i);
        assert_int_equal(record.kind, m->marked[i] ? RECORD_ERASED : RECORD_POLICY);
        assert_int_equal(record.payload.n, m->marked[i] ? 0 : m->bytes[i]);
        if (!m->marked[i])
            assert_memory_equal(record.payload.p, m->text[i], m->bytes[i]);
    }
    assert_false(batch_reader_next(reader, &record));
}

static void survivors_read_as_before(void **unused)
{
    (void)unused;
    static struct made m;
    struct batch_eraser *eraser;
    struct batch_reader *reader;
    struct batch_erased erased;
    struct commit commit;
    assert_int_equal(batch_eraser_create(&eraser), 0);
    assert_int_equal(batch_reader_create(&reader), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t marked = 0;
        make(&m, 1 + (uint32_t)dice(round % 10 == 0 ? MOST : 20), 1 + (uint32_t)dice(100), 1 + (int)dice(9));
        for (uint32_t i = 0; i < m.count; i++)
            marked += m.marked[i];
        assert_int_equal(commit_decode(buf_slice(&m.commit), &commit), 0);
        uint64_t hash = commit.hash;
        uint8_t *bytes = (uint8_t *)m.commit.p;
        assert_int_equal(batch_erase(eraser, bytes, m.commit.n, has_canary, NULL, &erased, NULL), 0);
        assert_int_equal(erased.records, marked);
        assert_int_equal(erased.lost, 0);
        if (marked > 0)
            check(&m, reader, hash);
        assert_int_equal(batch_erase(eraser, bytes, m.commit.n, has_canary, NULL, &erased, NULL), 0);
        assert_int_equal(erased.records, 0); /* once is enough */
        buf_fini(&m.commit);
    }
    batch_reader_destroy(&reader);
    batch_eraser_destroy(&eraser);
}

static int is_short(void *arg, const struct commit *commit, const struct batch_record *record)
{
    (void)arg, (void)commit;
    return record->payload.n < 4;
}

/* No level keeps what is left within the length of what was hardly there: then none of it stays, and that is
 * counted. */
static void what_does_not_fit_is_counted(void **unused)
{
    (void)unused;
    struct batch_eraser *eraser;
    struct batch_writer *writer;
    struct batch_erased erased;
    struct commit commit = {.tenant = 3, .edge = SLICE("mx1"), .epoch = {{5}}, .first_seq = 1, .count = 3};
    struct buf bytes;
    char noise[600];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)dice(256);
    assert_int_equal(batch_eraser_create(&eraser), 0);
    assert_int_equal(batch_writer_create(&writer, 19), 0);
    assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, (struct slice){noise, sizeof noise}), 0);
    assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, SLICE("")), 0);
    assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, (struct slice){noise, sizeof noise}), 0);
    assert_int_equal(batch_writer_finish(writer, &commit.body, &commit.hash), 0);
    buf_init(&bytes, JOURNAL_RECORD_BYTES);
    assert_int_equal(commit_encode(&commit, &bytes), 0);
    assert_int_equal(batch_erase(eraser, (uint8_t *)bytes.p, bytes.n, is_short, NULL, &erased, NULL), 0);
    assert_int_equal(erased.records, 1);
    assert_true(erased.lost == 0 || erased.lost == 2);
    assert_int_equal(commit_decode(buf_slice(&bytes), &commit), 0);
    assert_true(commit.erased);
    buf_fini(&bytes);
    batch_writer_destroy(&writer);
    batch_eraser_destroy(&eraser);
}

static void what_is_no_commit_stays(void **unused)
{
    (void)unused;
    static struct made m;
    struct batch_eraser *eraser;
    struct batch_erased erased;
    assert_int_equal(batch_eraser_create(&eraser), 0);
    make(&m, 10, 50, 3);
    for (size_t cut = 0; cut < m.commit.n; cut += 1 + dice(20)) {
        char *copy = malloc(cut + 1);
        memcpy(copy, m.commit.p, cut);
        assert_true(batch_erase(eraser, (uint8_t *)copy, cut, has_canary, NULL, &erased, NULL) != 0);
        assert_memory_equal(copy, m.commit.p, cut);
        free(copy);
    }
    buf_fini(&m.commit);
    batch_eraser_destroy(&eraser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survivors_read_as_before),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(what_is_no_commit_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
