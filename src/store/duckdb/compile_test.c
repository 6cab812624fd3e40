/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: no read of events lacks its tenant, and nothing from outside stands in the text.
 */
#include "base/test.h"
#include "store/duckdb/compile.h"
#include "store/duckdb/fast.h"
#include "store/duckdb/list.h"

#include <stdio.h>
#include <stdlib.h>

static struct query *parsed(const char *json)
{
    struct query *query;
    struct err err = {0};
    if (query_parse(slice_of(json), 86400 * US_PER_SECOND * 10, &query, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    query->scope = QUERY_SCOPE_TENANT;
    query->tenant = 77;
    return query;
}

static const char *const parts[] = {"p1g1", "p2g3"};

static size_t count_words(const char *text, const char *words)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at += strlen(words))
        count++;
    return count;
}

/* clang-format off */
static const char *const questions[] = {
    "{\"measures\":[\"requests\"]}",
    "{\"measures\":[\"messages\",\"bytes\"]}",
    "{\"measures\":[\"bytes\"],\"by\":[\"direction\"]}",
    "{\"measures\":[\"bytes\",\"clients\"],\"by\":[\"stage\",\"tenant\"],\"interval\":\"1h\"}",
    "{\"measures\":[\"bytes\"],\"where\":[{\"column\":\"tenant\",\"op\":\"ne\",\"values\":[77]}]}",
    "{\"measures\":[\"bytes\"],\"where\":[{\"or\":[{\"column\":\"tenant\",\"values\":[1]},{\"not\":{\"column\":\"tenant\",\"values\":[77]}}]}]}",
    "{\"measures\":[\"bytes\"],\"by\":[\"recipient\"],\"where\":[{\"column\":\"tenant\",\"op\":\"in\",\"values\":[1,2]}]}",
};
/* clang-format on */

static const char read[] = "FROM events", with[] = "FROM events WHERE true AND (tenant IN ($";

/* Every "FROM events" goes on with a condition on tenant bound to 77; beside them there is only what says
 * that events are the rows of all parts. */
static void each_read_has_its_tenant(const struct statement *statement)
{
    static const char all[] =
        "WITH events AS NOT MATERIALIZED (SELECT * FROM p1g1.events UNION ALL SELECT * FROM p2g3.events)";
    const char *sql = statement->sql.p;
    assert_true(count_words(sql, read) >= 1);
    assert_memory_equal(sql, all, strlen(all));
    if (count_words(sql + strlen(all), "events") != count_words(sql, with))
        fail_msg("%s", sql);
    for (const char *at = sql; (at = strstr(at, with)) != NULL; at += sizeof with) {
        size_t param = strtoul(at + sizeof with - 1, NULL, 10);
        assert_in_range(param, 1, statement->param_count);
        assert_int_equal(statement->params[param - 1].u64, 77);
        assert_memory_equal(strchr(at + sizeof with - 1, ')'), ")) AND (ts >= $",
                            15); /* nothing beside it, no OR */
    }
}

static void every_read_has_its_tenant(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(questions); i++) {
        struct query *query = parsed(questions[i]);
        struct statement statement;
        assert_int_equal(compile(query, parts, 2, &statement, NULL), 0);
        each_read_has_its_tenant(&statement);
        statement_fini(&statement);
        query->scope = QUERY_SCOPE_ALL;
        assert_int_equal(compile(query, parts, 2, &statement, NULL), 0);
        assert_int_equal(count_words(statement.sql.p, with), 0);
        statement_fini(&statement);
        query->scope = QUERY_SCOPE_UNSET;
        assert_int_equal(compile(query, parts, 2, &statement, NULL), ERR_DENIED);
        assert_null(statement.sql.p);
        query_destroy(&query);
    }
}

