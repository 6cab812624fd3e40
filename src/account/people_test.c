/* SPDX-License-Identifier: Apache-2.0
 *
 * people_test: who may log in, and how long a session lasts.
 */
#include "account.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/people-test-XXXXXX", path[64];
static struct account *a;

#define HOUR INT64_C(3600000000)
static const struct account_session_limits limits = {.idle_us = HOUR, .lifetime_us = 24 * HOUR};
static const int64_t began = INT64_C(1700000000000000);

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    if (account_open(&a, path, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    account_close(&a);
    return unlink(path);
}

static int check(const char *name, const char *password)
{
    uint32_t id;
    return account_user_check(a, name, slice_of(password), &id, NULL);
}

static int count_user(void *arg, const struct account_user *user)
{
    (void)user;
    ++*(int *)arg;
    return 0;
}

static void passwords_are_checked(void **state)
{
    (void)state;
    int users = 0;
    char long_one[ACCOUNT_PASSWORD_MAX + 2];
    assert_int_equal(account_user_add(a, "Alice", "correct horse battery", NULL), 0);
    assert_int_equal(account_user_add(a, "alice", "another password", NULL), ERR_EXISTS);
    assert_int_equal(account_user_add(a, "b b", "another password", NULL), ERR_INVALID);
    assert_int_equal(account_user_add(a, "bob", "too short", NULL), ERR_INVALID);
    assert_int_equal(account_user_add(a, "bob", "not \xff utf-8 at all", NULL), ERR_INVALID);
    memset(long_one, 'x', sizeof long_one);
    long_one[sizeof long_one - 1] = '\0';
    assert_int_equal(account_user_add(a, "bob", long_one, NULL), ERR_INVALID);
    long_one[sizeof long_one - 2] = '\0';
    assert_int_equal(account_user_add(a, "bob", long_one, NULL), 0);
    assert_int_equal(check("bob", long_one), 0);
    assert_int_equal(check("alice", "correct horse battery"), 0);
    assert_int_equal(check("alice", "correct horse batterz"), ERR_UNAUTHENTICATED);
    assert_int_equal(check("alice", ""), ERR_UNAUTHENTICATED);
    assert_int_equal(check("nobody", "correct horse battery"), ERR_UNAUTHENTICATED);
    assert_int_equal(check("nobody", "no password at all"), ERR_UNAUTHENTICATED);
    assert_int_equal(check("", ""), ERR_UNAUTHENTICATED);
    assert_int_equal(account_user_list(a, count_user, &users, NULL), 0);
    assert_int_equal(users, 2);
}

static void somebody_stays(void **state)
{
    (void)state;
    assert_int_equal(account_user_add(a, "alice", "correct horse battery", NULL), 0);
    assert_int_equal(account_user_remove(a, "nobody", NULL), ERR_NOT_FOUND);
    assert_int_equal(account_user_remove(a, "alice", NULL), ERR_CONFLICT);
    assert_int_equal(check("alice", "correct horse battery"), 0);
    assert_int_equal(account_user_add(a, "bob", "correct horse battery", NULL), 0);
    assert_int_equal(account_user_remove(a, "ALICE", NULL), 0);
    assert_int_equal(check("alice", "correct horse battery"), ERR_UNAUTHENTICATED);
}

static void made_passwords_differ_and_are_taken(void **state)
{
    (void)state;
    char one[ACCOUNT_PASSWORD_BYTES], other[ACCOUNT_PASSWORD_BYTES];
    account_password_make(one);
    account_password_make(other);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), 24);
    assert_int_equal(account_user_add(a, "alice", one, NULL), 0);
    assert_int_equal(check("alice", one), 0);
    assert_int_equal(check("alice", other), ERR_UNAUTHENTICATED);
}

static uint32_t make_user(const char *name)
{
    uint32_t id = 0;
    assert_int_equal(account_user_add(a, name, "correct horse battery", NULL), 0);
    assert_int_equal(account_user_check(a, name, SLICE("correct horse battery"), &id, NULL), 0);
    return id;
}

static void begin(uint32_t user, int64_t now_us, char token[ACCOUNT_TOKEN_BYTES])
{
    struct ip from;
    assert_int_equal(ip_parse(SLICE("192.0.2.7"), &from), 0);
    assert_int_equal(account_session_begin(a, user, &from, now_us, token, NULL), 0);
}

