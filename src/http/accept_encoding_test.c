/* SPDX-License-Identifier: Apache-2.0
 *
 * accept_encoding: weights, wildcards, and lists that are none.
 */
#include "accept_encoding.h"

#include "base/test.h"

enum { BOTH = HTTP_GZIP | HTTP_BR };

static const struct {
    const char *value;
    unsigned available;
    enum http_coding chosen;
} cases[] = {
    {"", BOTH, HTTP_IDENTITY},
    {"gzip, deflate, br", BOTH, HTTP_BR},
    {"gzip, deflate, br", HTTP_GZIP, HTTP_GZIP},
    {"gzip, deflate, br", 0, HTTP_IDENTITY},
    {"GZip", BOTH, HTTP_GZIP},
    {"x-gzip", BOTH, HTTP_GZIP},
    {"br;q=0.5, gzip", BOTH, HTTP_GZIP},
    {"br ; Q=0.501 , gzip;q=0.5", BOTH, HTTP_BR},
    {"br;q=0", BOTH, HTTP_IDENTITY},
    {"br;q=0.000, gzip;q=0.001", BOTH, HTTP_GZIP},
    {"*", BOTH, HTTP_BR},
    {"*;q=0", BOTH, HTTP_IDENTITY},
    {"*, br;q=0", BOTH, HTTP_GZIP},
    {"identity", BOTH, HTTP_IDENTITY},
    {"identity;q=0, *;q=0", BOTH, HTTP_IDENTITY},
    {"gzip;q=1.000", BOTH, HTTP_GZIP},
    {"gzip;q=1.", BOTH, HTTP_GZIP},
    {",, gzip ,", BOTH, HTTP_GZIP},
    {"gzip;q=2", BOTH, HTTP_IDENTITY},
    {"gzip;q=1.001", BOTH, HTTP_IDENTITY},
    {"gzip;q=0.0001", BOTH, HTTP_IDENTITY},
    {"gzip;q=-1", BOTH, HTTP_IDENTITY},
    {"gzip;q=", BOTH, HTTP_IDENTITY},
    {"gzip;r=1", BOTH, HTTP_IDENTITY},
    {"gzip;q=1;q=1", BOTH, HTTP_IDENTITY},
    {"gzipped", BOTH, HTTP_IDENTITY},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (http_choose_coding(slice_of(cases[i].value), cases[i].available) != cases[i].chosen)
            fail_msg("'%s'", cases[i].value);
    assert_int_equal(http_choose_coding((struct slice){NULL, 0}, BOTH), HTTP_IDENTITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
