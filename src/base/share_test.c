/* SPDX-License-Identifier: Apache-2.0
 *
 * share: nobody has more than half, and what is given back can be taken again.
 */
#include "base/share.h"

#include "base/test.h"

static void nobody_has_more_than_half(void **state)
{
    (void)state;
    static const struct {
        unsigned places, half;
    } cases[] = {{1, 1}, {2, 1}, {3, 1}, {4, 2}, {16, 8}, {1000, 500}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct share *share = NULL;
        assert_int_equal(share_create(&share, cases[i].places, NULL), 0);
        for (unsigned n = 0; n < cases[i].half; n++)
            assert_true(share_take(share, 7));
        assert_false(share_take(share, 7));
        assert_int_equal(share_take(share, 0), cases[i].places > 1); /* another's */
        share_give(share, 7);
        assert_true(share_take(share, 7));
        assert_false(share_take(share, 7));
        share_destroy(&share);
        assert_null(share);
    }
}

static void there_are_no_more_than_all(void **state)
{
    (void)state;
    struct share *share = NULL;
    assert_int_equal(share_create(&share, 3, NULL), 0);
    for (uint32_t tenant = 1; tenant <= 3; tenant++)
        assert_true(share_take(share, tenant));
    assert_false(share_take(share, 4));
    share_give(share, 2);
    assert_true(share_take(share, 4));
    share_destroy(&share);
    share_destroy(&share);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_has_more_than_half),
        cmocka_unit_test(there_are_no_more_than_all),
    };
    return cmocka_run_group_tests_name("base/share", tests, NULL, NULL);
}
