/* SPDX-License-Identifier: Apache-2.0
 *
 * listing: what a query string means, and what is refused.
 */
#include "base/test.h"
#include "listing.h"

#include <stdio.h>

#define NOW (INT64_C(1772366400) * US_PER_SECOND) /* 2026-03-01T12:00:00Z */

static const enum column columns[] = {COLUMN_ts, COLUMN_sender, COLUMN_size};
static const struct listing_kind kind = {"events", columns, 3, 2};

static void parsed(const char *text, struct listing *out)
{
    struct err err = {0};
    if (listing_parse(slice_of(text), &kind, NOW, out, &err) != 0)
        fail_msg("%s: %s", text, err_detail(&err));
}

static void what_is_left_out_has_defaults(void **state)
{
    (void)state;
    struct listing listing;
    parsed("", &listing);
    assert_int_equal(listing.limit, LISTING_DEFAULT);
    assert_true(listing.descending && !listing.resumes);
    assert_int_equal(listing.column_count, 2);
    assert_int_equal(listing.query->to, NOW);
    assert_int_equal(listing.query->filter_count, 0);
    listing_fini(&listing);
    assert_null(listing.query);
}

static void filters_are_read(void **state)
{
    (void)state;
    struct listing listing;
    parsed(
        "f=direction:eq:in&f=direction:eq:out&f=sender:contains:a%3Ab&f=size:range:1000..&"
        "f=sasl_username:empty&f=recipient:!prefix:x&f=sender:ne:&limit=7&sort=time&cols=size,ts&from=now-2h&"
        "to=now-1h&tenant=acme",
        &listing);
    const struct query *query = listing.query;
    assert_int_equal(query->to, NOW - 3600 * US_PER_SECOND);
    assert_int_equal(query->from, NOW - 7200 * US_PER_SECOND);
    assert_int_equal(query->filter_count, 7); /* not, and what it negates */
    assert_int_equal(query->filters[0].column, COLUMN_direction);
    assert_int_equal(query->filters[0].op, OP_IN);
    assert_int_equal(query->filters[0].value_count, 2);
    assert_int_equal(query->filters[1].op, OP_CONTAINS);
    assert_true(slice_equal(query->values[query->filters[1].first_value].text, SLICE("a:b")));
    assert_int_equal(query->filters[2].op, OP_RANGE);
    assert_true(query->values[query->filters[2].first_value + 1].absent);
    assert_int_equal(query->filters[3].op, OP_EMPTY);
    assert_int_equal(query->filters[4].kind, FILTER_NOT);
    assert_int_equal(query->filters[5].op, OP_PREFIX);
    assert_int_equal(query->filters[6].op, OP_NE);
    assert_true(query->values[query->filters[6].first_value].absent);
    assert_int_equal(listing.limit, 7);
    assert_false(listing.descending);
    assert_int_equal(listing.columns[0], COLUMN_size);
    assert_int_equal(listing.column_count, 2);
    listing_fini(&listing);
}

static void filters_of_a_question_are_taken_too(void **state)
{
    (void)state;
    struct listing listing;
    parsed("where=[{%22or%22:[{%22column%22:%22size%22,%22values%22:[1]},{%22column%22:%22sender%22,%22op%22:"
           "%22empty%22}]}]&f=direction:eq:in&q=x",
           &listing);
    const struct query *query = listing.query;
    assert_int_equal(query->filters[0].kind, FILTER_OR);
    assert_int_equal(query->filters[0].span, 2);
    assert_int_equal(query->filters[3].column, COLUMN_direction);
    assert_int_equal(query->filters[4].kind, FILTER_OR);
    listing_fini(&listing);
}

static void a_cursor_goes_on_with_its_own_list_only(void **state)
{
    (void)state;
    struct listing listing;
    struct err err = {0};
    char cursor[BOOKMARK_BYTES], text[BOOKMARK_BYTES + 100];
    parsed("f=direction:eq:in&from=now-2h", &listing);
    struct bookmark next = {.question = listing.hash,
                            .from = listing.query->from,
                            .to = listing.query->to,
                            .key = {.at = NOW - 5, .edge = SLICE("mx1")}};
    bookmark_write(&next, cursor);
    listing_fini(&listing);

    (void)snprintf(text, sizeof text, "cursor=%s&f=direction:eq:in&from=now-2h&limit=3&cols=all", cursor);
    assert_int_equal(listing_parse(slice_of(text), &kind, NOW + 777, &listing, &err), 0);
    assert_true(listing.resumes);
    assert_int_equal(listing.bookmark.key.at, NOW - 5);
    assert_int_equal(listing.query->to, NOW); /* as on the first page, not now */
    assert_int_equal(listing.column_count, 3);
    listing_fini(&listing);
    static const char *const others[] = {"f=direction:eq:out", "", "f=direction:eq:in&sort=time",
                                         "f=direction:eq:in&q=x"};
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        (void)snprintf(text, sizeof text, "cursor=%s&%s", cursor, others[i]);
        assert_int_equal(listing_parse(slice_of(text), &kind, NOW, &listing, &err), ERR_INVALID);
        assert_non_null(strstr(err.detail, "cursor"));
    }
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"color=red", "'color' is not a parameter"},
        {"limit=0", "?limit="},
        {"limit=1001", "?limit="},
        {"limit=5&limit=6", "twice"},
        {"sort=size", "?sort="},
        {"cols=sender,nothing", "'nothing'"},
        {"cols=sender,sender", "twice"},
        {"cols=", "?cols="},
        {"f=sender", "COLUMN:OPERATOR:VALUE"},
        {"f=nothing:eq:1", "'nothing' is not a column"},
        {"f=size:like:1", "'like' does not fit size"},
        {"f=size:range:7", "1000..5000"},
        {"f=size:eq:x", "size takes a number"},
        {"f=sender:eq:%ff", "UTF-8"},
        {"f=sender:eq:%f", "not well formed"},
        {"q=%ff", "UTF-8"},
        {"where=x", "?where="},
        {"where={}", "?where="},
        {"where=[{}]", "where[0]"},
        {"from=yesterday", "from:"},
        {"tz=Mars/Base", "timezone"},
        {"cursor=00", "?cursor="},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct listing listing;
        struct err err = {0};
        if (listing_parse(slice_of(cases[i][0]), &kind, NOW, &listing, &err) == 0 ||
            strstr(err.detail, cases[i][1]) == NULL)
            fail_msg("%s: %s", cases[i][0], err.detail);
        assert_null(listing.query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(filters_are_read),
        cmocka_unit_test(filters_of_a_question_are_taken_too),
        cmocka_unit_test(a_cursor_goes_on_with_its_own_list_only),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests_name("api/listing", tests, NULL, NULL);
}
