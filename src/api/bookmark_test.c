/* SPDX-License-Identifier: Apache-2.0
 *
 * bookmark: what is written is read, and nothing else.
 */
#include "base/test.h"
#include "bookmark.h"

static struct bookmark example(const char *edge)
{
    return (struct bookmark){
        .question = 77,
        .from = 1000,
        .to = 2000,
        .key = {.at = 1500, .tenant = 3, .edge = slice_of(edge), .epoch = {{1, 2, 3}}, .seq = UINT64_MAX},
    };
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char long_edge[EVENT_EDGE_BYTES + 1], text[BOOKMARK_BYTES];
    memset(long_edge, 'e', EVENT_EDGE_BYTES);
    long_edge[EVENT_EDGE_BYTES] = '\0';
    const char *const edges[] = {"", "mx1", "\xc3\xa9", long_edge};
    for (size_t i = 0; i < ARRAY_LENGTH(edges); i++) {
        struct bookmark given = example(edges[i]), got;
        bookmark_write(&given, text);
        assert_int_equal(bookmark_read(slice_of(text), &got), 0);
        assert_int_equal(got.question, given.question);
        assert_int_equal(got.from, given.from);
        assert_int_equal(got.to, given.to);
        assert_int_equal(got.key.at, given.key.at);
        assert_int_equal(got.key.tenant, given.key.tenant);
        assert_int_equal(got.key.seq, given.key.seq);
        assert_memory_equal(got.key.epoch.b, given.key.epoch.b, sizeof got.key.epoch.b);
        assert_true(slice_equal(got.key.edge, given.key.edge));
    }
}

static void what_was_changed_is_refused(void **state)
{
    (void)state;
    char text[BOOKMARK_BYTES];
    struct bookmark given = example("mx1"), got;
    bookmark_write(&given, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char before = text[i];
        text[i] = before == '7' ? '8' : '7';
        assert_int_equal(bookmark_read(slice_of(text), &got), ERR_INVALID);
        text[i] = 'x';
        assert_int_equal(bookmark_read(slice_of(text), &got), ERR_INVALID);
        text[i] = before;
        assert_int_equal(bookmark_read((struct slice){text, i}, &got), ERR_INVALID);
    }
    assert_int_equal(bookmark_read((struct slice){text, n}, &got), 0);
}

/* Well written, and still nonsense. */
static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    char text[BOOKMARK_BYTES];
    for (int i = 0; i < 5; i++) {
        struct bookmark given = example(i == 4 ? "\xff" : "mx1"), got;
        given.from = i == 0 ? -1 : i == 1 ? given.to : given.from;
        given.to = i == 2 ? QUERY_LATEST_US + 1 : given.to;
        given.key.at = i == 3 ? -5 : given.key.at;
        bookmark_write(&given, text);
        assert_int_equal(bookmark_read(slice_of(text), &got), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_was_changed_is_refused),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests_name("api/bookmark", tests, NULL, NULL);
}