static int look(const char *token, int64_t now_us)
{
    struct account_session session;
    return account_session_check(a, slice_of(token), &limits, now_us, &session, NULL);
}

static void a_session_ends_when_idle_and_in_any_case(void **state)
{
    (void)state;
    char token[ACCOUNT_TOKEN_BYTES], idle[ACCOUNT_TOKEN_BYTES];
    struct account_session session;
    uint32_t user = make_user("alice");
    begin(user, began, token);
    begin(user, began, idle);
    assert_string_not_equal(token, idle);
    assert_int_equal(strlen(token), 43);
    assert_int_equal(account_session_check(a, slice_of(token), &limits, began, &session, NULL), 0);
    assert_string_equal(session.user_name, "alice");
    assert_int_equal(session.user, user);
    for (int64_t now = began; now < began + 24 * HOUR; now += HOUR - 1)
        assert_int_equal(look(token, now), 0);
    assert_int_equal(look(token, began + 24 * HOUR - 1), 0);
    assert_int_equal(look(token, began + 24 * HOUR), ERR_UNAUTHENTICATED);
    assert_int_equal(look(idle, began + HOUR + ACCOUNT_SEEN_US), ERR_UNAUTHENTICATED);
    assert_int_equal(look("", began), ERR_UNAUTHENTICATED);
    token[0] ^= 1;
    assert_int_equal(look(token, began), ERR_UNAUTHENTICATED);
}

static int collect(void *arg, const struct account_session *session)
{
    char *text = arg;
    (void)snprintf(text + strlen(text), 64, "%u ", session->id);
    return 0;
}

static void expect_sessions(uint32_t user, const char *ids)
{
    char text[8192] = "";
    assert_int_equal(account_session_list(a, user, &limits, began, collect, text, NULL), 0);
    assert_string_equal(text, ids);
}

static void sessions_end_one_by_one_and_together(void **state)
{
    (void)state;
    char mine[3][ACCOUNT_TOKEN_BYTES], other[ACCOUNT_TOKEN_BYTES];
    uint32_t alice = make_user("alice"), bob = make_user("bob");
    for (size_t i = 0; i < 3; i++)
        begin(alice, began, mine[i]);
    begin(bob, began, other);
    expect_sessions(alice, "3 2 1 ");
    assert_int_equal(account_session_end(a, alice, 4, NULL), ERR_NOT_FOUND); /* bob's */
    assert_int_equal(account_session_end(a, alice, 2, NULL), 0);
    assert_int_equal(look(mine[1], began), ERR_UNAUTHENTICATED);
    assert_int_equal(look(mine[0], began), 0);
    assert_int_equal(account_session_end(a, alice, 0, NULL), 0);
    expect_sessions(alice, "");
    expect_sessions(bob, "4 ");
    assert_int_equal(account_user_set_password(a, "bob", "a quite new password", NULL), 0);
    assert_int_equal(look(other, began), ERR_UNAUTHENTICATED);
    assert_int_equal(account_user_set_password(a, "carol", "a quite new password", NULL), ERR_NOT_FOUND);
}

static void the_oldest_session_makes_room(void **state)
{
    (void)state;
    char first[ACCOUNT_TOKEN_BYTES], second[ACCOUNT_TOKEN_BYTES], token[ACCOUNT_TOKEN_BYTES];
    uint32_t alice = make_user("alice");
    begin(alice, began, first);
    begin(alice, began, second);
    for (size_t i = 1; i < ACCOUNT_SESSIONS; i++)
        begin(alice, began, token);
    assert_int_equal(look(first, began), ERR_UNAUTHENTICATED);
    assert_int_equal(look(second, began), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/account.db", dir);
    const struct CMUnitTest tests[] = {
        CASE(passwords_are_checked),
        CASE(somebody_stays),
        CASE(made_passwords_differ_and_are_taken),
        CASE(a_session_ends_when_idle_and_in_any_case),
        CASE(sessions_end_one_by_one_and_together),
        CASE(the_oldest_session_makes_room),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (rmdir(dir) != 0);
}
