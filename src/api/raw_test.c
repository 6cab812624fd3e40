/* SPDX-License-Identifier: Apache-2.0
 *
 * raw: a place that was written is read, and nothing else.
 */
#include "base/test.h"
#include "raw.h"

static const struct raw_place example = {.tenant = 3,
                                         .pos = {1700000000000000, 128},
                                         .skip = 8191,
                                         .epoch = {{1, 2, 3}},
                                         .seq = UINT64_MAX,
                                         .hub_ts = EVENT_TS_MAX,
                                         .gap = true};

static void what_is_written_is_read(void **state)
{
    (void)state;
    char text[RAW_PLACE_BYTES];
    struct raw_place got;
    raw_place_write(&example, text);
    assert_int_equal(raw_place_read(slice_of(text), &got), 0);
    assert_int_equal(got.tenant, example.tenant);
    assert_int_equal(journal_pos_compare(got.pos, example.pos), 0);
    assert_int_equal(got.skip, example.skip);
    assert_memory_equal(got.epoch.b, example.epoch.b, sizeof got.epoch.b);
    assert_int_equal(got.seq, example.seq);
    assert_int_equal(got.hub_ts, example.hub_ts);
    assert_true(got.gap);
}

static void what_was_changed_is_refused(void **state)
{
    (void)state;
    char text[RAW_PLACE_BYTES];
    struct raw_place got;
    raw_place_write(&example, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char before = text[i];
        text[i] = before == '7' ? '8' : '7';
        assert_int_equal(raw_place_read(slice_of(text), &got), ERR_INVALID);
        text[i] = 'x';
        assert_int_equal(raw_place_read(slice_of(text), &got), ERR_INVALID);
        text[i] = before;
        assert_int_equal(raw_place_read((struct slice){text, i}, &got), ERR_INVALID);
    }
    assert_int_equal(raw_place_read((struct slice){text, n}, &got), 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    char text[RAW_PLACE_BYTES];
    struct raw_place given = example, got;
    given.hub_ts = -1;
    raw_place_write(&given, text);
    assert_int_equal(raw_place_read(slice_of(text), &got), ERR_INVALID);
    given.hub_ts = EVENT_TS_MAX + 1;
    raw_place_write(&given, text);
    assert_int_equal(raw_place_read(slice_of(text), &got), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_was_changed_is_refused),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests_name("api/raw", tests, NULL, NULL);
}
