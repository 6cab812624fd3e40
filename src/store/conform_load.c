/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_load: questions that take too long or too much memory, and many at once while rows are written.
 */
#include "store/place.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A question that takes long. */
static const char slow_question[] = "{\"measures\":[\"messages\",\"bytes\",\"clients\",\"requests\"],\"by\":["
                                    "\"recipient_domain\",\"stage\",\"sender\"],"
                                    "\"interval\":\"1h\",\"since\":\"96h\",\"limit\":100000}";
/* One that wants more memory than the store has. */
static const char large_question[] = "{\"measures\":[\"messages\",\"bytes\",\"clients\",\"requests\"],\"by\":"
                                     "[\"instance\",\"seq\",\"queue_id\"],\"interval\":\"1h\","
                                     "\"since\":\"96h\",\"limit\":100000}";

static void make_it_slow(struct place *place)
{
    struct fixture fixture;
    fixture_init(&fixture, 8, 40000);
    for (uint32_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < fixture.count; i++)
            fixture.events[i].seq += fixture.count;
        assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
    }
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
    fixture_fini(&fixture);
}

static int64_t time_question(struct place *place, struct query *query, int expected)
{
    struct answer answer = {.text.limit = 64 << 20};
    struct query_sink sink = {.row = place_take_row, .arg = &answer};
    struct err err = {0};
    int64_t begun = clock_monotonic_us();
    int rc = store_query(place->store, query, &sink, &err);
    if (rc != expected)
        fail_msg("%s, not %s: %s", err_name(rc), err_name(expected), err_detail(&err));
    buf_fini(&answer.text);
    return clock_monotonic_us() - begun;
}

/* Stopped means not run to its end: the best of ten stopped runs takes less than half of a whole one. */
static void a_question_that_takes_too_long_ends(void **state)
{
    struct place *place = *state;
    struct query *query;
    int64_t best_us = INT64_MAX;
    make_it_slow(place);
    assert_int_equal(query_parse(SLICE(slow_question), FIXTURE_START_US + FIXTURE_RANGE_US, &query, NULL), 0);
    query->scope = QUERY_SCOPE_ALL;
    query->timeout_us = 300 * US_PER_SECOND;
    int64_t whole_us = time_question(place, query, 0);
    for (int i = 0; i < 3; i++) { /* the first one reads and compiles for all */
        int64_t us = time_question(place, query, 0);
        whole_us = us < whole_us ? us : whole_us;
    }
    query->timeout_us = 1000;
    for (int i = 0; i < 10; i++) {
        int64_t us = time_question(place, query, ERR_TIMEOUT);
        best_us = us < best_us ? us : best_us;
    }
    print_message("whole %lld ms, stopped %lld ms\n", (long long)whole_us / 1000, (long long)best_us / 1000);
    assert_true(best_us < whole_us / 2);
    query->timeout_us = 300 * US_PER_SECOND; /* the connection serves the next one */
    (void)time_question(place, query, 0);
    query_destroy(&query);
}

enum { ASKERS = 6 };

struct asking {
    struct place *place;
    const char *json;
    atomic_int running, cancelled, answered, busy, memory, other;
    atomic_bool stop;
    atomic_bool wishes[ASKERS]; /* of each asker, to be cancelled */
};

static int hold_row(void *arg, const struct cell *cells, size_t count)
{
    (void)arg;
    (void)cells;
    (void)count;
    return 0;
}

static void *ask_again_and_again(void *arg)
{
    struct asking *asking = arg;
    struct query *query;
    struct query_sink sink = {.row = hold_row};
    if (query_parse(slice_of(asking->json), FIXTURE_START_US + FIXTURE_RANGE_US, &query, NULL) != 0)
        abort();
    query->scope = QUERY_SCOPE_ALL;
    query->timeout_us = 300 * US_PER_SECOND; /* a machine under load may be late */
    atomic_bool *wish = &asking->wishes[atomic_fetch_add(&asking->running, 1)];
    query->cancelled = wish;
    while (!atomic_load(&asking->stop)) {
        struct err err = {0};
        atomic_store(wish, false);
        int rc = store_query(asking->place->store, query, &sink, &err);
        if (rc != 0 && rc != ERR_CANCELLED && rc != ERR_BUSY && rc != ERR_LIMIT)
            print_error("error %d: %s\n", rc, err_detail(&err));
        atomic_fetch_add(rc == 0               ? &asking->answered
                         : rc == ERR_CANCELLED ? &asking->cancelled
                         : rc == ERR_BUSY      ? &asking->busy
                         : rc == ERR_LIMIT     ? &asking->memory
                                               : &asking->other,
                         1);
    }
    query_destroy(&query);
    return NULL;
}

