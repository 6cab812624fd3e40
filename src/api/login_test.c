/* SPDX-License-Identifier: Apache-2.0
 *
 * login_test: cookies, second tokens, whose page a request comes from, and how failed tries are slowed down.
 */
#include "api/login.h"

#include "api/attempts.h"
#include "base/test.h"

#include <stdio.h>

static void the_token_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *cookie;
        bool secure;
        const char *token;
    } cases[] = {
        {"session=abc", false, "abc"},
        {"a=b; session=abc; c=d", false, "abc"},
        {"a=b;session=abc", false, "abc"},
        {"session=abc; session=def", false, "abc"},
        {"__Host-session=abc", true, "abc"},
        {"session=evil; __Host-session=abc", true, "abc"},
        {"session=abc", true, ""},
        {"__Host-session=abc", false, ""},
        {"Session=abc", false, ""},
        {"xsession=abc", false, ""},
        {"session", false, ""},
        {"session=", false, ""},
        {"", false, ""},
        {";;;=;", false, ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct slice token = login_token(slice_of(cases[i].cookie), cases[i].secure);
        if (!slice_equal(token, slice_of(cases[i].token)))
            fail_msg("'%s': '%.*s'", cases[i].cookie, (int)token.n, token.p);
    }
    char big[300] = "session=";
    memset(big + 8, 'x', 200);
    assert_int_equal(login_token((struct slice){big, 208}, false).n, 0);
}

static void cookies_have_their_attributes(void **state)
{
    (void)state;
    struct buf fields = {.limit = 1024};
    assert_int_equal(login_set_cookie(&fields, "abc", true, 60000000), 0);
    assert_true(slice_equal(buf_slice(&fields), SLICE("Set-Cookie: __Host-session=abc; Path=/; Max-Age=60; "
                                                      "HttpOnly; SameSite=Lax; Secure\r\n")));
    buf_clear(&fields);
    assert_int_equal(login_set_cookie(&fields, "", false, 60000000), 0);
    assert_true(slice_equal(buf_slice(&fields),
                            SLICE("Set-Cookie: session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax\r\n")));
    buf_fini(&fields);
}

static void the_second_token_follows_from_the_first(void **state)
{
    (void)state;
    char one[LOGIN_CSRF_BYTES], other[LOGIN_CSRF_BYTES];
    login_csrf(SLICE("abc"), one);
    login_csrf(SLICE("abd"), other);
    assert_string_not_equal(one, other);
    assert_int_equal(strlen(one), LOGIN_CSRF_BYTES - 1);
    assert_true(login_csrf_fits(SLICE("abc"), slice_of(one)));
    assert_false(login_csrf_fits(SLICE("abc"), slice_of(other)));
    assert_false(login_csrf_fits(SLICE("abc"), SLICE("abc")));
    assert_false(login_csrf_fits(SLICE("abc"), (struct slice){NULL, 0}));
}

