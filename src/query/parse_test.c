/* SPDX-License-Identifier: Apache-2.0
 *
 * parse: what is taken, what is refused and with which words.
 */
#include "base/test.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW  (INT64_C(1772366400) * US_PER_SECOND) /* 2026-03-01T12:00:00Z */
#define HOUR (3600 * US_PER_SECOND)

static struct query *parsed(const char *json)
{
    struct query *query;
    struct err err = {0};
    if (query_parse(slice_of(json), NOW, &query, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    return query;
}

static void what_is_left_out_has_defaults(void **state)
{
    (void)state;
    struct query *query = parsed("{\"measures\":[\"messages\",\"requests\"]}");
    assert_int_equal(query->scope, QUERY_SCOPE_UNSET);
    assert_int_equal(query->to, NOW);
    assert_int_equal(query->from, NOW - 24 * HOUR);
    assert_int_equal(query->limit, QUERY_DEFAULT_ROWS);
    assert_int_equal(query->timeout_us, QUERY_DEFAULT_TIMEOUT_US);
    assert_int_equal(query->measure_count, 2);
    assert_int_equal(query->measures[0], MEASURE_messages);
    assert_int_equal(query->order_count, 1);
    assert_true(query->orders[0].by_measure && query->orders[0].descending && query->orders[0].index == 0);
    query_destroy(&query);
    assert_null(query);

    query = parsed("{\"measures\":[\"bytes\"],\"since\":\"2h\",\"interval\":\"5m\"}");
    assert_int_equal(query->from, NOW - 2 * HOUR);
    assert_int_equal(query->interval_us, 300 * US_PER_SECOND);
    assert_int_equal(query->limit, QUERY_BUCKETS);
    assert_true(query->orders[0].by_bucket && !query->orders[0].descending);
    query_destroy(&query);
}

/* The mode, and which columns of the answer are figures of which measures. */
static void fast_is_asked_for(void **state)
{
    (void)state;
    struct query *query = parsed("{\"measures\":[\"clients\",\"messages.share\"],\"by\":[\"direction\"],"
                                 "\"top\":3,\"rest\":true,\"mode\":\"fast\"}");
    assert_true(query->fast);
    assert_false(query_column_is_of(query, 0, 3)); /* direction */
    assert_true(query_column_is_of(query, 1, 1));
    assert_false(query_column_is_of(query, 1, 2));
    assert_true(query_column_is_of(query, 2, 2));
    assert_false(query_column_is_of(query, 3, UINT32_MAX)); /* rest */
    query_destroy(&query);
    query = parsed("{\"measures\":[\"messages\"],\"mode\":\"exact\"}");
    assert_false(query->fast);
    query_destroy(&query);
}

static void every_field_is_read(void **state)
{
    (void)state;
    struct query *query = parsed("{\"measures\":[\"messages\"],\"by\":[\"sender_domain\",\"direction\"],"
                                 "\"from\":\"2026-02-01T00:00:00Z\","
                                 "\"to\":\"2026-02-02\",\"interval\":\"1h\",\"limit\":7,"
                                 "\"order\":[{\"by\":\"messages\",\"desc\":true},{\"by\":\"direction\"},{"
                                 "\"by\":\"time\",\"desc\":false}]}");
    assert_int_equal(query->to - query->from, 24 * HOUR);
    assert_int_equal(query->limit, 7);
    assert_int_equal(query->dimension_count, 2);
    assert_int_equal(query->dimensions[1], COLUMN_direction);
    assert_int_equal(query->order_count, 3);
    assert_true(query->orders[0].by_measure && query->orders[0].descending);
    assert_true(!query->orders[1].by_measure && !query->orders[1].by_bucket && query->orders[1].index == 1);
    assert_true(query->orders[2].by_bucket);
    query_destroy(&query);
}

/* One filter; the value as text, or NULL for absent. */
static void shows_filter(const char *filter, enum column column, enum query_op op, const char *expected)
{
    char json[2048], shown[2048];
    (void)snprintf(json, sizeof json, "{\"measures\":[\"requests\"],\"where\":[%s]}", filter);
    struct query *query = parsed(json);
    assert_int_equal(query->filter_count, 1);
    assert_int_equal(query->filters[0].column, column);
    assert_int_equal(query->filters[0].op, op);
    const struct query_value *value =
        &query->values[query->filters[0].first_value + query->filters[0].value_count - 1];
    switch (event_columns[column].type) {
    case TYPE_TEXT:
        (void)snprintf(shown, sizeof shown, "%.*s", (int)value->text.n, value->text.p);
        break;
    case TYPE_IP:
        if (op == OP_CIDR)
            ip_prefix_format(&value->prefix, shown);
        else
            ip_format(&value->ip, shown);
        break;
    case TYPE_ID128:
        text_to_hex(&value->id, 16, shown);
        break;
    case TYPE_TS:
        clock_format(value->ts, shown);
        break;
    default:
        (void)snprintf(shown, sizeof shown, "%llu", (unsigned long long)value->u64);
    }
    if (expected == NULL)
        assert_true(value->absent);
    else
        assert_string_equal(shown, expected);
    query_destroy(&query);
}

static void values_take_their_columns_type(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        enum column column;
        enum query_op op;
        const char *last; /* value */
    } cases[] = {
        {"{\"column\":\"sender\",\"values\":[\"a@b.test\"]}", COLUMN_sender, OP_EQ, "a@b.test"},
        {"{\"column\":\"sender\",\"op\":\"ne\",\"values\":[\"\"]}", COLUMN_sender, OP_NE, NULL},
        {"{\"column\":\"sender\",\"op\":\"eq\",\"values\":[null]}", COLUMN_sender, OP_EQ, NULL},
        {"{\"column\":\"sender\",\"op\":\"prefix\",\"values\":[\"x\",\"\\u00e9%_'\"]}", COLUMN_sender,
         OP_PREFIX, "é%_'"},
        {"{\"column\":\"sender_domain\",\"op\":\"in\",\"values\":[\"A.Test\",\"B.TEST\"]}",
         COLUMN_sender_domain, OP_IN, "b.test"},
        {"{\"column\":\"direction\",\"op\":\"eq\",\"values\":[\"out\"]}", COLUMN_direction, OP_EQ, "2"},
        {"{\"column\":\"direction\",\"op\":\"in\",\"values\":[\"in\",null]}", COLUMN_direction, OP_IN, NULL},
        {"{\"column\":\"stage\",\"op\":\"eq\",\"values\":[\"RCPT\"]}", COLUMN_stage, OP_EQ, "5"},
        {"{\"column\":\"client_address\",\"values\":[\"2001:DB8::1\"]}", COLUMN_client_address, OP_EQ,
         "2001:db8::1"},
        {"{\"column\":\"client_address\",\"op\":\"cidr\",\"values\":[\"2001:db8::/32\",\"192.0.2.0/24\"]}",
         COLUMN_client_address, OP_CIDR, "192.0.2.0/24"},
        {"{\"column\":\"size\",\"op\":\"range\",\"values\":[10,\"18446744073709551615\"]}", COLUMN_size,
         OP_RANGE, "18446744073709551615"},
        {"{\"column\":\"size\",\"op\":\"range\",\"values\":[0,null]}", COLUMN_size, OP_RANGE, NULL},
        {"{\"column\":\"client_port\",\"values\":[65535]}", COLUMN_client_port, OP_EQ, "65535"},
        {"{\"column\":\"client_port\",\"values\":[0]}", COLUMN_client_port, OP_EQ, NULL},
        {"{\"column\":\"first_of_message\",\"values\":[true]}", COLUMN_first_of_message, OP_EQ, "1"},
        {"{\"column\":\"first_of_message\",\"values\":[\"false\"]}", COLUMN_first_of_message, OP_EQ, "0"},
        {"{\"column\":\"epoch\",\"values\":[\"000102030405060708090A0B0C0D0E0F\"]}", COLUMN_epoch, OP_EQ,
         "000102030405060708090a0b0c0d0e0f"},
        {"{\"column\":\"sender\",\"op\":\"suffix\",\"values\":[\".org\"]}", COLUMN_sender, OP_SUFFIX, ".org"},
        {"{\"column\":\"sender_domain\",\"op\":\"contains\",\"values\":[\"A.b\"]}", COLUMN_sender_domain,
         OP_CONTAINS, "a.b"},
        {"{\"column\":\"hub_ts\",\"op\":\"range\",\"values\":[\"2026-02-01\",\"2026-02-01T02:00:00+01:00\"]}",
         COLUMN_hub_ts, OP_RANGE, "2026-02-01T01:00:00.000000Z"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        shows_filter(cases[i].filter, cases[i].column, cases[i].op, cases[i].last);
}

static void refused(const char *json, int code, const char *words)
{
    struct query *query;
    struct err err = {0};
    int rc = query_parse(slice_of(json), NOW, &query, &err);
    if (rc != code || query != NULL)
        fail_msg("%s: %s, not %s", json, err_name(rc), err_name(code));
    if (strstr(err.detail, words) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", json, err.detail, words);
    for (const char *p = err.detail; *p != '\0'; p++)
        assert_true((unsigned char)*p >= ' ');
}

#define M "{\"measures\":[\"requests\"],"
#define W M "\"where\":[{\"column\":"

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
        int code;
    } cases[] = {
        {"", "not JSON", ERR_INVALID},
        {"[]", "JSON object", ERR_INVALID},
        {"{} x", "not JSON", ERR_INVALID},
        {"{\"measures\":[\"requests\"],\"measures\":[\"bytes\"]}", "not JSON", ERR_INVALID},
        {"{}", "measures: missing", ERR_INVALID},
        {"{\"measures\":[]}", "measures: an array of 1", ERR_INVALID},
        {"{\"measures\":\"requests\"}", "measures: an array", ERR_INVALID},
        {"{\"measures\":[\"rows\"]}", "'rows' is none of requests, messages", ERR_INVALID},
        {"{\"measures\":[\"bytes\",\"bytes\"]}", "asked for twice", ERR_INVALID},
        {"{\"measures\":[1]}", "measures[0]", ERR_INVALID},
        {M "\"tenant\":7}", "'tenant' is not a field; the fields are measures, by", ERR_INVALID},
        {M "\"a\\nb\":7}", "'a?b' is not a field", ERR_INVALID},
        {M "\"scope\":\"all\"}", "'scope' is not a field", ERR_INVALID},
        {M "\"by\":[\"nothing\"]}", "by[0]: 'nothing' is not a column; the columns are tenant edge",
         ERR_INVALID},
        {M "\"by\":[\"edge\",\"edge\"]}", "twice", ERR_INVALID},
        {M "\"by\":[\"edge\",\"tenant\",\"sender\",\"stage\",\"size\"]}", "by: an array of 0 to 4",
         ERR_LIMIT},
        {"{\"measures\":[\"recipients\"],\"by\":[\"recipients\"]}", "same name", ERR_INVALID},
        {W "\"sender\"}]}", "where[0]: an object of exactly", ERR_INVALID},
        {W "\"sender\",\"values\":[\"a\"],\"x\":1}]}", "where[0]: an object of exactly", ERR_INVALID},
        {W "\"sender\",\"op\":\"like\",\"values\":[\"a\"]}]}",
         "'like' does not fit sender, which takes eq, ne, in, prefix", ERR_INVALID},
        {W "\"sender\",\"op\":\"cidr\",\"values\":[\"a\"]}]}", "'cidr' does not fit sender", ERR_INVALID},
        {W "\"size\",\"op\":\"prefix\",\"values\":[\"a\"]}]}", "which takes eq, ne, in, range", ERR_INVALID},
        {W "\"direction\",\"op\":\"range\",\"values\":[\"in\",\"out\"]}]}", "'range' does not fit",
         ERR_INVALID},
        {W "\"sender\",\"op\":\"eq\",\"values\":[\"a\",\"b\"]}]}", "eq takes one value", ERR_INVALID},
        {W "\"sender\",\"op\":\"in\",\"values\":[]}]}", "at least one", ERR_INVALID},
        {W "\"size\",\"op\":\"range\",\"values\":[1]}]}", "two values", ERR_INVALID},
        {W "\"size\",\"op\":\"range\",\"values\":[5,5]}]}", "first must be below", ERR_INVALID},
        {W "\"ts\",\"op\":\"range\",\"values\":[\"2026-02-01\",\"2026-02-01T01:00:00+01:00\"]}]}",
         "first must be below", ERR_INVALID},
        {W "\"size\",\"op\":\"range\",\"values\":[null,null]}]}", "first must be below", ERR_INVALID},
        {W "\"size\",\"values\":[-1]}]}", "where[0].values[0]: size takes a number from 0", ERR_INVALID},
        {W "\"size\",\"values\":[1.5]}]}", "size takes a number", ERR_INVALID},
        {W "\"client_port\",\"values\":[65536]}]}", "0 to 65535", ERR_INVALID},
        {W "\"client_address\",\"values\":[\"mail.test\"]}]}", "an IPv4 or IPv6 address", ERR_INVALID},
        {W "\"client_address\",\"op\":\"cidr\",\"values\":[\"192.0.2.1/24\"]}]}", "host bits 0", ERR_INVALID},
        {W "\"epoch\",\"values\":[\"00\"]}]}", "32 hexadecimal digits", ERR_INVALID},
        {W "\"direction\",\"values\":[\"inbound\"]}]}", "in, out, internal, relay or unknown", ERR_INVALID},
        {W "\"stage\",\"values\":[\"rcpt\"]}]}", "CONNECT, HELO", ERR_INVALID},
        {W "\"tenant\",\"values\":[null]}]}", "never absent", ERR_INVALID},
        {W "\"sender\",\"op\":\"prefix\",\"values\":[\"\"]}]}", "empty prefix", ERR_INVALID},
        {W "\"sender\",\"op\":\"prefix\",\"values\":[null]}]}", "never absent", ERR_INVALID},
        {W "\"sender\",\"op\":\"contains\",\"values\":[\"\"]}]}", "empty text", ERR_INVALID},
        {W "\"sender\",\"op\":\"empty\",\"values\":[\"a\"]}]}", "empty takes none", ERR_INVALID},
        {W "\"tenant\",\"op\":\"empty\"}]}", "'empty' does not fit tenant", ERR_INVALID},
        {W "\"size\",\"op\":\"suffix\",\"values\":[\"1\"]}]}", "'suffix' does not fit size", ERR_INVALID},
        {M "\"where\":[{\"and\":[]}]}", "where[0].and: an array of at least one", ERR_INVALID},
        {M "\"where\":[{\"or\":{}}]}", "where[0].or: an array", ERR_INVALID},
        {M "\"where\":[{\"not\":[]}]}", "where[0].not: an object", ERR_INVALID},
        {M "\"where\":[{\"and\":[],\"or\":[]}]}", "where[0]: an object of exactly column", ERR_INVALID},
        {M "\"where\":[{\"not\":{\"or\":[{\"column\":\"size\",\"values\":[\"x\"]}]}}]}",
         "where[0].not.or[0].values[0]: size takes a number", ERR_INVALID},
        {M "\"where\":{}}", "where: an array", ERR_INVALID},
        {M "\"from\":\"yesterday\"}", "from: a time as in RFC 3339", ERR_INVALID},
        {M "\"from\":\"2026-03-02\"}", "from must be before to", ERR_INVALID},
        {M "\"from\":\"0002-03-02\"}", "1970", ERR_INVALID},
        {M "\"from\":\"2026-02-02\",\"since\":\"1h\"}", "since or from, not both", ERR_INVALID},
        {M "\"since\":\"1500ms\"}", "since: a duration of whole seconds", ERR_INVALID},
        {M "\"since\":60}", "since: a duration", ERR_INVALID},
        {M "\"interval\":\"0s\"}", "interval: a duration of whole seconds", ERR_INVALID},
        {M "\"interval\":\"7s\"}", "divide a day", ERR_INVALID},
        {M "\"interval\":\"36h\"}", "whole days", ERR_INVALID},
        {M "\"interval\":\"1s\"}", "more than 10000 buckets", ERR_LIMIT},
        {M "\"order\":[{\"by\":\"bytes\"}]}", "order[0].by: 'bytes' is not in the answer", ERR_INVALID},
        {M "\"order\":[{\"by\":\"time\"}]}", "time with an interval", ERR_INVALID},
        {M "\"order\":[{\"by\":\"requests\",\"desc\":1}]}", "order[0]: an object of by", ERR_INVALID},
        {M "\"totals\":1}", "totals: true or false", ERR_INVALID},
        {M "\"fill\":true}", "fill: with an interval", ERR_INVALID},
        {M "\"fill\":true,\"interval\":\"1h\",\"by\":[\"edge\"]}", "with top where", ERR_INVALID},
        {M "\"fill\":true,\"interval\":\"1h\",\"order\":[{\"by\":\"requests\"}]}", "order of time",
         ERR_INVALID},
        {M "\"top\":0,\"by\":[\"edge\"]}", "top: a whole number from 1 to 100", ERR_INVALID},
        {M "\"top\":101,\"by\":[\"edge\"]}", "top: a whole number from 1 to 100", ERR_LIMIT},
        {M "\"top\":5}", "columns in by", ERR_INVALID},
        {M "\"rest\":true}", "rest: only with top", ERR_INVALID},
        {"{\"measures\":[\"requests.half\"]}", "nor one of them with .share", ERR_INVALID},
        {"{\"measures\":[\"bytes.share\",\"bytes.share\"]}", "bytes.share is asked for twice", ERR_INVALID},
        {M "\"limit\":0}", "limit: a whole number from 1 to 100000", ERR_INVALID},
        {M "\"limit\":100001}", "limit: a whole number", ERR_LIMIT},
        {M "\"limit\":\"9\"}", "limit: a whole number", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        refused(cases[i].json, cases[i].code, cases[i].words);
}

#define N "{\"not\":"

/* {"or":[a, {"not":{"and":[b, c]}}]} and d. */
static void groups_nest(void **state)
{
    (void)state;
    static const struct {
        enum filter_kind kind;
        size_t span;
        enum column column;
    } expected[] = {
        {FILTER_OR, 5, 0},
        {FILTER_TEST, 0, COLUMN_edge},
        {FILTER_NOT, 3, 0},
        {FILTER_AND, 2, 0},
        {FILTER_TEST, 0, COLUMN_sender},
        {FILTER_TEST, 0, COLUMN_size},
        {FILTER_TEST, 0, COLUMN_helo_name},
    };
    struct query *query = parsed(M "\"where\":[{\"or\":[{\"column\":\"edge\",\"values\":[\"a\"]}," N
                                   "{\"and\":[{\"column\":\"sender\",\"op\":\"empty\"},"
                                   "{\"column\":\"size\",\"values\":[9]}]}}]},"
                                   "{\"column\":\"helo_name\",\"op\":\"empty\",\"values\":[]}]}");
    assert_int_equal(query->filter_count, ARRAY_LENGTH(expected));
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
        assert_int_equal(query->filters[i].kind, expected[i].kind);
        assert_int_equal(query->filters[i].span, expected[i].span);
        assert_int_equal(query->filters[i].column, expected[i].column);
    }
    assert_true(query_about_events(query)); /* size, however deep */
    struct query_condition condition;
    assert_int_equal(query_condition_at(query, 0, &condition), 6);
    assert_int_equal(condition.first, 1);
    assert_int_equal(condition.end, 6);
    assert_int_equal(query_condition_at(query, 6, &condition), 7);
    assert_int_equal(condition.op, OP_EMPTY);
    query_destroy(&query);
}

/* head, then part count times with commas, then tail. */
static char *repeated(const char *head, const char *part, size_t count, const char *tail)
{
    char *text = malloc(strlen(head) + count * (strlen(part) + 1) + strlen(tail) + 1);
    assert_non_null(text);
    char *at = stpcpy(text, head);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *at++ = ',';
        at = stpcpy(at, part);
    }
    (void)stpcpy(at, tail);
    return text;
}

static void everything_is_bounded(void **state)
{
    (void)state;
    char *text = repeated(W "\"sender\",\"op\":\"in\",\"values\":[", "\"a\"", QUERY_VALUES + 1, "]}]}");
    refused(text, ERR_LIMIT, "at most 1000 values");
    free(text);
    text = repeated(M "\"where\":[", "{\"column\":\"edge\",\"values\":[\"a\"]}", QUERY_FILTERS + 1, "]}");
    refused(text, ERR_LIMIT, "at most 64 filters");
    free(text);
    text = strdup(M "\"where\":[" N N N N N N N "{\"column\":\"edge\",\"values\":[\"a\"]}}}}}}}}]}");
    refused(text, ERR_LIMIT, "at most 6 groups within each other");
    free(text);
    text = repeated(W "\"sender\",\"values\":[\"", "aaaaaaaaaaaaaaa", 65, "\"]}]}");
    refused(text, ERR_LIMIT, "at most 1024 bytes");
    free(text);
    text = repeated(M "\"x\":[", "1234567", QUERY_JSON_BYTES / 8, "]}");
    refused(text, ERR_LIMIT, "at most 262144");
    free(text);
    text = repeated(M "\"where\":", "[", 50000, "");
    for (char *p = text; *p != '\0'; p++)
        *p = *p == ',' && p > text + 40 ? '[' : *p;
    refused(text, ERR_INVALID, "not JSON");
    free(text);
    text = repeated(W "\"sender\",\"op\":\"in\",\"values\":[", "\"aaaaaaaa\"", QUERY_VALUES, "]}]}");
    struct query *query = parsed(text); /* the bound itself is taken */
    assert_int_equal(query->value_count, QUERY_VALUES);
    query_destroy(&query);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(fast_is_asked_for),
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(values_take_their_columns_type),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(everything_is_bounded),
        cmocka_unit_test(groups_nest),
    };
    return cmocka_run_group_tests_name("query/parse", tests, NULL, NULL);
}