/* ---- one tenant beside others ---------------------------------------------------------------- */

struct hog {
    struct place *place;
    uint32_t tenant;
    atomic_bool *stop;
    atomic_int answered, busy, other;
};

static void *ask_for_tenant(void *arg)
{
    struct hog *hog = arg;
    struct query *query;
    struct query_sink sink = {.row = hold_row};
    if (query_parse(SLICE("{\"measures\":[\"clients\",\"senders\",\"bytes\"],\"by\":[\"instance\"],\"since\":"
                          "\"96h\"}"),
                    FIXTURE_START_US + FIXTURE_RANGE_US, &query, NULL) != 0)
        abort();
    query->scope = QUERY_SCOPE_TENANT;
    query->tenant = hog->tenant;
    while (!atomic_load(hog->stop)) {
        int rc = store_query(hog->place->store, query, &sink, NULL);
        atomic_fetch_add(rc == 0 ? &hog->answered : rc == ERR_BUSY ? &hog->busy : &hog->other, 1);
        (void)usleep(rc == ERR_BUSY ? 1000 : 0);
    }
    query_destroy(&query);
    return NULL;
}

/* Two connections: of one tenant one question runs and one waits, however many ask; the other gets its turn.
 */
static void a_tenant_that_asks_all_the_time_leaves_room_for_others(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    atomic_bool stop = false;
    struct hog greedy = {.place = place, .tenant = 1, .stop = &stop};
    struct hog modest = {.place = place, .tenant = 2, .stop = &stop};
    pthread_t threads[ASKERS + 1];
    fixture_init(&fixture, 12, 20000);
    place_store(place, &fixture, 1);
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_for_tenant, &greedy), 0);
    assert_int_equal(pthread_create(&threads[ASKERS], NULL, ask_for_tenant, &modest), 0);
    while (atomic_load(&modest.answered) < 10 || atomic_load(&greedy.busy) < 10)
        (void)usleep(1000);
    atomic_store(&stop, true);
    for (size_t i = 0; i <= ASKERS; i++)
        (void)pthread_join(threads[i], NULL);
    print_message("greedy %d answered, %d refused; modest %d answered, %d refused\n", greedy.answered,
                  greedy.busy, modest.answered, modest.busy);
    assert_true(greedy.answered > 0);
    assert_int_equal(modest.busy + modest.other + greedy.other, 0);
    fixture_fini(&fixture);
}

static void begin_asking(struct asking *asking, pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_again_and_again, asking), 0);
}

static void cancel_all(struct asking *asking)
{
    for (size_t i = 0; i < ASKERS; i++)
        store_cancel(asking->place->store, &asking->wishes[i]);
}

static void end_asking(struct asking *asking, pthread_t *threads, size_t count)
{
    struct store_stats stats;
    atomic_store(&asking->stop, true);
    cancel_all(asking);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    store_get_stats(asking->place->store, &stats);
    assert_int_equal(stats.queries_running, 0);
    assert_int_equal(atomic_load(&asking->other), 0);
}

struct asker {
    struct place *place;
    atomic_bool wish;
    int rc;
};

static void *ask_once(void *arg)
{
    struct asker *asker = arg;
    struct query *query;
    struct query_sink sink = {.row = hold_row};
    if (query_parse(SLICE(slow_question), FIXTURE_START_US + FIXTURE_RANGE_US, &query, NULL) != 0)
        abort();
    query->scope = QUERY_SCOPE_ALL;
    query->timeout_us = 300 * US_PER_SECOND;
    query->cancelled = &asker->wish;
    asker->rc = store_query(asker->place->store, query, &sink, NULL);
    query_destroy(&query);
    return NULL;
}

static uint64_t running(struct place *place)
{
    struct store_stats stats;
    store_get_stats(place->store, &stats);
    return stats.queries_running;
}

/* Two ask at once, the first is cancelled: its result. The other is answered. */
static int cancel_one(struct place *place)
{
    struct asker one = {.place = place}, other = {.place = place};
    pthread_t threads[2];
    assert_int_equal(pthread_create(&threads[0], NULL, ask_once, &one), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, ask_once, &other), 0);
    int64_t until = clock_monotonic_us() + 2 * US_PER_SECOND;
    while (running(place) < 2 && clock_monotonic_us() < until)
        (void)sched_yield();
    store_cancel(place->store, &one.wish);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_int_equal(other.rc, 0);
    return one.rc;
}

