/* SPDX-License-Identifier: Apache-2.0
 *
 * import: lines and what they become.
 */
#include "base/test.h"
#include "cli/import.h"

#include <stdlib.h>

static void lines_become_items(void **state)
{
    (void)state;
    static const struct {
        const char *noun, *line, *out; /* out: NULL where it is refused */
    } cases[] = {
        {"tenant", "acme", "{\"name\":\"acme\"}"},
        {"domain", "example.com", "{\"name\":\"example.com\"}"},
        {"domain", "example.com , relayed", "{\"name\":\"example.com\",\"kind\":\"relayed\"}"},
        {"domain", "example.com,own,subdomains",
         "{\"name\":\"example.com\",\"kind\":\"own\",\"subdomains\":true}"},
        {"domain", "example.com,foreign", NULL},
        {"domain", "example.com,own,sub", NULL},
        {"domain", "example.com,own,subdomains,more", NULL},
        {"domain", "caf\xe9.example", NULL},
        {"network", "192.0.2.0/24", "{\"prefix\":\"192.0.2.0/24\"}"},
        {"network", "192.0.2.0/24,untrusted,guests, second floor",
         "{\"prefix\":\"192.0.2.0/24\",\"trusted\":false,\"comment\":\"guests, second floor\"}"},
        {"network", "192.0.2.0/24,maybe", NULL},
        {"apikey", "mx1,ingest", "{\"name\":\"mx1\",\"scopes\":[\"ingest\"]}"},
        {"apikey", "mx1,ingest+read,192.0.2.1+2001:db8::/32",
         "{\"name\":\"mx1\",\"scopes\":[\"ingest\",\"read\"],\"addresses\":[\"192.0.2.1\",\"2001:db8::/"
         "32\"]}"},
        {"apikey", "mx1,ingest,192.0.2.1,more", NULL},
        {"edge", "mx1", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct err err = {0};
        json_t *item = json_object();
        int rc = import_line(cases[i].noun, slice_of(cases[i].line), item, &err);
        char *text = json_dumps(item, JSON_COMPACT);
        if ((rc == 0) != (cases[i].out != NULL) || (rc == 0 && strcmp(text, cases[i].out) != 0))
            fail_msg("%s %s: %s, %s", cases[i].noun, cases[i].line, err_name(rc), text);
        free(text);
        json_decref(item);
    }
}

static void lines_are_counted(void **state)
{
    (void)state;
    static const char text[] = "# names\n\nfirst\r\n   \n second \nthird";
    static const struct {
        const char *line;
        size_t number;
    } expected[] = {{"first", 3}, {"second", 5}, {"third", 6}};
    struct import_lines lines = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
        assert_true(import_next(&lines, slice_of(text)));
        assert_true(slice_equal(lines.line, slice_of(expected[i].line)));
        assert_int_equal(lines.number, expected[i].number);
        assert_int_equal(import_number_of(slice_of(text), i), expected[i].number);
    }
    assert_false(import_next(&lines, slice_of(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_items),
        cmocka_unit_test(lines_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
