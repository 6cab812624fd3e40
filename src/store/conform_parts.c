/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_parts: rows in parts: which part takes what, that questions see all of them as one, and that
 * nothing of it can be told from a store with one part only. An engine that keeps no rows has none.
 */
#include "store/place.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTS = 64 };
#define DAY_US (24 * 3600 * US_PER_SECOND)

struct listed {
    struct store_part parts[PARTS];
    size_t count;
};

static int take_part(void *arg, const struct store_part *part)
{
    struct listed *listed = arg;
    assert_true(listed->count < PARTS);
    listed->parts[listed->count++] = *part;
    return 0;
}

/* All of them follow each other in the journal, the last one alone is open, and their figures add up. */
static struct listed parts_of(struct place *place)
{
    struct listed listed = {.count = 0};
    struct store_stats stats;
    uint64_t rows = 0;
    assert_int_equal(store_parts(place->store, take_part, &listed, NULL), 0);
    for (size_t i = 0; i < listed.count; i++) {
        const struct store_part *part = &listed.parts[i];
        rows += part->rows;
        assert_true(part->last_id >= part->id && part->generation > 0 && part->bytes > 0);
        assert_true(store_cursor_compare(part->begin, part->end) <= 0);
        assert_true(!part->open || i + 1 == listed.count);
        assert_true(part->min_ts <= part->max_ts && part->min_hub_ts <= part->max_hub_ts);
        if (i > 0) {
            assert_true(part->id > listed.parts[i - 1].last_id);
            assert_int_equal(store_cursor_compare(part->begin, listed.parts[i - 1].end), 0);
        }
    }
    store_get_stats(place->store, &stats);
    assert_int_equal(stats.rows, ANSWERS ? rows : stats.rows);
    return listed;
}

static void put_at(struct place *place, struct fixture *fixture, int64_t hub_ts, uint64_t offset)
{
    for (size_t i = 0; i < fixture->count; i++)
        fixture->events[i].hub_ts = hub_ts + (int64_t)i;
    place_store(place, fixture, offset);
}

static void an_empty_store_has_no_rows_in_parts(void **state)
{
    struct place *place = *state;
    struct listed listed = parts_of(place);
    for (size_t i = 0; i < listed.count; i++)
        assert_int_equal(listed.parts[i].rows, 0);
    assert_int_equal(store_close_part(place->store, NULL), 0); /* there is nothing to close */
    listed = parts_of(place);
    assert_int_equal(listed.count > 1, 0);
    place_cursor_is(place, 0, 0);
}

static void a_later_month_begins_a_part(void **state)
{
    static const struct {
        const char *at;
        size_t parts;
        int year, month;
    } cases[] = {
        {"2026-01-31T23:59:00Z", 1, 2026, 1},
        {"2026-02-01T00:00:00Z", 2, 2026, 2},
        {"2026-02-28T23:00:00Z", 2, 2026, 2},
        {"2026-01-15T00:00:00Z", 2, 2026, 2}, /* the clock stepped back */
        {"2026-03-01T00:00:00Z", 3, 2026, 3},
        {"2027-01-01T00:00:00Z", 4, 2027, 1},
        {"2027-01-31T00:00:00Z", 4, 2027, 1},
    };
    struct place *place = *state;
    struct fixture fixture;
    fixture_init(&fixture, 1, 50);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int64_t at;
        assert_int_equal(clock_parse(slice_of(cases[i].at), &at), 0);
        put_at(place, &fixture, at, 10 + i);
        place_cursor_is(place, 10 + i, (i + 1) * fixture.count);
        struct listed listed = parts_of(place);
        if (!ANSWERS)
            continue;
        assert_int_equal(listed.count, cases[i].parts);
        const struct store_part *last = &listed.parts[listed.count - 1];
        assert_int_equal(last->year, cases[i].year);
        assert_int_equal(last->month, cases[i].month);
        assert_true(last->open);
        if (i % 2 == 0)
            place_reopen(place);
        place_cursor_is(place, 10 + i, (i + 1) * fixture.count);
    }
    fixture_fini(&fixture);
}

