/* SPDX-License-Identifier: Apache-2.0
 *
 * job_test: the control data of long work: jobs, tombstones, retention.
 */
#include "base/clock.h"
#include "base/test.h"
#include "job.h"
#include "retention.h"
#include "tombstone.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/job-test-XXXXXX", path[64];
static struct account *a;

static int set_up(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char name[80];
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
    return account_open(&a, path, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    account_close(&a);
    return 0;
}

struct text {
    char text[512];
};

static int describe(void *arg, const struct account_job *job)
{
    struct text *out = arg;
    size_t n = strlen(out->text);
    (void)snprintf(out->text + n, sizeof out->text - n, "%llu %u %s %s %s %llu/%llu %s%s%s;",
                   (unsigned long long)job->id, job->tenant, job->kind, job->arguments,
                   account_job_state(job->state), (unsigned long long)job->done, (unsigned long long)job->all,
                   job->resume, job->result, job->cancel ? " cancel" : "");
    return 0;
}

static uint64_t add(uint32_t tenant, const char *kind)
{
    uint64_t id = 0;
    struct account_job job = {.tenant = tenant, .kind = kind, .arguments = "{}", .who = "me"};
    assert_int_equal(account_job_add(a, &job, &id, NULL), 0);
    return id;
}

static void expect_next(const char *expected)
{
    struct text text = {""};
    int rc = account_job_next(a, describe, &text, NULL);
    assert_int_equal(rc, expected[0] == '\0' ? ERR_NOT_FOUND : 0);
    assert_string_equal(text.text, expected);
}

static void jobs_are_taken_in_order_and_outlive_the_hub(void **state)
{
    (void)state;
    struct text text = {""};
    bool pending;
    expect_next("");
    assert_int_equal(add(0, "order"), 1);
    assert_int_equal(add(7, "erase"), 2);
    expect_next("1 0 order {} waiting 0/0 ;");
    assert_int_equal(account_job_start(a, 1, NULL), 0);
    assert_int_equal(account_job_progress(a, 1, 3, 10, "[3]", NULL), 0);
    assert_int_equal(account_job_progress(a, 1, 4, 10, NULL, NULL), 0);
    account_close(&a);
    assert_int_equal(account_open(&a, path, NULL), 0);
    expect_next("1 0 order {} running 4/10 [3];"); /* before those that wait */
    assert_int_equal(account_job_end(a, 1, JOB_DONE, "{\"parts\":1}", NULL), 0);
    expect_next("2 7 erase {} waiting 0/0 ;");
    assert_int_equal(account_job_pending(a, "erase", &pending, NULL), 0);
    assert_true(pending);
    assert_int_equal(account_job_pending(a, "order", &pending, NULL), 0);
    assert_false(pending);
    assert_int_equal(account_job_list(a, 0, 0, 10, describe, &text, NULL), 0);
    assert_string_equal(text.text, "2 7 erase {} waiting 0/0 ;1 0 order {} done 4/10 {\"parts\":1};");
    text.text[0] = '\0';
    assert_int_equal(account_job_list(a, 0, 2, 10, describe, &text, NULL), 0);
    assert_string_equal(text.text, "1 0 order {} done 4/10 {\"parts\":1};");
}

static void cancelling(void **state)
{
    (void)state;
    enum job_state now;
    uint64_t waiting = add(7, "erase"), running = add(7, "erase");
    assert_int_equal(account_job_cancel(a, 8, waiting, &now, NULL), ERR_NOT_FOUND); /* another's */
    assert_int_equal(account_job_cancel(a, 7, waiting, &now, NULL), 0);
    assert_int_equal(now, JOB_CANCELLED);
    assert_int_equal(account_job_cancel(a, 7, waiting, &now, NULL), ERR_CONFLICT);
    assert_int_equal(account_job_start(a, running, NULL), 0);
    assert_int_equal(account_job_cancel(a, 0, running, &now, NULL), 0);
    assert_int_equal(now, JOB_RUNNING);
    expect_next("2 7 erase {} running 0/0  cancel;");
    assert_int_equal(account_job_start(a, waiting, NULL), 0); /* what has ended stays so */
    expect_next("2 7 erase {} running 0/0  cancel;");
}

static void a_failure_has_a_code_and_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *result, *why;
        int code;
    } cases[] = {
        {"full\nno room", "no room", ERR_FULL},
        {"full\ntwo\nlines", "two\nlines", ERR_FULL},
        {"as releases wrote it that noted no code", "as releases wrote it that noted no code", 0},
        {"with two\nlines", "with two\nlines", 0},
        {"full", "full", 0},
        {"\nnothing", "\nnothing", 0},
        {"", "", 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct account_job job = {.state = JOB_FAILED, .result = cases[i].result};
        const char *why;
        assert_int_equal(account_job_failure(&job, &why), cases[i].code);
        assert_string_equal(why, cases[i].why);
    }
    for (int code = ERR_FIRST_ + 1; code < ERR_LAST_; code++)
        assert_int_equal(err_find(err_name(code), strlen(err_name(code))), code);
    assert_int_equal(err_find("full ", 5), 0);
    assert_int_equal(err_find("", 0), 0);
}

