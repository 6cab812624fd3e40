/* SPDX-License-Identifier: Apache-2.0
 *
 * spools: of a spool that nobody has open, what was acknowledged is nowhere afterwards, and what was not is
 * there as it came, unless its tenant is gone. tests/test_direct.py has those that are open.
 */
#include "hub/spools.h"

#include "base/test.h"
#include "store/fixture.h"
#include "wire/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct place {
    char *dir, policy[256], spool[300];
    struct account *account;
    uint32_t tenant;
};

static void open_place(struct place *p)
{
    char path[256];
    p->dir = fixture_directory();
    (void)snprintf(path, sizeof path, "%.200s/account.db", p->dir);
    (void)snprintf(p->policy, sizeof p->policy, "%.200s/policy", p->dir);
    assert_int_equal(account_open(&p->account, path, NULL), 0);
    assert_int_equal(account_tenant_add(p->account, "t", &p->tenant, NULL), 0);
}

static void close_place(struct place *p)
{
    account_close(&p->account);
    fixture_remove(p->dir);
}

/* As an inlet leaves it: three segments of two records, of which the first `acked` are retired. */
static void leave_spool(struct place *p, uint32_t tenant, uint64_t acked)
{
    char inlet[280];
    struct journal *journal;
    struct journal_reader *reader;
    struct journal_record record;
    (void)snprintf(inlet, sizeof inlet, "%.250s/%u-192.0.2.1", p->policy, tenant);
    (void)snprintf(p->spool, sizeof p->spool, "%.270s/spool", inlet);
    (void)mkdir(p->policy, 0700);
    assert_int_equal(mkdir(inlet, 0700), 0);
    struct journal_options options = {.dir = p->spool, .max_bytes = INLET_SPOOL_BYTES};
    assert_int_equal(journal_open(&journal, &options, NULL), 0);
    for (int i = 1; i <= 6; i++) {
        assert_int_equal(
            journal_append(journal, RECORD_POLICY, i, SLICE("sender=canary@a.example"), NULL, NULL), 0);
        if (i % 2 == 0)
            assert_int_equal(journal_rotate(journal, NULL), 0);
    }
    assert_int_equal(journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL), 0);
    while (acked-- > 0) {
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
        assert_int_equal(journal_retire(journal, record.next, NULL), 0);
    }
    journal_reader_close(&reader);
    journal_close(&journal);
}

/* Records that are there, and those of them that still say what they said. */
static void read_spool(const struct place *p, uint64_t *records, uint64_t *whole)
{
    struct journal_reader *reader;
    struct journal_record record;
    *records = *whole = 0;
    assert_int_equal(journal_reader_open(&reader, NULL, p->spool, (struct journal_pos){0, 0}, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0) {
        ++*records;
        *whole += slice_equal(record.payload, SLICE("sender=canary@a.example"));
    }
    assert_int_equal(journal_reader_skipped(reader), 0);
    journal_reader_close(&reader);
}

static void what_was_acknowledged_goes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool tenant_gone;
        uint64_t acked, records, whole, waiting;
    } cases[] = {
        {"nothing was", false, 0, 6, 6, 1},       {"whole segments", false, 2, 4, 4, 1},
        {"half a segment", false, 3, 4, 3, 1},    {"all", false, 6, 0, 0, 0},
        {"the tenant is gone", true, 3, 4, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct place p;
        struct err err = {0};
        atomic_bool cancelled = false;
        uint64_t records, whole, waiting;
        open_place(&p);
        leave_spool(&p, p.tenant + cases[i].tenant_gone, cases[i].acked);
        read_spool(&p, &records, &whole);
        assert_int_equal(records, 6);
        assert_int_equal(whole, 6);
        for (int again = 0; again < 2; again++) {
            if (spools_forget(p.policy, NULL, p.account, &cancelled, &waiting, &err) != 0)
                fail_msg("%s: %s", cases[i].name, err_detail(&err));
            read_spool(&p, &records, &whole);
            if (records != cases[i].records || whole != cases[i].whole || waiting != cases[i].waiting)
                fail_msg("%s: %lu records, %lu whole, %lu waiting", cases[i].name, (unsigned long)records,
                         (unsigned long)whole, (unsigned long)waiting);
        }
        close_place(&p);
    }
}

/* The records that stay are delivered from where it was. */
static void the_place_stays(void **state)
{
    (void)state;
    struct place p;
    struct journal *journal;
    struct journal_reader *reader;
    struct journal_record record;
    atomic_bool cancelled = false;
    uint64_t waiting;
    open_place(&p);
    leave_spool(&p, p.tenant, 3);
    assert_int_equal(spools_forget(p.policy, NULL, p.account, &cancelled, &waiting, NULL), 0);
    struct journal_options options = {.dir = p.spool, .max_bytes = INLET_SPOOL_BYTES};
    assert_int_equal(journal_open(&journal, &options, NULL), 0);
    assert_int_equal(journal_reader_open(&reader, journal, NULL, journal_retired(journal), NULL), 0);
    for (uint64_t seq = 4; seq <= 6; seq++) {
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
        assert_int_equal(record.seq, seq);
        assert_true(slice_equal(record.payload, SLICE("sender=canary@a.example")));
    }
    journal_reader_close(&reader);
    journal_close(&journal);
    close_place(&p);
}

static void it_may_be_put_off(void **state)
{
    (void)state;
    struct place p;
    struct journal *journal;
    atomic_bool cancelled = false;
    uint64_t waiting;
    open_place(&p);
    assert_int_equal(spools_forget(p.policy, NULL, p.account, &cancelled, &waiting, NULL),
                     0); /* none is there */
    leave_spool(&p, p.tenant, 3);
    struct journal_options options = {.dir = p.spool, .max_bytes = INLET_SPOOL_BYTES};
    assert_int_equal(journal_open(&journal, &options, NULL), 0); /* an inlet opens it */
    assert_int_equal(spools_forget(p.policy, NULL, p.account, &cancelled, &waiting, NULL), 0);
    assert_int_equal(waiting, 1);
    journal_close(&journal);
    atomic_store(&cancelled, true);
    assert_int_equal(spools_forget(p.policy, NULL, p.account, &cancelled, &waiting, NULL), ERR_CANCELLED);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_goes),
        cmocka_unit_test(the_place_stays),
        cmocka_unit_test(it_may_be_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