static void only_our_own_pages_change_things(void **state)
{
    (void)state;
    static const struct {
        const char *fetch_site, *origin, *host;
        bool same;
    } cases[] = {
        {"", "", "hub.example", true},
        {"same-origin", "", "hub.example", true},
        {"same-origin", "https://hub.example", "hub.example", true},
        {"", "http://hub.example:8480", "hub.example:8480", true},
        {"", "https://HUB.example", "hub.example", true},
        {"same-site", "", "hub.example", false},
        {"cross-site", "https://hub.example", "hub.example", false},
        {"none", "", "hub.example", false},
        {"", "https://evil.example", "hub.example", false},
        {"", "https://hub.example.evil.example", "hub.example", false},
        {"", "https://hub.example:81", "hub.example", false},
        {"", "null", "hub.example", false},
        {"", "https://", "", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (login_same_site(slice_of(cases[i].fetch_site), slice_of(cases[i].origin),
                            slice_of(cases[i].host)) != cases[i].same)
            fail_msg("'%s' '%s' '%s'", cases[i].fetch_site, cases[i].origin, cases[i].host);
}

#define S INT64_C(1000000)

struct trial {
    struct attempts *attempts;
    struct ip from;
    int64_t now_us;
};

static int setup(void **state)
{
    static struct trial trial;
    trial = (struct trial){.now_us = 1000 * S};
    *state = &trial;
    return ip_parse(SLICE("192.0.2.1"), &trial.from) != 0 || attempts_create(&trial.attempts, NULL) != 0;
}

static int teardown(void **state)
{
    struct trial *t = *state;
    attempts_destroy(&t->attempts);
    return 0;
}

static int64_t try_it(struct trial *t, const char *name)
{
    struct attempt attempt = {slice_of(name), &t->from, t->now_us};
    return attempts_begin(t->attempts, &attempt);
}

static void from(struct trial *t, const char *address)
{
    assert_int_equal(ip_parse(slice_of(address), &t->from), 0);
}

static void failures_double_the_time(void **state)
{
    struct trial *t = *state;
    for (int i = 0; i < ATTEMPTS_FREE; i++)
        assert_int_equal(try_it(t, "alice"), 0);
    for (int64_t wait = 1 * S; wait <= 900 * S; wait *= 2) {
        assert_int_equal(try_it(t, "bob"), 0); /* the address is what counts */
        assert_int_equal(try_it(t, "carol"), wait);
        t->now_us += wait - 1;
        assert_int_equal(try_it(t, "carol"), 1); /* refused tries count nothing */
        t->now_us++;
    }
    assert_int_equal(try_it(t, "bob"), 0);
    assert_int_equal(try_it(t, "bob"), ATTEMPTS_ADDRESS_US);
    from(t, "192.0.2.2");
    assert_int_equal(try_it(t, "carol"), 0);
    t->now_us += 3601 * S;
    from(t, "192.0.2.1");
    assert_int_equal(try_it(t, "alice"), 0);
    assert_int_equal(try_it(t, "alice"), 0);
}

static void a_name_is_slowed_down_from_anywhere_but_never_for_long(void **state)
{
    struct trial *t = *state;
    char address[32];
    int64_t longest = 0;
    for (int i = 0; i < 40; i++) {
        (void)snprintf(address, sizeof address, "198.51.100.%d", i);
        from(t, address);
        int64_t wait = try_it(t, i % 2 == 0 ? "Alice" : "alice");
        longest = wait > longest ? wait : longest;
        t->now_us += wait;
        assert_int_equal(wait > 0 ? try_it(t, "ALICE") : 0, 0);
    }
    assert_int_equal(longest, ATTEMPTS_NAME_US);
}

static void networks_of_ipv6_count_as_one(void **state)
{
    struct trial *t = *state;
    char address[64];
    for (int i = 0; i <= ATTEMPTS_FREE; i++) {
        (void)snprintf(address, sizeof address, "2001:db8::%d", i);
        from(t, address);
        assert_int_equal(try_it(t, address), 0);
    }
    from(t, "2001:db8::ffff");
    assert_true(try_it(t, "x") > 0);
}

static void success_forgets_the_name_and_not_the_address(void **state)
{
    struct trial *t = *state;
    struct attempt own = {SLICE("mallory"), &t->from, 0};
    for (int i = 0; i < 2 * ATTEMPTS_FREE; i++) {
        int64_t wait = try_it(t, "alice");
        t->now_us += wait;
        if (wait > 0)
            assert_int_equal(try_it(t, "alice"), 0);
    }
    int64_t wait = try_it(t, "mallory");
    assert_true(wait > 0);
    t->now_us += wait;
    assert_int_equal(try_it(t, "mallory"), 0);
    own.now_us = t->now_us;
    attempts_end(t->attempts, &own, ATTEMPT_GOOD);
    assert_int_equal(try_it(t, "bob"), 0);
    assert_true(try_it(t, "carol") >= wait); /* the address waits no less than before */
    from(t, "192.0.2.2");
    for (int i = 0; i < ATTEMPTS_FREE; i++)
        assert_int_equal(try_it(t, "mallory"), 0); /* the name begins anew */
}

static void what_was_not_tried_costs_nothing(void **state)
{
    struct trial *t = *state;
    struct attempt attempt = {SLICE("alice"), &t->from, t->now_us};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(attempts_begin(t->attempts, &attempt), 0);
        attempts_end(t->attempts, &attempt, ATTEMPT_UNTRIED);
    }
}

static void loopback_is_never_slowed_down_for_long(void **state)
{
    struct trial *t = *state;
    char name[32];
    from(t, "127.0.0.1");
    for (int i = 0; i < 30; i++) {
        (void)snprintf(name, sizeof name, "user-%d", i);
        int64_t wait = try_it(t, name);
        assert_true(wait <= ATTEMPTS_LOOPBACK_US);
        t->now_us += wait;
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_found),
        cmocka_unit_test(cookies_have_their_attributes),
        cmocka_unit_test(the_second_token_follows_from_the_first),
        cmocka_unit_test(only_our_own_pages_change_things),
        CASE(failures_double_the_time),
        CASE(a_name_is_slowed_down_from_anywhere_but_never_for_long),
        CASE(networks_of_ipv6_count_as_one),
        CASE(success_forgets_the_name_and_not_the_address),
        CASE(what_was_not_tried_costs_nothing),
        CASE(loopback_is_never_slowed_down_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
