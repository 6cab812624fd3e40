/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_test: a file that an earlier release made and filled (argument 1: its statements, as sqlite3's .dump
 * wrote them) is brought forward, and is then the same as a new one with the same content.
 */
#include "base/test.h"
#include "db.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_BYTES = 32768 };

static const char *before;
static char dir[] = "/tmp/schema-test-XXXXXX", path[64], fresh_path[64];

static void read_statements(char sql[TEXT_BYTES])
{
    FILE *file = fopen(before, "r");
    assert_non_null(file);
    size_t n = fread(sql, 1, TEXT_BYTES - 1, file);
    assert_true(n > 0 && n < TEXT_BYTES - 1);
    sql[n] = '\0';
    assert_int_equal(fclose(file), 0);
}

static void make_before(void)
{
    static char sql[TEXT_BYTES];
    sqlite3 *db;
    char *why = NULL;
    read_statements(sql);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", before, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static struct account *open_file(const char *name)
{
    struct account *a = NULL;
    struct err err = {0};
    if (account_open(&a, name, &err) != 0)
        fail_msg("%s: %s", name, err_detail(&err));
    return a;
}

static int integer(struct account *a, const char *sql)
{
    int64_t value = -1;
    assert_int_equal(db_integer(a, &value, NULL, sql, NULL, 0), 0);
    return (int)value;
}

/* All tables, indexes and triggers, as text. */
static void describe(struct account *a, char out[TEXT_BYTES])
{
    sqlite3_stmt *stmt;
    size_t n = 0;
    assert_int_equal(db_begin(a, &stmt, NULL,
                              "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name", NULL,
                              0),
                     0);
    while (db_step(a, stmt, NULL) == 0)
        n += (size_t)snprintf(out + n, TEXT_BYTES - n, "%s: %s\n", db_text(stmt, 0), db_text(stmt, 1));
    db_end(a, stmt);
    assert_true(n > 0 && n < TEXT_BYTES);
}

static void it_becomes_what_a_new_file_is(void **state)
{
    (void)state;
    static char fresh[TEXT_BYTES], brought[TEXT_BYTES];
    struct account *a = open_file(fresh_path), *b = open_file(path);
    describe(a, fresh);
    describe(b, brought);
    assert_string_equal(brought, fresh);
    assert_int_equal(integer(b, "PRAGMA user_version"), integer(a, "PRAGMA user_version"));
    account_close(&a);
    account_close(&b);
}

static int describe_edge(void *arg, const struct account_edge *edge)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 256 - n, "%u %s %c %lld;", edge->tenant, edge->id, edge->curve_key[0],
                   (long long)edge->first_seen_us);
    return 0;
}

static void expect_edges(struct account *a, const char *expected)
{
    char text[256] = "";
    assert_int_equal(account_edge_list(a, 0, describe_edge, text, NULL), 0);
    assert_string_equal(text, expected);
}

static void its_pins_and_limits_hold(void **state)
{
    (void)state;
    static const char key_1[] = "1111111111111111111111111111111111111111";
    static const char key_2[] = "2222222222222222222222222222222222222222";
    struct account *a = open_file(path);
    expect_edges(a, "1 mx1 1 1700000000000001;1 mx2 2 1700000000000002;2 mx3 3 1700000000000003;");
    assert_int_equal(account_edge_pin(a, 1, "mx1", key_2, 4, NULL), ERR_DENIED);
    assert_int_equal(account_edge_pin(a, 1, "mx1", key_1, 4, NULL), 0);
    assert_int_equal(account_edge_pin(a, 2, "mx1", key_2, 5, NULL), 0); /* the other tenant's own */
    assert_int_equal(integer(a, "SELECT n FROM tally WHERE what = 'edge'"), 4);
    assert_int_equal(db_script(a, "UPDATE tally SET n = 1000000 WHERE what = 'edge'", NULL), 0);
    assert_int_equal(account_edge_pin(a, 2, "mx4", key_2, 6, NULL), ERR_LIMIT);
    int version = integer(a, "SELECT rule_version FROM tenant WHERE id = 2");
    struct account_domain domain = {2, "new.example", DOMAIN_OWN, false};
    assert_int_equal(account_domain_add(a, &domain, NULL), 0);
    assert_int_equal(integer(a, "SELECT rule_version FROM tenant WHERE id = 2"), version + 1);
    assert_int_equal(account_tenant_remove(a, 1, NULL), 0);
    account_close(&a);
    a = open_file(path); /* once is enough */
    expect_edges(a, "2 mx1 2 5;2 mx3 3 1700000000000003;");
    account_close(&a);
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    before = argv[1];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/before", dir);
    (void)snprintf(fresh_path, sizeof fresh_path, "%s/fresh", dir);
    make_before();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_becomes_what_a_new_file_is),
        cmocka_unit_test(its_pins_and_limits_hold),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    (void)unlink(fresh_path);
    return failed + (rmdir(dir) != 0);
}
