/* SPDX-License-Identifier: Apache-2.0
 *
 * pool: who may run, of one tenant and of all, with and without a backlog.
 */
#include "store/duckdb/pool.h"

#include "base/nice.h"
#include "base/test.h"
#include "store/duckdb/run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHORT_US (10 * 1000)
#define LONG_US  (60 * US_PER_SECOND) /* for what comes at once */

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

struct patient {
    struct world *w;
    uint32_t tenant;
    atomic_bool done;
    int rc;
};

static void *take_patiently(void *arg)
{
    struct patient *patient = arg;
    struct pool_slot *slot;
    patient->rc = pool_take(&patient->w->pool, patient->tenant, 600 * US_PER_SECOND, NULL, &slot, NULL);
    atomic_store(&patient->done, true);
    if (patient->rc == 0)
        pool_give(&patient->w->pool, slot);
    return NULL;
}

/* A checkpoint may take longer than a question waits for others; it waits for that longer. */
static void a_question_waits_while_the_store_is_busy_with_itself(void **state)
{
    struct world *w = *state;
    struct patient patient = {.w = w, .tenant = 7};
    pthread_t thread;
    pool_drain(&w->pool);
    assert_int_equal(pthread_create(&thread, NULL, take_patiently, &patient), 0);
    (void)usleep(POOL_WAIT_US + US_PER_SECOND / 2);
    bool gave_up = atomic_load(&patient.done);
    pool_resume(&w->pool);
    (void)pthread_join(thread, NULL);
    assert_false(gave_up);
    assert_int_equal(patient.rc, 0);
}

static size_t count_waiting(struct pool *pool)
{
    size_t count = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (const struct pool_waiter *waiter = pool->waiters; waiter != NULL; waiter = waiter->next)
        count++;
    (void)pthread_mutex_unlock(&pool->mutex);
    return count;
}

