/* SPDX-License-Identifier: Apache-2.0
 *
 * search: what a text is taken for.
 */
#include "base/test.h"
#include "query/query.h"
#include "search.h"

#include <stdlib.h>

static void texts_are_known_by_their_looks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *filter;
    } cases[] = {
        {"192.0.2.1", "{\"column\":\"client_address\",\"op\":\"cidr\",\"values\":[\"192.0.2.1\"]}"},
        {"2001:db8::/32", "{\"column\":\"client_address\",\"op\":\"cidr\",\"values\":[\"2001:db8::/32\"]}"},
        {"00112233445566778899aabbccddeeff",
         "{\"column\":\"message_id\",\"op\":\"eq\",\"values\":[\"00112233445566778899aabbccddeeff\"]}"},
        {"4f2a.69a1b2c3.d4e5.0",
         "{\"column\":\"instance\",\"op\":\"eq\",\"values\":[\"4f2a.69a1b2c3.d4e5.0\"]}"},
        {"@example.com", "{\"or\":[{\"column\":\"sender_domain\",\"op\":\"eq\",\"values\":[\"example.com\"]},"
                         "{\"column\":\"recipient_domain\",\"op\":\"eq\",\"values\":[\"example.com\"]}]}"},
        {"ann@example.com",
         "{\"or\":[{\"column\":\"sender\",\"op\":\"eq\",\"values\":[\"ann@example.com\"]},{\"column\":"
         "\"recipient\",\"op\":\"eq\",\"values\":[\"ann@example.com\"]},{\"column\":\"sasl_username\","
         "\"op\":\"eq\",\"values\":[\"ann@example.com\"]}]}"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        json_t *filter = search_filter(slice_of(cases[i].text));
        char *shown = json_dumps(filter, JSON_COMPACT);
        assert_string_equal(shown, cases[i].filter);
        free(shown);
        json_decref(filter);
    }
}

/* Does the filter for this text test that column with that operator? */
static bool tests(const char *text, const char *column, const char *op)
{
    json_t *filter = search_filter(slice_of(text)), *any = json_object_get(filter, "or");
    bool found = false;
    for (size_t i = 0; i < json_array_size(any); i++) {
        json_t *one = json_array_get(any, i);
        found = found || (strcmp(json_string_value(json_object_get(one, "column")), column) == 0 &&
                          strcmp(json_string_value(json_object_get(one, "op")), op) == 0);
    }
    json_decref(filter);
    return found;
}

static void what_could_be_two_things_is_looked_for_as_both(void **state)
{
    (void)state;
    assert_true(tests("4XyZ1kbcdfz", "queue_id", "eq"));
    assert_true(tests("4XyZ1kbcdfz", "helo_name", "contains"));
    assert_true(tests("3F2A91B0C4", "queue_id", "eq"));
    assert_false(tests("deadbeef1", "queue_id", "eq")); /* Postfix writes capitals */
    assert_false(tests("hello", "queue_id", "eq"));
    assert_true(tests("hello", "sender", "contains"));
    assert_true(tests("mail.example.com", "client_name", "eq"));
    assert_true(tests("mail.example.com", "sender_domain", "suffix"));
    assert_true(tests("two words", "recipient", "contains"));
}

/* Each one is a filter that a question takes. */
static void every_text_makes_a_filter(void **state)
{
    (void)state;
    char longest[1100];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    longest[1000] = '.';
    const char *const texts[] = {"a",  "@",       "@@",         ".",         "..",       "a.b",
                                 "\"", "'; DROP", "1.2.3.4.5",  "::",        "\xc3\xa9", "a@",
                                 "%",  "\\",      "10.0.0.1/8", longest + 90};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        struct err err = {0};
        struct query *query;
        json_t *question =
            json_pack("{s:[s], s:[o]}", "measures", "requests", "where", search_filter(slice_of(texts[i])));
        char *json = json_dumps(question, 0);
        if (query_parse(slice_of(json), 86400 * US_PER_SECOND, &query, &err) != 0)
            fail_msg("%s: %s", json, err_detail(&err));
        query_destroy(&query);
        free(json);
        json_decref(question);
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(texts_are_known_by_their_looks),
        cmocka_unit_test(what_could_be_two_things_is_looked_for_as_both),
        cmocka_unit_test(every_text_makes_a_filter),
    };
    return cmocka_run_group_tests_name("api/search", all, NULL, NULL);
}
