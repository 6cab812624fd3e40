/* SPDX-License-Identifier: Apache-2.0
 *
 * where: what is typed, and the filters that come of it; each good one must please the query layer.
 */
#include "base/test.h"
#include "cli/where.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>

static void conditions_become_filters(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* out: op and values */
    } cases[] = {
        {"direction=in", "\"op\":\"eq\",\"values\":[\"in\"]"},
        {"direction=in,relay", "\"op\":\"in\",\"values\":[\"in\",\"relay\"]"},
        {"sender_domain!=a.example", "\"op\":\"ne\",\"values\":[\"a.example\"]"},
        {"sender_domain!=a.example,b.example", "\"op\":\"ne\",\"values\":[\"a.example\",\"b.example\"]"},
        {"sender^=postmaster@", "\"op\":\"prefix\",\"values\":[\"postmaster@\"]"},
        {"client_address=192.0.2.1", "\"op\":\"eq\",\"values\":[\"192.0.2.1\"]"},
        {"client_address=192.0.2.0/24", "\"op\":\"cidr\",\"values\":[\"192.0.2.0/24\"]"},
        {"client_address=192.0.2.0/24,2001:db8::/32",
         "\"op\":\"cidr\",\"values\":[\"192.0.2.0/24\",\"2001:db8::/32\"]"},
        {"size=1000..5000", "\"op\":\"range\",\"values\":[\"1000\",\"5000\"]"},
        {"size=1000..", "\"op\":\"range\",\"values\":[\"1000\",null]"},
        {"sender=", "\"op\":\"eq\",\"values\":[null]"},
        {"sender!=", "\"op\":\"ne\",\"values\":[null]"},
        {"sender=a..b", "\"op\":\"eq\",\"values\":[\"a..b\"]"},
        {"sender=a/b", "\"op\":\"eq\",\"values\":[\"a/b\"]"},
        {"sender=a\\,b", "\"op\":\"eq\",\"values\":[\"a,b\"]"},
        {"sender=a=b", "\"op\":\"eq\",\"values\":[\"a=b\"]"},
        {"sender$=.example,.test", "\"op\":\"suffix\",\"values\":[\".example\",\".test\"]"},
        {"sender~=a=b", "\"op\":\"contains\",\"values\":[\"a=b\"]"},
        {"!sender~=a", "[{\"not\":{\"column\":\"sender\",\"op\":\"contains\",\"values\":[\"a\"]}}]"},
        {"!size=5..", "[{\"not\":{\"column\":\"size\",\"op\":\"range\",\"values\":[\"5\",null]}}]"},
        {"direction=in || !sender^=a || size=7",
         "[{\"or\":[{\"column\":\"direction\",\"op\":\"eq\",\"values\":[\"in\"]},{\"not\":{\"column\":"
         "\"sender\","
         "\"op\":\"prefix\",\"values\":[\"a\"]}},{\"column\":\"size\",\"op\":\"eq\",\"values\":[\"7\"]}]}]"},
        {"sender=a \\|\\| size=7", "\"op\":\"eq\",\"values\":[\"a || size=7\"]"},
        {"text_escaped=true", "\"op\":\"eq\",\"values\":[\"true\"]"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        char question[512];
        struct query *query = NULL;
        json_t *filters = json_array();
        if (where_parse(cases[i].in, filters, &err) != 0)
            fail_msg("%s: %s", cases[i].in, err_detail(&err));
        char *text = json_dumps(filters, JSON_COMPACT);
        if (strstr(text, cases[i].out) == NULL)
            fail_msg("%s: %s", cases[i].in, text);
        (void)snprintf(question, sizeof question, "{\"measures\":[\"requests\"],\"where\":%s}", text);
        if (query_parse(slice_of(question), 1772366400 * US_PER_SECOND, &query, &err) != 0)
            fail_msg("%s: %s", question, err_detail(&err));
        query_destroy(&query);
        free(text);
        json_decref(filters);
    }
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "direction",
                                        "=in",
                                        "nothing=in",
                                        "!=in",
                                        "direction>in",
                                        "!",
                                        "!direction",
                                        "direction=in || ",
                                        "direction=in || nothing=in"};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        json_t *filters = json_array();
        if (where_parse(cases[i], filters, &err) != ERR_USAGE || err.detail[0] == '\0')
            fail_msg("'%s' was taken", cases[i]);
        json_decref(filters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_become_filters),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
