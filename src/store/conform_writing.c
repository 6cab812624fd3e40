/* SPDX-License-Identifier: Apache-2.0
 *
 * conform_writing: what holds for every engine, whether it answers or not: rows and cursor, errors, scope.
 */
#include "store/place.h"

#include <stdio.h>
#include <stdlib.h>

static void a_new_store_is_empty(void **state)
{
    place_cursor_is(*state, 0, 0);
}

static void rows_and_cursor_go_together(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    fixture_init(&fixture, 1, 900);
    place_store(place, &fixture, 42);
    place_cursor_is(place, 42, fixture.count);
    assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
    place_cursor_is(place, 42, fixture.count); /* not before the commit */
    assert_int_equal(store_rollback(place->store, NULL), 0);
    place_cursor_is(place, 42, fixture.count);
    assert_int_equal(store_commit(place->store, place_cursor(43), NULL), 0); /* a cursor alone may move */
    place_cursor_is(place, 43, fixture.count);
    assert_int_equal(store_append(place->store, fixture.events, 1, NULL), 0);
    place_reopen(place); /* what was not committed is gone */
    place_cursor_is(place, 43, fixture.count);
    place_store(place, &fixture, 44);
    place_reopen(place);
    place_cursor_is(place, 44, 2 * fixture.count);
    if (ANSWERS) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "%zu", 2 * fixture.count);
        place_answers(place, "{\"measures\":[\"requests\"],\"from\":\"2026-02-28\",\"to\":\"2026-03-04\"}", 0,
                      expected, 1);
    }
    fixture_fini(&fixture);
}

/* The offset of the checkpoint's cursor. */
static uint64_t checkpointed(struct place *place)
{
    struct store_cursor cursor, expected;
    assert_int_equal(store_checkpointed(place->store, &cursor, NULL), 0);
    expected = cursor.pos.offset != 0 ? place_cursor(cursor.pos.offset) : (struct store_cursor){{0, 0}, 0};
    assert_int_equal(store_cursor_compare(cursor, expected), 0);
    return cursor.pos.offset;
}

static void the_checkpoint_follows_the_cursor(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct err err = {0};
    fixture_init(&fixture, 5, 100);
    assert_int_equal(checkpointed(place), 0);
    assert_int_equal(store_checkpoint(place->store, &err), 0); /* of nothing */
    assert_int_equal(checkpointed(place), 0);
    for (uint64_t at = 10; at < 50; at += 10) {
        uint64_t before = checkpointed(place);
        place_store(place, &fixture, at);
        assert_in_range(checkpointed(place), before, at);
        place_store(place, &fixture, at + 1);
        assert_int_equal(store_checkpoint(place->store, &err), 0);
        assert_int_equal(checkpointed(place), at + 1);
        assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
        assert_int_equal(store_rollback(place->store, NULL), 0);
        assert_int_equal(checkpointed(place), at + 1);
    }
    place_store(place, &fixture, 60);
    place_reopen(place); /* closing is one */
    assert_int_equal(checkpointed(place), 60);
    place_cursor_is(place, 60, 9 * fixture.count);
    assert_int_equal(store_commit(place->store, place_cursor(7), NULL), 0); /* set back */
    assert_in_range(checkpointed(place), 0, 7);
    assert_int_equal(store_checkpoint(place->store, &err), 0);
    assert_int_equal(checkpointed(place), 7);
    place_cursor_is(place, 7, 9 * fixture.count);
    fixture_fini(&fixture);
}

static void many_rows_fit_one_commit(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    fixture_init(&fixture, 2, 2000);
    size_t rounds = 40000 / fixture.count + 1;
    for (size_t i = 0; i < rounds; i++)
        assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
    assert_int_equal(store_commit(place->store, place_cursor(9), NULL), 0);
    place_cursor_is(place, 9, rounds * fixture.count);
    fixture_fini(&fixture);
}

