/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of lines of JSON: what becomes an event, and what is refused why.
 */
#include "base/test.h"
#include "lines.h"
#include "policy/policy.h"

#include <stdio.h>

static struct buf request = {.limit = POLICY_REQUEST_BYTES};
static char reason[LINE_REASON_BYTES];

static int parse(const char *text, struct line *line)
{
    return line_parse(slice_of(text), line, &request, reason);
}

static void a_line_becomes_a_request(void **state)
{
    (void)state;
    struct line line;
    assert_int_equal(parse("{\"id\":{\"source\":\"mx7\",\"stream\":\"a\",\"seq\":17},"
                           "\"time\":\"1970-01-01T00:00:01.5+00:00\",\"sender\":\"\\u00e4@x\",\"size\":12,"
                           "\"queue_id\":null,\"of_tomorrow\":\"x=y\",\"recipient\":\"\"}",
                           &line),
                     0);
    assert_string_equal(line.source, "mx7");
    assert_int_equal(line.seq, 17);
    assert_int_equal(line.after, 16);
    assert_int_equal(line.ts_us, 1500000);
    assert_true(
        slice_equal(buf_slice(&request), SLICE("request=smtpd_access_policy\nsender=\xc3\xa4@x\nsize=12\n"
                                               "of_tomorrow=x=y\nrecipient=\n\n")));
}

static void streams_have_names_of_their_own(void **state)
{
    (void)state;
    static const char *const ids[] = {"{\"source\":\"a\",\"seq\":1}", "{\"source\":\"b\",\"seq\":1}",
                                      "{\"source\":\"a\",\"stream\":\"b\",\"seq\":1}",
                                      "{\"source\":\"a\",\"stream\":\"c\",\"seq\":1}",
                                      "{\"source\":\"ab\",\"stream\":\"\",\"seq\":9,\"after\":0}"};
    struct line lines[ARRAY_LENGTH(ids)], again;
    char text[256];
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
        (void)snprintf(text, sizeof text, "{\"id\":%s,\"time\":\"2026-01-01T00:00:00Z\"}", ids[i]);
        assert_int_equal(parse(text, &lines[i]), 0);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(lines[i].epoch.b, lines[k].epoch.b, sizeof lines[i].epoch.b);
    }
    assert_int_equal(lines[4].after, 0);
    assert_int_equal(
        parse("{\"time\":\"2026-01-02T00:00:00Z\",\"id\":{\"seq\":2,\"source\":\"a\",\"stream\":\"\"}}",
              &again),
        0);
    assert_memory_equal(again.epoch.b, lines[0].epoch.b, sizeof again.epoch.b);
}

#define ID   "\"id\":{\"source\":\"a\",\"seq\":1}"
#define TIME "\"time\":\"2026-01-01T00:00:00Z\""

static void what_is_no_event_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "JSON"},
        {"[]", "something else"},
        {"{", "JSON"},
        {"{} {}", "JSON"},
        {"{" TIME "}", "id is no object"},
        {"{\"id\":7," TIME "}", "id is no object"},
        {"{\"id\":{\"source\":\"a\"}," TIME "}", "id is no object"},
        {"{\"id\":{\"source\":\"a\",\"seq\":1,\"x\":1}," TIME "}", "id is no object"},
        {"{\"id\":{\"source\":\"a b\",\"seq\":1}," TIME "}", "id.source"},
        {"{\"id\":{\"source\":\"\",\"seq\":1}," TIME "}", "id.source"},
        {"{\"id\":{\"source\":\"a\",\"seq\":0}," TIME "}", "id.seq"},
        {"{\"id\":{\"source\":\"a\",\"seq\":1.5}," TIME "}", "id.seq"},
        {"{\"id\":{\"source\":\"a\",\"seq\":9223372036854775807}," TIME "}", "id.seq"},
        {"{\"id\":{\"source\":\"a\",\"seq\":5,\"after\":5}," TIME "}", "id.after"},
        {"{\"id\":{\"source\":\"a\",\"seq\":5,\"stream\":5}," TIME "}", "id.stream"},
        {"{" ID "}", "time"},
        {"{" ID ",\"time\":1}", "time"},
        {"{" ID "," TIME "," TIME "}", "JSON"},
        {"{" ID "," TIME ",\"sender\":\"a\\nrecipient=b\"}", "can't be an attribute"},
        {"{" ID "," TIME ",\"a=b\":\"c\"}", "can't be an attribute"},
        {"{" ID "," TIME ",\"a\\nb\":\"c\"}", "can't be an attribute"},
        {"{" ID "," TIME ",\"\":\"c\"}", "can't be an attribute"},
        {"{" ID "," TIME ",\"sender\":\"a\\u0000b\"}", "JSON"},
        {"{" ID "," TIME ",\"sender\":true}", "is no text"},
        {"{" ID "," TIME ",\"sender\":{}}", "is no text"},
        {"{" ID "," TIME ",\"sender\":\"\xff\"}", "JSON"},
    };
    struct line line;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(parse(cases[i].text, &line), ERR_INVALID);
        if (strstr(reason, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].text, reason);
    }
}

static void events_are_bounded(void **state)
{
    (void)state;
    struct line line;
    struct buf text = {.limit = 1 << 20};
    assert_int_equal(buf_addf(&text, "{" ID "," TIME ",\"sender\":\"%0*d\"}", 10000, 0), 0);
    assert_int_equal(line_parse(buf_slice(&text), &line, &request, reason), ERR_LIMIT);
    buf_clear(&text);
    assert_int_equal(buf_addf(&text, "{" ID "," TIME), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(buf_addf(&text, ",\"a%d\":1", i), 0);
    assert_int_equal(buf_addf(&text, "}"), 0);
    assert_int_equal(line_parse(buf_slice(&text), &line, &request, reason), ERR_LIMIT);
    buf_clear(&text);
    assert_int_equal(buf_addf(&text, "%*s", LINE_BYTES + 1, "x"), 0);
    assert_int_equal(line_parse(buf_slice(&text), &line, &request, reason), ERR_LIMIT);
    buf_fini(&text);
}

static void blank_lines_count_but_hold_nothing(void **state)
{
    (void)state;
    struct slice rest = SLICE("\n {1} \r\n\r\n\n{2}"), line;
    size_t number = 0;
    assert_true(lines_next(&rest, &number, &line));
    assert_int_equal(number, 2);
    assert_true(slice_equal(line, SLICE("{1}")));
    assert_true(lines_next(&rest, &number, &line));
    assert_int_equal(number, 5);
    assert_true(slice_equal(line, SLICE("{2}")));
    assert_false(lines_next(&rest, &number, &line));
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&request);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_becomes_a_request),
        cmocka_unit_test(streams_have_names_of_their_own),
        cmocka_unit_test(what_is_no_event_is_refused),
        cmocka_unit_test(events_are_bounded),
        cmocka_unit_test(blank_lines_count_but_hold_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