static void the_list_is_bounded(void **state)
{
    (void)state;
    struct account_job job = {.kind = "order", .arguments = "{}", .who = "me"};
    static char long_text[JOB_TEXT_BYTES + 1];
    struct err err = {0};
    memset(long_text, 'x', JOB_TEXT_BYTES);
    for (int i = 0; i < JOBS_WAITING; i++)
        (void)add(0, "order");
    assert_int_equal(account_job_add(a, &job, NULL, &err), ERR_LIMIT);
    assert_non_null(strstr(err.detail, "1000 jobs wait"));
    assert_int_equal(account_job_end(a, 1, JOB_DONE, "{}", NULL), 0);
    job.arguments = long_text;
    assert_int_equal(account_job_add(a, &job, NULL, NULL), ERR_LIMIT);
    job.arguments = "{}";
    job.kind = "a b";
    assert_int_equal(account_job_add(a, &job, NULL, NULL), ERR_INVALID);
    job.kind = "order";
    assert_int_equal(account_job_add(a, &job, NULL, NULL), 0);
}

static int describe_tombstone(void *arg, const struct account_tombstone *t)
{
    struct text *out = arg;
    size_t n = strlen(out->text);
    (void)snprintf(out->text + n, sizeof out->text - n, "%llu %u %s %lld %s;", (unsigned long long)t->id,
                   t->tenant, t->address, (long long)t->before_us, t->who);
    return 0;
}

static int put_tombstone(uint32_t tenant, const char *address, int64_t before_us, uint64_t *id)
{
    struct account_tombstone t = {.tenant = tenant, .address = address, .before_us = before_us, .who = "me"};
    return account_tombstone_add(a, &t, id, NULL);
}

static void tombstones_outlive_their_tenant(void **state)
{
    (void)state;
    uint32_t tenant;
    uint64_t id;
    struct text text = {""};
    assert_int_equal(account_tenant_add(a, "acme", &tenant, NULL), 0);
    assert_int_equal(put_tombstone(tenant, "Bob@Example.COM", 5, &id), 0);
    assert_int_equal(put_tombstone(tenant, "", 6, &id), 0);
    assert_int_equal(put_tombstone(9, "bob@example.com", 7, &id), 0);
    assert_int_equal(account_tenant_remove(a, tenant, NULL), 0);
    assert_int_equal(put_tombstone(tenant, "bob@example.com", 9, &id), 0); /* moves on */
    assert_int_equal(id, 1);
    assert_int_equal(put_tombstone(tenant, "bob@example.com", 3, &id), 0); /* never back */
    assert_int_equal(account_tombstone_list(a, 0, describe_tombstone, &text, NULL), 0);
    assert_string_equal(text.text, "2 1  6 me;1 1 bob@example.com 9 me;3 9 bob@example.com 7 me;");
    assert_int_equal(put_tombstone(1, "a\nb", 5, &id), ERR_INVALID);
    assert_int_equal(account_tombstone_remove(a, 9, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(account_tombstone_remove(a, 1, 1, NULL), 0);
    assert_int_equal(account_tombstone_get(a, 1, describe_tombstone, &text, NULL), ERR_NOT_FOUND);
}

static int describe_retention(void *arg, const struct account_retention *r)
{
    struct text *out = arg;
    size_t n = strlen(out->text);
    (void)snprintf(out->text + n, sizeof out->text - n, "%u %s %lld;", r->tenant,
                   account_retention_kind(r->kind), (long long)(r->keep_us / 86400 / US_PER_SECOND));
    return 0;
}

static void retention_is_a_tenants(void **state)
{
    (void)state;
    const int64_t day_us = 86400 * US_PER_SECOND;
    uint32_t tenant;
    uint64_t removed = 0;
    struct text text = {""};
    assert_int_equal(account_tenant_add(a, "acme", &tenant, NULL), 0);
    struct account_retention r = {tenant, RETENTION_EVENTS, 30 * day_us};
    assert_int_equal(account_retention_set(a, &r, NULL), 0);
    r.keep_us = 40 * day_us;
    assert_int_equal(account_retention_set(a, &r, NULL), 0);
    r.kind = RETENTION_AUDIT;
    r.keep_us = 0;
    assert_int_equal(account_retention_set(a, &r, NULL), 0);
    r.keep_us = day_us - 1;
    assert_int_equal(account_retention_set(a, &r, NULL), ERR_INVALID);
    r.keep_us = day_us;
    r.tenant = 99;
    assert_int_equal(account_retention_set(a, &r, NULL), ERR_NOT_FOUND);
    assert_int_equal(account_retention_list(a, 0, describe_retention, &text, NULL), 0);
    assert_string_equal(text.text, "1 audit 0;1 events 40;");
    assert_int_equal(account_audit(a, tenant, "me", "x", "", NULL), 0);
    assert_int_equal(account_audit(a, 0, "me", "y", "", NULL), 0);
    assert_int_equal(account_audit_expire(a, 0, INT64_MAX, &removed, NULL), 0);
    assert_int_equal(removed, 1); /* the tenant has a rule of its own */
    assert_int_equal(account_audit_expire(a, tenant, INT64_MAX, &removed, NULL), 0);
    assert_int_equal(removed, 2);
    assert_int_equal(account_retention_unset(a, tenant, RETENTION_EVENTS, NULL), 0);
    assert_int_equal(account_retention_unset(a, tenant, RETENTION_EVENTS, NULL), ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_are_taken_in_order_and_outlive_the_hub, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelling, set_up, tear_down),
        cmocka_unit_test(a_failure_has_a_code_and_a_reason),
        cmocka_unit_test_setup_teardown(the_list_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tombstones_outlive_their_tenant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(retention_is_a_tenants, set_up, tear_down),
    };
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/account", dir);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed + (rmdir(dir) != 0);
}
