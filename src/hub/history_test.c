/* SPDX-License-Identifier: Apache-2.0
 *
 * history_test: what minutes hold, how many there are, and that they come back from their bytes.
 */
#include "hub/history.h"

#include "base/test.h"

#define MINUTE INT64_C(60000000)

static void expect(const struct history *history, size_t i, uint32_t minute, uint32_t records, uint32_t depth)
{
    struct history_minute got;
    assert_true(history_get(history, i, &got));
    assert_int_equal(got.minute, minute);
    assert_int_equal(got.records, records);
    assert_int_equal(got.depth, depth);
}

static void minutes_count_what_came_in_them(void **state)
{
    (void)state;
    struct history *history = NULL;
    struct history_minute got;
    struct history_figures figures = {.records = 1000, .depth = 5};
    assert_false(history_get(history, 0, &got));
    history_note(&history, &figures, 100 * MINUTE); /* 1000 that came before */
    figures.records = 1010;
    figures.depth = 7;
    history_note(&history, &figures, 100 * MINUTE + 1);
    figures.records = 1011;
    figures.depth = 0;
    history_note(&history, &figures, 103 * MINUTE - 1);
    figures.records = 3; /* the edge began anew */
    history_note(&history, &figures, 103 * MINUTE);
    figures.records = UINT64_MAX;
    history_note(&history, &figures, 104 * MINUTE);
    figures.depth = 9;
    history_note(&history, &figures, 50 * MINUTE); /* the clock was set back */
    expect(history, 0, 100, 10, 7);
    expect(history, 1, 102, 1, 0);
    expect(history, 2, 103, 3, 0);
    expect(history, 3, 104, UINT32_MAX, 9);
    assert_false(history_get(history, 4, &got));
    history_destroy(&history);
}

static void the_oldest_minutes_go(void **state)
{
    (void)state;
    struct history *history = NULL, *again = NULL;
    struct history_minute got;
    struct history_figures figures = {0};
    struct buf bytes = {.limit = 1 << 20};
    struct bytes_writer w = {.out = &bytes};
    for (uint32_t i = 0; i < HISTORY_MINUTES + 10; i++) {
        figures.depth = i;
        history_note(&history, &figures, i * MINUTE);
    }
    expect(history, 0, 10, 0, 10);
    expect(history, HISTORY_MINUTES - 1, HISTORY_MINUTES + 9, 0, HISTORY_MINUTES + 9);
    assert_false(history_get(history, HISTORY_MINUTES, &got));
    history_encode(history, &w);
    assert_int_equal(w.rc, 0);
    struct bytes_reader r = {.rest = buf_slice(&bytes)};
    assert_int_equal(history_decode(&again, &r), 0);
    assert_int_equal(r.rest.n, 0);
    expect(again, 0, 10, 0, 10);
    figures.depth = 1;
    history_note(&again, &figures, 1000 * MINUTE); /* it goes on */
    expect(again, 0, 11, 0, 11);
    expect(again, HISTORY_MINUTES - 1, 1000, 0, 1);
    history_destroy(&again);
    r = (struct bytes_reader){.rest = {bytes.p, bytes.n - 1}};
    assert_int_equal(history_decode(&again, &r), ERR_CORRUPT);
    history_destroy(&again);
    history_destroy(&history);
    buf_fini(&bytes);
}

static void nothing_is_kept_as_nothing(void **state)
{
    (void)state;
    struct history *history = NULL;
    struct buf bytes = {.limit = 100};
    struct bytes_writer w = {.out = &bytes};
    history_encode(NULL, &w);
    struct bytes_reader r = {.rest = buf_slice(&bytes)};
    assert_int_equal(history_decode(&history, &r), 0);
    assert_null(history);
    buf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minutes_count_what_came_in_them),
        cmocka_unit_test(the_oldest_minutes_go),
        cmocka_unit_test(nothing_is_kept_as_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