static void one_question_is_cancelled_alone(void **state)
{
    struct place *place = *state;
    struct asker late = {.place = place, .wish = true};
    make_it_slow(place);
    int tries = 10; /* a machine under load may be late */
    while (cancel_one(place) != ERR_CANCELLED)
        assert_true(--tries > 0);
    (void)ask_once(&late); /* its wish stands before it asks */
    assert_int_equal(late.rc, ERR_CANCELLED);
    atomic_store(&late.wish, false);
    (void)ask_once(&late);
    assert_int_equal(late.rc, 0);
}

/* Where an engine can't while questions run, it says so and nothing else. */
static int checkpoint(struct place *place)
{
    struct err err = {0};
    int rc = store_checkpoint(place->store, &err);
    if (rc != 0 && rc != ERR_BUSY)
        fail_msg("%s", err_detail(&err));
    return rc;
}

static void many_ask_while_rows_are_written(void **state)
{
    struct place *place = *state;
    struct asking asking = {.place = place, .json = slow_question};
    struct fixture fixture;
    struct store_stats stats;
    pthread_t threads[ASKERS];
    fixture_init(&fixture, 9, 300);
    make_it_slow(place);
    store_get_stats(place->store, &stats);
    begin_asking(&asking, threads, ARRAY_LENGTH(threads));
    int64_t until = clock_monotonic_us() + 60 * US_PER_SECOND;
    uint64_t commits = 0;
    while (clock_monotonic_us() < until &&
           (commits < 20 || atomic_load(&asking.cancelled) == 0 || atomic_load(&asking.answered) == 0)) {
        place_store(place, &fixture, ++commits);
        if (commits % 4 == 0) /* waits for no question, and holds none up */
            (void)checkpoint(place);
        if (atomic_load(&asking.answered) > 0)
            cancel_all(&asking);
    }
    int rc;
    until = clock_monotonic_us() + 60 * US_PER_SECOND;
    while ((rc = checkpoint(place)) != 0 && clock_monotonic_us() < until) /* one comes through all the same */
        place_store(place, &fixture, ++commits);
    assert_int_equal(rc, 0);
    end_asking(&asking, threads, ARRAY_LENGTH(threads));
    assert_int_equal(checkpoint(place), 0);
    assert_true(commits >= 20);
    assert_true(atomic_load(&asking.cancelled) > 0);
    assert_true(atomic_load(&asking.answered) > 0);
    place_cursor_is(place, commits, stats.rows + commits * fixture.count);
    fixture_fini(&fixture);
}

/* A commit may stand though the checkpoint behind it lacked memory: the cursor tells. */
static bool stands(struct place *place, uint64_t offset)
{
    struct store_cursor cursor;
    assert_int_equal(store_cursor(place->store, &cursor, NULL), 0);
    return store_cursor_compare(cursor, place_cursor(offset)) == 0;
}

/* What a loader does: rewind and try again for as long as the environment is at fault. */
static void store_patiently(struct place *place, const struct fixture *fixture, uint64_t offset)
{
    struct err err = {0};
    int64_t until = clock_monotonic_us() + 60 * US_PER_SECOND;
    int rc;
    do {
        rc = store_append(place->store, fixture->events, fixture->count, &err);
        if (rc == 0)
            rc = store_commit(place->store, place_cursor(offset), &err);
        if (rc != 0 && stands(place, offset))
            rc = 0;
    } while (rc == ERR_NO_MEMORY && clock_monotonic_us() < until);
    if (rc != 0)
        fail_msg("%s", err_detail(&err));
}

static void questions_that_eat_the_memory_do_not_stop_the_writer(void **state)
{
    struct place *place = *state;
    struct asking asking = {.place = place, .json = large_question};
    struct fixture fixture;
    struct store_stats stats;
    pthread_t threads[2];
    fixture_init(&fixture, 10, 300);
    make_it_slow(place);
    store_get_stats(place->store, &stats);
    begin_asking(&asking, threads, ARRAY_LENGTH(threads));
    int64_t until = clock_monotonic_us() + 60 * US_PER_SECOND;
    uint64_t commits = 0;
    while (clock_monotonic_us() < until && (commits < 40 || atomic_load(&asking.memory) < 2))
        store_patiently(place, &fixture, ++commits);
    end_asking(&asking, threads, ARRAY_LENGTH(threads));
    assert_true(atomic_load(&asking.memory) >= 2);
    place_cursor_is(place, commits, stats.rows + commits * fixture.count);
    place_reopen(place);
    place_cursor_is(place, commits, stats.rows + commits * fixture.count);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(a_question_that_takes_too_long_ends),
        PLACE_TEST(one_question_is_cancelled_alone),
        PLACE_TEST(many_ask_while_rows_are_written),
        PLACE_TEST(questions_that_eat_the_memory_do_not_stop_the_writer),
        PLACE_TEST(a_tenant_that_asks_all_the_time_leaves_room_for_others),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " load", tests, NULL, NULL);
}
