/* SPDX-License-Identifier: Apache-2.0
 *
 * quarantine: what the loader can't read, or the store doesn't take, is kept as it came, and the rest is
 * stored.
 */
#include "base/test.h"
#include "hub/depot.h"

#include <stdio.h>
#include <stdlib.h>

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
        struct depot d;
        uint64_t poison = cases[i].events / cases[i].every;
        depot_open(&d, cases[i].engine);
        d.batch_rows = cases[i].rows;
        faulty_set(d.store, cases[i].mode);
        depot_send(&d, cases[i].events, 64, cases[i].every);
        depot_start(&d);
        depot_wait(&d, cases[i].events - poison, poison);
        depot_check_rows(&d, cases[i].every);
        assert_int_equal(depot_quarantined(&d), poison);
        depot_close(&d);
    }
}

static void a_refused_request_is_kept_as_it_came(void **state)
{
    (void)state;
    struct depot d;
    char path[700], bytes[2048];
    depot_open(&d, "null");
    faulty_set(d.store, FAULT_POISON_APPEND);
    depot_send(&d, 3, 3, 2);
    depot_start(&d);
    depot_wait(&d, 2, 1);
    (void)snprintf(path, sizeof path, "%s/%u-mx1-01000000000000000000000000000000-2.request",
                   d.path[DEPOT_QUARANTINE], d.tenant);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
    (void)fclose(file);
    assert_non_null(strstr(bytes, "reason: poison at append\n"));
    assert_non_null(strstr(bytes, "\nseq: 2\n"));
    assert_non_null(strstr(
        bytes, "\n\nrequest=smtpd_access_policy\nprotocol_state=RCPT\ninstance=i0\nhelo_name=poison\n"));
    depot_close(&d);
}

static void what_cannot_be_read_is_kept_and_passed(void **state)
{
    (void)state;
    struct depot d;
    struct buf buf;
    depot_open(&d, "null");
    depot_send(&d, 10, 10, 0);
    depot_put(&d, 99, SLICE("from the future"));
    depot_put(&d, COMMIT_BATCH, SLICE("no commit"));
    struct commit commit = {.tenant = 1, .edge = SLICE("mx1"), .epoch = {{1}}, .first_seq = 5000, .count = 3};
    commit.body = SLICE("no zstd frame");
    buf_init(&buf, 1 << 20);
    assert_int_equal(commit_encode(&commit, &buf), 0);
    depot_put(&d, COMMIT_BATCH, buf_slice(&buf));
    buf_fini(&buf);
    depot_add(&d, "helo"); /* 11 */
    assert_int_equal(batch_writer_add(d.writer, 77, 1, SLICE("another kind")), 0);
    d.seq++; /* 12 */
    assert_int_equal(batch_writer_add(d.writer, RECORD_POLICY, 1, SLICE("sender=a\n\n")), 0);
    d.seq++; /* 13 */
    depot_send_batch(&d);
    depot_sync(&d);
    depot_start(&d);
    depot_wait(&d, 11, 0);
    depot_send(&d, 7, 7, 0);
    depot_wait(&d, 18, 0);
    assert_int_equal(depot_stats(&d).parse_errors, 5);
    assert_int_equal(depot_quarantined(&d), 5);
    size_t count;
    struct seen *seen = faulty_seen(d.store, &count);
    assert_int_equal(seen[10].seq, 11);
    assert_int_equal(seen[11].seq, 14);
    free(seen);
    struct store_cursor cursor; /* the last batch behind them is passed too */
    assert_int_equal(store_cursor(d.store, &cursor, NULL), 0);
    assert_int_equal(cursor.skip, 0);
    depot_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_rows_are_found_and_kept),
        cmocka_unit_test(a_refused_request_is_kept_as_it_came),
        cmocka_unit_test(what_cannot_be_read_is_kept_and_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