/* The same rows, in one part and in several, give the same answers. */
static void questions_see_all_parts_as_one(void **state)
{
    static const char *const questions[] = {
        "{\"measures\":[\"requests\",\"messages\",\"recipients\",\"bytes\"],\"since\":\"72h\"}",
        "{\"measures\":[\"requests\",\"bytes\"],\"by\":[\"direction\",\"stage\"],\"since\":\"72h\"}",
        "{\"measures\":[\"messages\",\"senders\"],\"by\":[\"tenant\"],\"interval\":\"1h\",\"since\":\"72h\"}",
        ("{\"measures\":[\"bytes\"],\"by\":[\"recipient_domain\"],\"from\":\"2026-03-01T20:00:00Z\","
         "\"to\":\"2026-03-02T04:00:00Z\"}"),
        "{\"measures\":[\"requests\"],\"by\":[\"edge\"],\"since\":\"72h\",\"top\":2,\"rest\":true}",
    };
    struct place *place = *state;
    struct fixture fixture, piece;
    struct answer whole[ARRAY_LENGTH(questions)] = {0}, parted = {0};
    if (!ANSWERS)
        return;
    fixture_init(&fixture, 9, 900);
    place_store(place, &fixture, 1);
    for (size_t i = 0; i < ARRAY_LENGTH(questions); i++)
        assert_int_equal(place_ask(place, questions[i], 0, &whole[i], NULL), 0);
    (void)place_tear_down(state);
    assert_int_equal(place_set_up(state), 0);
    place = *state;
    for (size_t done = 0, i = 0; done < fixture.count; done += piece.count, i++) {
        piece = fixture;
        piece.events += done;
        piece.count = fixture.count - done < 300 ? fixture.count - done : 300;
        place_store(place, &piece, i + 2);
        assert_int_equal(store_close_part(place->store, NULL), 0);
        assert_int_equal(store_close_part(place->store, NULL), 0); /* nothing came since */
        assert_int_equal(parts_of(place).count, i + 1);
    }
    for (int round = 0; round < 2; round++, place_reopen(place))
        for (size_t i = 0; i < ARRAY_LENGTH(questions); i++) {
            assert_int_equal(place_ask(place, questions[i], 0, &parted, NULL), 0);
            assert_int_equal(parted.rows, whole[i].rows);
            assert_int_equal(parted.text.n, whole[i].text.n);
            assert_memory_equal(parted.text.p, whole[i].text.p, parted.text.n);
        }
    for (size_t i = 0; i < ARRAY_LENGTH(questions); i++) {
        buf_fini(&whole[i].text);
        buf_fini(&whole[i].totals);
    }
    buf_fini(&parted.text);
    buf_fini(&parted.totals);
    fixture_fini(&fixture);
}

static void a_cursor_set_back_begins_a_part(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_cursor until;
    fixture_init(&fixture, 2, 60);
    place_store(place, &fixture, 50);
    assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
    if (ANSWERS) /* an engine without transactions may take them */
        assert_int_equal(store_commit(place->store, place_cursor(20), NULL), ERR_INVALID);
    else
        assert_int_equal(store_rollback(place->store, NULL), 0);
    place_cursor_is(place, 50, fixture.count);
    assert_int_equal(store_commit(place->store, place_cursor(20), NULL), 0);
    place_cursor_is(place, 20, fixture.count);
    assert_false(store_gap(place->store, &until)); /* what was read before is there */
    place_store(place, &fixture, 30);
    place_reopen(place);
    assert_false(store_gap(place->store, &until));
    place_cursor_is(place, 30, 2 * fixture.count);
    assert_int_equal(store_commit(place->store, place_cursor(10), NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(5), NULL), 0); /* nothing came in between */
    place_reopen(place);
    place_cursor_is(place, 5, 2 * fixture.count);
    fixture_fini(&fixture);
}

/* What is asked for while a part is closed, and the next one begun. */
static void a_closed_part_is_in_the_checkpoint(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct store_cursor checkpointed;
    fixture_init(&fixture, 3, 200);
    for (uint64_t i = 1; i < 6; i++) {
        place_store(place, &fixture, 2 * i);
        assert_int_equal(store_close_part(place->store, NULL), 0);
        assert_int_equal(store_checkpointed(place->store, &checkpointed, NULL), 0);
        assert_int_equal(store_cursor_compare(checkpointed, place_cursor(2 * i)), 0);
        place_store(place, &fixture, 2 * i + 1);
        place_cursor_is(place, 2 * i + 1, 2 * i * fixture.count);
    }
    fixture_fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(an_empty_store_has_no_rows_in_parts), PLACE_TEST(a_later_month_begins_a_part),
        PLACE_TEST(a_cursor_set_back_begins_a_part),     PLACE_TEST(a_closed_part_is_in_the_checkpoint),
        PLACE_TEST(questions_see_all_parts_as_one),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " parts", tests, NULL, NULL);
}