/* Lists too, and each search for the messages of which an event fits. */
static void every_read_of_a_list_has_its_tenant(void **state)
{
    (void)state;
    struct query *query =
        parsed("{\"measures\":[\"requests\"],\"where\":[{\"column\":\"recipient\",\"values\":["
               "\"OUTSIDE\"]},{\"column\":\"tenant\",\"values\":[1]},{\"column\":\"size\","
               "\"op\":\"ne\",\"values\":[4711]},{\"not\":{\"column\":\"stage\",\"values\":["
               "\"RCPT\"]}}]}");
    for (int i = 0; i < 4; i++) {
        struct statement statement;
        struct store_scan scan = {.query = query,
                                  .messages = i == 0,
                                  .descending = i < 2,
                                  .order = i == 3 ? STORE_BY_LOADING : STORE_BY_TIME,
                                  .limit = 10,
                                  .resumes = i > 0,
                                  .after = {.edge = SLICE("OUTSIDE")}};
        assert_int_equal(list_compile(&scan, parts, 2, &statement, NULL), 0);
        each_read_has_its_tenant(&statement);
        assert_int_equal(count_words(statement.sql.p, read), i == 0 ? 4 : 1);
        assert_null(strstr(statement.sql.p, "OUTSIDE"));
        assert_null(strstr(statement.sql.p, "4711"));
        statement_fini(&statement);
        query->scope = QUERY_SCOPE_UNSET;
        assert_int_equal(list_compile(&scan, parts, 2, &statement, NULL), ERR_DENIED);
        query->scope = QUERY_SCOPE_TENANT;
    }
    query_destroy(&query);
}

static void what_comes_from_outside_is_bound(void **state)
{
    (void)state;
    struct query *query =
        parsed("{\"measures\":[\"messages\"],\"by\":[\"sender\"],\"where\":["
               "{\"column\":\"sender\",\"op\":\"in\",\"values\":[\"OUTSIDE'; --\",null]},"
               "{\"column\":\"sender\",\"op\":\"ne\",\"values\":[\"OUTSIDE\",\"b\"]},"
               "{\"column\":\"recipient\",\"op\":\"prefix\",\"values\":[\"OUTSIDE%\"]},"
               "{\"column\":\"client_address\",\"op\":\"cidr\",\"values\":[\"192.0.2.0/24\"]},"
               "{\"column\":\"size\",\"op\":\"range\",\"values\":[4711,null]},"
               "{\"column\":\"direction\",\"values\":[\"in\"]}]}");
    struct statement statement;
    assert_int_equal(compile(query, parts, 2, &statement, NULL), 0);
    const char *sql = statement.sql.p;
    assert_null(strstr(sql, "OUTSIDE"));
    assert_null(strstr(sql, "4711"));
    assert_null(strstr(sql, "192"));
    assert_non_null(strstr(sql, "(sender IN ($4) OR sender IS NULL)"));
    assert_non_null(strstr(sql, "(sender NOT IN ($5, $6) OR sender IS NULL)"));
    assert_non_null(strstr(sql, "(starts_with(recipient, $7))"));
    assert_non_null(strstr(sql, "(client_address BETWEEN $8 AND $9)"));
    assert_non_null(strstr(sql, "(size >= $10)"));
    assert_non_null(strstr(sql, "(direction IN ($11))"));
    assert_int_equal(statement.param_count, 11);
    statement_fini(&statement);
    query_destroy(&query);
}

static void groups_keep_to_themselves(void **state)
{
    (void)state;
    struct query *query =
        parsed("{\"measures\":[\"requests\"],\"where\":[{\"or\":[{\"column\":\"size\",\"values\":[4711]},{"
               "\"not\":{\"and\":["
               "{\"column\":\"sender\",\"op\":\"suffix\",\"values\":[\"OUTSIDE\",\"b\"]},"
               "{\"column\":\"helo_name\",\"op\":\"contains\",\"values\":[\"OUTSIDE\"]}]}}]},"
               "{\"column\":\"sender\",\"op\":\"empty\"},{\"column\":\"size\",\"op\":\"empty\"}]}");
    struct statement statement;
    assert_int_equal(compile(query, parts, 2, &statement, NULL), 0);
    const char *sql = statement.sql.p;
    assert_null(strstr(sql, "OUTSIDE"));
    assert_non_null(
        strstr(sql, " AND ((size IN ($4)) OR (NOT coalesce(((suffix(sender, $5) OR suffix(sender, $6)) "
                    "AND (contains(helo_name, $7))), false))) AND (sender IS NULL OR sender = '') AND "
                    "(size IS NULL)"));
    statement_fini(&statement);
    query_destroy(&query);
}

