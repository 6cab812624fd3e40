/* SPDX-License-Identifier: Apache-2.0
 *
 * match: one event against filters by hand; the conformance suites of the store hold match against engines on
 * random ones.
 */
#include "base/test.h"
#include "query/match.h"

#include <stdio.h>

static struct event an_event(void)
{
    struct event event = {.tenant = 7,
                          .stage = STAGE_RCPT,
                          .direction = DIRECTION_IN,
                          .ts = 1772366400 * US_PER_SECOND,
                          .sender = SLICE("Ann@Sender.example"),
                          .sender_domain = SLICE("sender.example"),
                          .recipient = SLICE("u@example.com"),
                          .client_port = 25000,
                          .first_of_message = true};
    assert_int_equal(ip_parse(SLICE("192.0.2.77"), &event.client_address), 0);
    return event;
}

static bool matches(const char *where, enum query_scope scope, uint32_t tenant)
{
    json_error_t error;
    struct err err = {0};
    struct query *query = NULL;
    struct event event = an_event();
    json_t *json = json_loads(where, 0, &error);
    if (json == NULL || query_parse_filters(json, strlen(where), &query, &err) != 0)
        fail_msg("%s: %s", where, err_detail(&err));
    json_decref(json);
    query->scope = scope;
    query->tenant = tenant;
    bool match = query_match(query, &event);
    query_destroy(&query);
    return match;
}

#define TEST(column, op, values) "{\"column\":\"" column "\",\"op\":\"" op "\",\"values\":[" values "]}"

static void filters_hold_or_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *where;
        bool holds;
    } cases[] = {
        {"", true},
        {TEST("direction", "eq", "\"in\""), true},
        {TEST("direction", "eq", "\"out\""), false},
        {TEST("direction", "ne", "\"out\",\"relay\""), true},
        {TEST("direction", "ne", "\"out\",\"in\""), false},
        {TEST("sender", "eq", "\"ann@sender.example\""), false}, /* as Postfix wrote it */
        {TEST("sender_domain", "eq", "\"SENDER.example\""), true},
        {TEST("sender", "prefix", "\"Bob\",\"Ann@\""), true},
        {TEST("sender", "suffix", "\".org\",\".example\""), true},
        {TEST("sender", "contains", "\"nder.ex\""), true},
        {TEST("sender", "contains", "\"Ann@Sender.example.and.longer\""), false},
        {TEST("client_address", "cidr", "\"192.0.2.0/24\""), true},
        {TEST("client_address", "cidr", "\"192.0.3.0/24\",\"2001:db8::/32\""), false},
        {TEST("client_address", "in", "\"192.0.2.76\",\"192.0.2.77\""), true},
        {TEST("client_port", "range", "25000,25001"), true},
        {TEST("client_port", "range", "25001,null"), false},
        {TEST("server_port", "range", "null,25"), false}, /* absent is in no range */
        {TEST("ts", "range", "\"2026-03-01T12:00:00Z\",null"), true},
        {TEST("ts", "range", "null,\"2026-03-01T12:00:00Z\""), false},
        {TEST("first_of_message", "eq", "true"), true},
        {TEST("helo_name", "eq", "null"), true},
        {TEST("helo_name", "eq", "\"\""), true},
        {TEST("helo_name", "ne", "\"x\""), true},
        {TEST("helo_name", "ne", "\"x\",null"), false},
        {TEST("helo_name", "prefix", "\"x\""), false},
        {"{\"column\":\"helo_name\",\"op\":\"empty\"}", true},
        {"{\"column\":\"sender\",\"op\":\"empty\"}", false},
        {"{\"not\":" TEST("helo_name", "prefix", "\"x\"") "}", true},
        {TEST("direction", "eq", "\"in\"") "," TEST("stage", "eq", "\"DATA\""), false},
        {"{\"or\":[" TEST("stage", "eq", "\"DATA\"") "," TEST("direction", "eq", "\"in\"") "]}", true},
        {"{\"or\":[" TEST("stage", "eq", "\"DATA\"") "," TEST("direction", "eq", "\"out\"") "]}", false},
        {"{\"and\":[" TEST("stage", "eq", "\"RCPT\"") ",{\"not\":{\"or\":[" TEST(
             "direction", "eq", "\"out\"") "," TEST("direction", "eq", "\"relay\"") "]}}]}",
         true},
        {"{\"not\":{\"and\":[" TEST("stage", "eq", "\"RCPT\"") "," TEST("direction", "eq", "\"in\"") "]}}",
         false},
        {"{\"or\":[{\"and\":[" TEST("stage", "eq", "\"DATA\"") "," TEST(
             "direction", "eq", "\"in\"") "]}]}," TEST("stage", "eq", "\"RCPT\""),
         false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char where[1024];
        (void)snprintf(where, sizeof where, "[%s]", cases[i].where);
        if (matches(where, QUERY_SCOPE_TENANT, 7) != cases[i].holds)
            fail_msg("%s: %d", where, !cases[i].holds);
    }
}

static void a_tenant_sees_its_own(void **state)
{
    (void)state;
    assert_true(matches("[]", QUERY_SCOPE_TENANT, 7));
    assert_false(matches("[]", QUERY_SCOPE_TENANT, 8));
    assert_false(matches("[" TEST("tenant", "eq", "7") "]", QUERY_SCOPE_TENANT, 8));
    assert_true(matches("[]", QUERY_SCOPE_ALL, 0));
    assert_false(matches("[]", QUERY_SCOPE_UNSET, 7));
}

static void what_is_no_filter_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}", "[1]", "[{\"column\":\"nothing\",\"values\":[1]}]",
                                      "[" TEST("direction", "cidr", "\"192.0.2.0/24\"") "]"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        json_error_t error;
        struct err err = {0};
        struct query *query;
        json_t *json = json_loads(bad[i], 0, &error);
        assert_int_equal(query_parse_filters(json, strlen(bad[i]), &query, &err), ERR_INVALID);
        assert_null(query);
        assert_string_not_equal(err.detail, "");
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_hold_or_do_not),
        cmocka_unit_test(a_tenant_sees_its_own),
        cmocka_unit_test(what_is_no_filter_is_refused),
    };
    return cmocka_run_group_tests_name("query/match", tests, NULL, NULL);
}
