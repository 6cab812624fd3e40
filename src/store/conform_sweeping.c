/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_sweeping: what was erased, or is too old, leaves the roll-ups and every file, without a restart;
 * all else that they answered they still answer, also about days whose events are gone.
 */
#include "store/checker.h"
#include "store/sweeper.h"

#include <stdio.h>

static void drop_canary(struct fixture *fixture)
{
    size_t kept = 0;
    for (size_t i = 0; i < fixture->count; i++)
        if (!slice_equal(fixture->events[i].sender, slice_of(CANARY)))
            fixture->events[kept++] = fixture->events[i];
    assert_true(kept < fixture->count);
    fixture->count = kept;
}

/* As a recount says, of both tenants. */
static void answers_are_right(struct place *place, const struct fixture *fixture, bool fast)
{
    static const char *const questions[] = {
        "\"measures\":[\"requests\",\"messages\",\"bytes\"],\"by\":[\"sender\"],\"totals\":true",
        "\"measures\":[\"requests\",\"recipients\"],\"by\":[\"direction\"],\"interval\":\"1h\"",
        "\"measures\":[\"messages\"],\"interval\":\"1d\"",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(questions); i++)
        for (uint32_t tenant = 1; tenant <= 2; tenant++) {
            char json[512];
            (void)snprintf(json, sizeof json,
                           "{%s,\"mode\":\"fast\",\"from\":\"2026-02-28\",\"to\":\"2026-03-05\"}",
                           questions[i]);
            bool was_fast = checker_ask(place, fixture, json, tenant).fast;
            if (fast && i == 2)
                assert_true(was_fast);
        }
}

static void what_is_erased_leaves_at_once(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    struct store_rewrite how = {.erasures = &erasure, .erasure_count = 1};
    sweeper_fill(place, &fixture);
    sweeper_roll(place);
    sweeper_sweep(place, NULL); /* and so it is in the file itself */
    assert_true(sweeper_canaries(place, "rollups") > 0 && sweeper_canaries(place, "events") > 0);
    answers_are_right(place, &fixture, true);
    sweeper_rewrite(place, &how);
    drop_canary(&fixture);
    answers_are_right(place, &fixture, false);
    sweeper_roll(place); /* that alone leaves bytes behind, */
    assert_int_equal(store_checkpoint(place->store, NULL), 0);
    assert_true(sweeper_canaries(place, "rollups") > 0);
    sweeper_sweep(place, &how);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    answers_are_right(place, &fixture, true);
    place_reopen(place);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    answers_are_right(place, &fixture, true);
    fixture_fini(&fixture);
}

/* Straight after the rewriting nothing is rolled yet: the events answer, and then what is rolled of them. */
static void marks_go_with_it(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    struct store_rewrite how = {.erasures = &erasure, .erasure_count = 1};
    sweeper_fill(place, &fixture);
    sweeper_roll(place);
    sweeper_rewrite(place, &how);
    sweeper_sweep(place, &how);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    drop_canary(&fixture);
    answers_are_right(place, &fixture, false);
    sweeper_roll(place);
    answers_are_right(place, &fixture, true);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    fixture_fini(&fixture);
}

/* Events of the first day go; its roll-ups stay, lose a name, and go in their own time. */
static void roll_ups_outlive_events(void **state)
{
    static const char by_canary[] =
        ",\"where\":[{\"column\":\"sender\",\"op\":\"eq\",\"values\":[\"" CANARY "\"]}]";
    struct place *place = *state;
    struct fixture fixture;
    struct store_erasure erasure = ERASED;
    int64_t second_day = FIXTURE_START_US + DAY_US;
    struct store_keep old = {0, STORE_KIND_EVENTS, second_day};
    struct store_rewrite erase = {.erasures = &erasure, .erasure_count = 1},
                         retain = {.keeps = &old, .keep_count = 1};
    sweeper_fill(place, &fixture);
    sweeper_roll(place);
    uint64_t all[] = {0, sweeper_first_day(place, 1, ""), sweeper_first_day(place, 2, "")};
    assert_true(all[1] > 0 && all[2] > 0 && sweeper_first_day(place, 1, by_canary) > 0);
    sweeper_rewrite(place, &retain);
    sweeper_sweep(place, &retain);
    assert_int_equal(sweeper_first_day(place, 1, ""), all[1]);
    assert_true(sweeper_first_day(place, 1, by_canary) > 0);
    sweeper_rewrite(place, &erase);
    sweeper_roll(place);
    sweeper_sweep(place, &erase);
    assert_int_equal(sweeper_canaries(place, ""), 0);
    assert_int_equal(sweeper_first_day(place, 1, by_canary), 0);
    assert_int_equal(sweeper_first_day(place, 1, ""), all[1]); /* nobody's figures */
    struct store_keep keeps[] = {{0, STORE_KIND_HOURLY, second_day},
                                 {1, STORE_KIND_DAILY, second_day},
                                 {2, STORE_KIND_DAILY, INT64_MIN}};
    struct store_rewrite forget = {.keeps = keeps, .keep_count = 3};
    sweeper_sweep(place, &forget);
    assert_int_equal(sweeper_first_day(place, 1, ""), 0);
    assert_int_equal(sweeper_first_day(place, 2, ""), all[2]);
    place_reopen(place);
    assert_int_equal(sweeper_first_day(place, 2, ""), all[2]);
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(what_is_erased_leaves_at_once),
        PLACE_TEST(marks_go_with_it),
        PLACE_TEST(roll_ups_outlive_events),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " sweeping", tests, NULL, NULL);
}
