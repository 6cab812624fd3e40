/* SPDX-License-Identifier: Apache-2.0
 *
 * subscription: what is taken, what is refused, and which are the same.
 */
#include "base/test.h"
#include "subscription.h"

#include <stdio.h>

static struct subscription parsed(const char *json, uint32_t tenant)
{
    struct err err = {0};
    struct subscription subscription;
    if (subscription_parse(slice_of(json), tenant, &subscription, &err) != 0)
        fail_msg("%s: %s", json, err_detail(&err));
    return subscription;
}

static void what_is_left_out_has_defaults(void **state)
{
    (void)state;
    struct subscription subscription = parsed("{}", 7);
    assert_int_equal(subscription.rate, SUBSCRIPTION_RATE);
    assert_int_equal(subscription.filter->filter_count, 0);
    assert_int_equal(subscription.filter->scope, QUERY_SCOPE_TENANT);
    assert_int_equal(subscription.filter->tenant, 7);
    subscription_fini(&subscription);
    subscription_fini(&subscription);
    subscription = parsed("{\"events\":false,\"rate\":100}", 7);
    assert_int_equal(subscription.rate, 0);
    subscription_fini(&subscription);
    subscription = parsed("{\"rate\":200,\"where\":[{\"column\":\"sender\",\"op\":\"empty\"}]}", 7);
    assert_int_equal(subscription.rate, 200);
    assert_int_equal(subscription.filter->filter_count, 1);
    subscription_fini(&subscription);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
        int code;
    } cases[] = {
        {"", "not JSON", ERR_INVALID},
        {"[]", "an object of where, events and rate", ERR_INVALID},
        {"{\"tenant\":8}", "an object of where, events and rate", ERR_INVALID},
        {"{\"rate\":1,\"rate\":2}", "not JSON", ERR_INVALID},
        {"{\"rate\":0}", "rate: events a second, a whole number from 1 to 200", ERR_INVALID},
        {"{\"rate\":201}", "rate: events a second", ERR_LIMIT},
        {"{\"rate\":\"20\"}", "rate: events a second", ERR_INVALID},
        {"{\"events\":1}", "events: true or false", ERR_INVALID},
        {"{\"where\":{}}", "where: an array of filters", ERR_INVALID},
        {"{\"where\":null}", "where: an array of filters", ERR_INVALID},
        {"{\"where\":[{\"column\":\"mood\",\"values\":[1]}]}", "'mood' is not a column", ERR_INVALID},
        {"{\"where\":[{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"column\":\"sender\","
         "\"op\":\"empty\"}}}}}}}}]}",
         "groups within each other", ERR_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        struct subscription subscription;
        int rc = subscription_parse(slice_of(cases[i].json), 7, &subscription, &err);
        if (rc != cases[i].code || strstr(err.detail, cases[i].says) == NULL)
            fail_msg("%s: %d %s", cases[i].json, rc, err.detail);
        assert_null(subscription.filter);
    }
}

static void a_long_message_is_not_read(void **state)
{
    (void)state;
    static char json[SUBSCRIPTION_BYTES + 1];
    struct err err = {0};
    struct subscription subscription;
    memset(json, ' ', sizeof json);
    memcpy(json, "{}", 2);
    assert_int_equal(subscription_parse((struct slice){json, sizeof json}, 7, &subscription, &err),
                     ERR_LIMIT);
    assert_int_equal(subscription_parse((struct slice){json, sizeof json - 1}, 7, &subscription, &err), 0);
    subscription_fini(&subscription);
}

static void the_same_is_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        uint32_t tenant;
        bool same;
    } cases[] = {
        {"{\"where\":[{\"values\":[\"in\"],\"column\":\"direction\"}], \"rate\":20}", 7, true},
        {"{\"where\":[{\"column\":\"direction\",\"values\":[\"in\"]}]}", 8, false},
        {"{\"where\":[{\"column\":\"direction\",\"values\":[\"out\"]}]}", 7, false},
        {"{\"where\":[{\"column\":\"direction\",\"values\":[\"in\"]}],\"rate\":21}", 7, false},
        {"{\"where\":[{\"column\":\"direction\",\"values\":[\"in\"]}],\"events\":false}", 7, false},
    };
    struct subscription first =
        parsed("{\"where\":[{\"column\":\"direction\",\"values\":[\"in\"]}],\"events\":true}", 7);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct subscription other = parsed(cases[i].json, cases[i].tenant);
        if (subscription_equal(&first, &other) != cases[i].same)
            fail_msg("%s", cases[i].json);
        subscription_fini(&other);
    }
    subscription_fini(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_long_message_is_not_read),
        cmocka_unit_test(the_same_is_the_same),
    };
    return cmocka_run_group_tests_name("hub/subscription", tests, NULL, NULL);
}