/* Whoever waits holds a thread: while nothing runs no more wait than could run, whosever they are. */
static void few_wait_while_the_store_is_busy_with_itself(void **state)
{
    struct world *w = *state;
    struct patient patients[4] = {{.w = w}, {.w = w}, {.w = w}, {.w = w}};
    pthread_t threads[4];
    struct pool_slot *none;
    pool_drain(&w->pool);
    for (size_t i = 0; i < 4; i++) {
        patients[i].tenant = i < 1 ? 7 : 0;
        assert_int_equal(pthread_create(&threads[i], NULL, take_patiently, &patients[i]), 0);
        for (int64_t until_us = clock_monotonic_us() + LONG_US; count_waiting(&w->pool) < i + 1;
             (void)usleep(1000))
            assert_true(clock_monotonic_us() < until_us);
    }
    assert_int_equal(pool_take(&w->pool, 8, LONG_US, NULL, &none, NULL), ERR_BUSY);
    bool any = false;
    for (size_t i = 0; i < 4; i++)
        any = any || atomic_load(&patients[i].done);
    pool_resume(&w->pool);
    for (size_t i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    assert_false(any); /* they were there first, and wait on */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(patients[i].rc, 0);
}

static void what_fails_says_why(void **state)
{
    struct world *w = *state;
    struct statement statement;
    struct pool_slot *slot;
    struct err err = {0};
    assert_int_equal(pool_take(&w->pool, 7, LONG_US, NULL, &slot, NULL), 0);
    statement_init(&statement);
    assert_int_equal(buf_addf(&statement.sql, "SELECT error('its own ' || i) FROM range(9, 10) t(i)"), 0);
    assert_int_equal(statement_end(&statement), 0);
    assert_int_equal(run_alone(slot->connection, &statement, &err), ERR_ENGINE);
    assert_non_null(strstr(err.detail, "its own 9"));
    statement_fini(&statement);
    pool_give(&w->pool, slot);
}

static int nice_of(const char *task)
{
    char path[300], text[1024] = "";
    int nice = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/stat", task);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    char *behind = fgets(text, sizeof text, file) != NULL ? strrchr(text, ')') : NULL;
    (void)fclose(file);
    /* proc(5): field 19; ')' ends the second */
    if (behind != NULL)
        (void)sscanf(behind, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d", &nice);
    return nice;
}

/* Also when it is the writer who needs what they bring. */
static void threads_of_duckdb_give_way(void **state)
{
    struct world *w = *state;
    int lower = 0;
    assert_int_equal(instance_unfold(&w->instance, NULL), 0);
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        lower += entry->d_name[0] != '.' && nice_of(entry->d_name) >= NICE_BACKGROUND;
    (void)closedir(tasks);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) /* else there are none */
        assert_true(lower > 0);
}

struct keeper {
    struct pool *pool;
    void (*keep_out)(struct pool *pool);
    atomic_bool done;
};

static void *keep_out(void *arg)
{
    struct keeper *keeper = arg;
    keeper->keep_out(keeper->pool);
    atomic_store(&keeper->done, true);
    return NULL;
}

static bool is_done(struct keeper *keeper)
{
    return atomic_load(&keeper->done);
}

static void wait_for_keeper(struct keeper *keeper)
{
    for (int64_t until_us = clock_monotonic_us() + LONG_US; !is_done(keeper); (void)usleep(1000))
        assert_true(clock_monotonic_us() < until_us);
}

/* A checkpoint of a part doesn't wait for it. */
static void what_is_aside_goes_on_when_the_pool_is_drained(void **state)
{
    struct world *w = *state;
    struct keeper keeper = {.pool = &w->pool, .keep_out = pool_drain};
    struct pool_slot *slot, *none;
    duckdb_result result;
    pthread_t thread;
    assert_int_equal(pool_take(&w->pool, 0, LONG_US, NULL, &slot, NULL), 0);
    duckdb_connection connection = slot->connection;
    pool_set_aside(&w->pool, slot);
    assert_int_equal(pthread_create(&thread, NULL, keep_out, &keeper), 0);
    wait_for_keeper(&keeper);
    (void)pthread_join(thread, NULL);
    assert_int_equal(take(w, 7, &none), ERR_BUSY);
    assert_ptr_equal(slot->connection, connection);
    assert_int_equal(duckdb_query(connection, "SELECT 1", &result), DuckDBSuccess);
    duckdb_destroy_result(&result);
    assert_int_equal(pool_verdict(&w->pool, slot), 0);
    pool_give(&w->pool, slot);
    pool_resume(&w->pool);
    assert_int_equal(take(w, 7, &slot), 0); /* and whoever has it next is not */
    assert_false(slot->aside);
    pool_give(&w->pool, slot);
}

/* The files are opened again: that waits until it ended. */
static void what_is_aside_is_cancelled_when_the_pool_pauses(void **state)
{
    struct world *w = *state;
    struct keeper keeper = {.pool = &w->pool, .keep_out = pool_pause};
    struct pool_slot *slot;
    pthread_t thread;
    assert_int_equal(pool_take(&w->pool, 0, LONG_US, NULL, &slot, NULL), 0);
    pool_set_aside(&w->pool, slot);
    assert_int_equal(pthread_create(&thread, NULL, keep_out, &keeper), 0);
    for (int64_t until_us = clock_monotonic_us() + LONG_US / 2; pool_verdict(&w->pool, slot) != ERR_CANCELLED;
         (void)usleep(1000))
        assert_true(clock_monotonic_us() < until_us);
    assert_false(is_done(&keeper));
    assert_non_null(slot->connection);
    pool_give(&w->pool, slot);
    wait_for_keeper(&keeper);
    (void)pthread_join(thread, NULL);
    assert_null(slot->connection);
    pool_resume(&w->pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: the others lower this thread's priority, which new ones inherit */
        cmocka_unit_test_setup_teardown(threads_of_duckdb_give_way, open_world, close_world),
        cmocka_unit_test_setup_teardown(one_tenant_leaves_a_slot_to_others, open_world, close_world),
        cmocka_unit_test_setup_teardown(with_a_backlog_each_tenant_has_one, open_world, close_world),
        cmocka_unit_test_setup_teardown(a_question_waits_while_the_store_is_busy_with_itself, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(few_wait_while_the_store_is_busy_with_itself, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_fails_says_why, open_world, close_world),
        cmocka_unit_test_setup_teardown(what_is_aside_goes_on_when_the_pool_is_drained, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(what_is_aside_is_cancelled_when_the_pool_pauses, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