static void a_bad_text_costs_its_transaction_only(void **state)
{
    struct place *place = *state;
    struct fixture fixture;
    struct err err = {0};
    fixture_init(&fixture, 3, 600);
    place_store(place, &fixture, 5);
    struct slice good = fixture.events[700].helo_name;
    static const char *const bad[] = {"\xff", "abcdefghijklmnop\xc3", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80 and more bytes"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(store_append(place->store, fixture.events, 600, &err), 0);
        fixture.events[700].helo_name = slice_of(bad[i]);
        assert_int_equal(store_append(place->store, fixture.events + 600, 200, &err), ERR_ENGINE);
        assert_non_null(strstr(err.detail, "helo_name"));
        fixture.events[700].helo_name = good;
        place_cursor_is(place, 5, fixture.count);
    }
    assert_int_equal(store_append(place->store, fixture.events, fixture.count, &err), 0);
    assert_int_equal(store_commit(place->store, place_cursor(6), &err), 0);
    place_cursor_is(place, 6, 2 * fixture.count);
    fixture_fini(&fixture);
}

static void rows_are_copied(void **state)
{
    struct place *place = *state;
    struct fixture fixture, again;
    fixture_init(&fixture, 4, 50);
    fixture_init(&again, 4, 50);
    assert_int_equal(store_append(place->store, fixture.events, fixture.count, NULL), 0);
    memset(fixture.texts.p, 'x', fixture.texts.n);
    memset(fixture.events, 0, fixture.count * sizeof *fixture.events);
    assert_int_equal(store_commit(place->store, place_cursor(1), NULL), 0);
    if (ANSWERS) {
        struct answer answer = {0};
        assert_int_equal(place_ask(place,
                                   "{\"measures\":[\"requests\"],\"by\":[\"helo_name\"],\"since\":\"72h\"}",
                                   0, &answer, NULL),
                         0);
        assert_int_equal(answer.rows, 1);
        assert_memory_equal(answer.text.p, "helo.test|", 10);
        buf_fini(&answer.text);
    }
    fixture_fini(&fixture);
    fixture_fini(&again);
}

static void one_process_owns_it(void **state)
{
    struct place *place = *state;
    struct store *other = NULL;
    struct err err = {0};
    const struct store_options options = {.engine = ENGINE, .dir = "/proc/no/such", .query_threads = 1};
    assert_int_not_equal(store_open(&other, &options, &err), 0);
    assert_null(other);
    assert_true(err.detail[0] != '\0');
    assert_int_equal(
        store_open(&other, &(struct store_options){.engine = "nothing", .dir = place->path}, &err),
        ERR_UNSUPPORTED);
}

static void a_question_without_scope_is_refused(void **state)
{
    struct place *place = *state;
    struct query *query;
    struct answer answer = {.text.limit = 1 << 20};
    struct query_sink sink = {.row = place_take_row, .arg = &answer};
    assert_int_equal(query_parse(SLICE("{\"measures\":[\"requests\"]}"), FIXTURE_START_US, &query, NULL), 0);
    assert_int_equal(store_query(place->store, query, &sink, NULL), ERR_DENIED);
    query->scope = QUERY_SCOPE_ALL;
    assert_int_equal(store_query(place->store, query, &sink, NULL), ANSWERS ? 0 : ERR_UNSUPPORTED);
    buf_fini(&answer.text);
    query_destroy(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(a_new_store_is_empty),
        PLACE_TEST(rows_and_cursor_go_together),
        PLACE_TEST(the_checkpoint_follows_the_cursor),
        PLACE_TEST(many_rows_fit_one_commit),
        PLACE_TEST(a_bad_text_costs_its_transaction_only),
        PLACE_TEST(rows_are_copied),
        PLACE_TEST(one_process_owns_it),
        PLACE_TEST(a_question_without_scope_is_refused),
    };
    return cmocka_run_group_tests_name("store/" ENGINE " writing", tests, NULL, NULL);
}
