/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: who may run, of one tenant and of all, with and without a backlog.
 */
#include "store/duckdb/pool.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHORT_US (10 * 1000)

struct world {
    char dir[64];
    struct instance instance;
    struct pool pool;
};

static int open_world(void **state)
{
    static struct world w;
    struct err err = {0};
    (void)strcpy(w.dir, "/tmp/ma-pool-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(instance_init(&w.instance, w.dir, "tmp", 64 << 20, 2, &err), 0);
    assert_int_equal(instance_open(&w.instance, &err), 0);
    assert_int_equal(pool_open(&w.pool, &w.instance, 4, 3, &err), 0);
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    char tmp[80];
    pool_close(&w->pool);
    instance_fini(&w->instance);
    (void)snprintf(tmp, sizeof tmp, "%s/tmp", w->dir);
    (void)rmdir(tmp);
    return rmdir(w->dir);
}

static int take(struct world *w, uint32_t tenant, struct pool_slot **slot)
{
    struct err err = {0};
    return pool_take(&w->pool, tenant, SHORT_US, NULL, slot, &err);
}

static void one_tenant_leaves_a_slot_to_others(void **state)
{
    struct world *w = *state;
    struct pool_slot *slots[4], *none;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(take(w, 7, &slots[i]), 0);
    assert_int_equal(take(w, 7, &none), ERR_BUSY);
    assert_int_equal(take(w, 8, &slots[3]), 0);
    assert_int_equal(take(w, 9, &none), ERR_BUSY); /* all four are taken */
    for (size_t i = 0; i < 4; i++)
        pool_give(&w->pool, slots[i]);
    assert_int_equal(pool_running(&w->pool), 0);
}

static void with_a_backlog_each_tenant_has_one(void **state)
{
    struct world *w = *state;
    struct pool_slot *slots[4], *none;
    pool_rush(&w->pool);
    assert_int_equal(take(w, 7, &slots[0]), 0);
    assert_int_equal(take(w, 7, &none), ERR_BUSY);
    assert_int_equal(take(w, 8, &slots[1]), 0);
    assert_int_equal(take(w, 0, &slots[2]), 0); /* the operator */
    assert_int_equal(take(w, 0, &slots[3]), 0);
    pool_give(&w->pool, slots[0]);
    assert_int_equal(take(w, 7, &slots[0]), 0);
    for (size_t i = 0; i < 4; i++)
        pool_give(&w->pool, slots[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_tenant_leaves_a_slot_to_others, open_world, close_world),
        cmocka_unit_test_setup_teardown(with_a_backlog_each_tenant_has_one, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