static void a_thousand_values_fit(void **state)
{
    (void)state;
    struct buf json;
    buf_init(&json, 1 << 20);
    assert_int_equal(buf_addf(&json, "{\"measures\":[\"bytes\"],\"where\":[{\"column\":\"client_address\","
                                     "\"op\":\"cidr\",\"values\":["),
                     0);
    for (unsigned i = 0; i < QUERY_VALUES; i++)
        assert_int_equal(buf_addf(&json, "%s\"10.%u.%u.0/24\"", i > 0 ? "," : "", i / 256, i % 256), 0);
    assert_int_equal(buf_addf(&json, "]}]}"), 0);
    assert_int_equal(buf_add(&json, "", 1), 0);
    struct query *query = parsed(json.p);
    struct statement statement;
    assert_int_equal(compile(query, parts, 2, &statement, NULL), 0);
    assert_int_equal(statement.param_count, 2 * QUERY_VALUES + 3 + 4);
    statement_fini(&statement);
    query_destroy(&query);
    buf_fini(&json);
}

/* Of a fast question, every read of events and of roll-ups. */
static void every_read_of_a_fast_question_has_its_tenant(void **state)
{
    (void)state;
    static const char *const fast[] = {
        "{\"measures\":[\"messages\",\"bytes\",\"clients\"],\"by\":[\"direction\"],\"since\":\"96h\"}",
        "{\"measures\":[\"messages\"],\"by\":[\"sender\"],\"interval\":\"1d\",\"since\":\"96h\"}",
    };
    static const char *const names[] = {"p1g1"};
    for (size_t i = 0; i < ARRAY_LENGTH(fast); i++) {
        struct query *query = parsed(fast[i]);
        struct statement statement;
        struct fast_plan plan = {.sketches = i == 0, .count = 3};
        int64_t hour = ROLLUP_HOUR_US;
        assert_true(rollup_answers(query, &plan.cube));
        for (size_t k = 0; k < plan.count; k++)
            plan.spans[k] =
                (struct fast_span){k == 0   ? FAST_EVENTS
                                   : k == 1 ? FAST_HOURS
                                            : FAST_DAYS,
                                   query->from + (int64_t)k * hour, query->from + (int64_t)(k + 1) * hour};
        assert_int_equal(fast_sql(names, 1, query, &plan, &statement, NULL), 0);
        const char *sql = statement.sql.p, condition[] = " WHERE true AND (tenant IN ($";
        size_t reads = count_words(sql, "FROM events WHERE") + count_words(sql, " FROM rollups.");
        assert_true(reads >= 3);
        assert_int_equal(count_words(sql, condition), reads);
        assert_int_equal(count_words(sql, "events"),
                         count_words(sql, "FROM events WHERE true") + 2); /* its parts */
        for (size_t k = 0; k < statement.param_count; k++)
            if (statement.params[k].type == TYPE_U32)
                assert_int_equal(statement.params[k].u64, 77);
        statement_fini(&statement);
        query_destroy(&query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_read_of_a_fast_question_has_its_tenant),
        cmocka_unit_test(every_read_has_its_tenant),
        cmocka_unit_test(every_read_of_a_list_has_its_tenant),
        cmocka_unit_test(what_comes_from_outside_is_bound),
        cmocka_unit_test(groups_keep_to_themselves),
        cmocka_unit_test(a_thousand_values_fit),
    };
    return cmocka_run_group_tests_name("store/compile", tests, NULL, NULL);
}
