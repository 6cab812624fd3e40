/* SPDX-License-Identifier: Apache-2.0
 *
 * quota_test: a minute's worth at once, then as it fills; each caller his own.
 */
#include "hub/quota.h"

#include "base/test.h"

#define S INT64_C(1000000)

static unsigned take(struct quota *quota, uint64_t who, int64_t now_us)
{
    unsigned wait_s = 99;
    struct buf fields = {.limit = 1024};
    assert_int_equal(quota_take(quota, who, now_us, &wait_s, &fields), 0);
    buf_fini(&fields);
    return wait_s;
}

static void a_bucket_empties_and_fills(void **state)
{
    (void)state;
    struct quota *quota = NULL;
    unsigned wait_s;
    struct buf fields = {.limit = 1024};
    assert_int_equal(quota_create(&quota, 6, NULL), 0);
    assert_int_equal(quota_take(quota, 1, 1000 * S, &wait_s, &fields), 0);
    assert_true(slice_equal(buf_slice(&fields), SLICE("RateLimit-Policy: \"requests\";q=6;w=60\r\n"
                                                      "RateLimit: \"requests\";r=5;t=10\r\n")));
    buf_fini(&fields);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(quota, 1, 1000 * S), 0);
    assert_int_equal(take(quota, 1, 1000 * S), 10);
    assert_int_equal(take(quota, 2, 1000 * S), 0); /* another's */
    assert_int_equal(take(quota, 1, 1009 * S), 1);
    assert_int_equal(take(quota, 1, 1010 * S), 0);
    assert_int_equal(take(quota, 1, 1010 * S), 10);
    for (int i = 0; i < 6; i++)
        assert_int_equal(take(quota, 1, 2000 * S), 0); /* never more than a minute's */
    assert_int_equal(take(quota, 1, 2000 * S), 10);
    quota_destroy(&quota);
}

static void many_callers_are_bounded_and_none_is_refused_for_another(void **state)
{
    (void)state;
    struct quota *quota = NULL;
    assert_int_equal(quota_create(&quota, 1, NULL), 0);
    for (uint64_t who = 1; who < 5 * QUOTA_PLACES; who++)
        assert_int_equal(take(quota, who, 1000 * S), 0);
    quota_destroy(&quota);
}

static void there_may_be_no_limit(void **state)
{
    (void)state;
    struct quota *quota = NULL;
    assert_int_equal(quota_create(&quota, 0, NULL), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(take(quota, 1, 1000 * S), 0);
    quota_destroy(&quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_empties_and_fills),
        cmocka_unit_test(many_callers_are_bounded_and_none_is_refused_for_another),
        cmocka_unit_test(there_may_be_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
