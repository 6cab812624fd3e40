/* SPDX-License-Identifier: Apache-2.0
 *
 * table: cells and a whole table as text.
 */
#include "base/test.h"
#include "cli/table.h"

#include <stdlib.h>

static void cells_are_safe_and_measured(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json, *text;
        size_t width;
    } cases[] = {
        {"plain", "\"abc\"", "abc", 3},
        {"umlaut", "\"b\xc3\xbc\"", "b\xc3\xbc", 2},
        {"wide", "\"\xe6\x97\xa5\xe6\x9c\xac\"", "\xe6\x97\xa5\xe6\x9c\xac", 4},
        {"combining", "\"e\\u0301\"", "e\xcc\x81", 1},
        {"escape", "\"\\u001b[2J\"", "\\x1b[2J", 7},
        {"newline", "\"a\\nb\"", "a\\x0ab", 6},
        {"c1", "\"\\u009b\"", "\\x9b", 4},
        {"bidi override", "\"\\u202e\"", "\\u202e", 6},
        {"number", "42", "42", 2},
        {"null", "null", "-", 1},
        {"true", "true", "yes", 3},
        {"list", "[\"a\",\"b\"]", "a,b", 3},
        {"empty list", "[]", "-", 1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[TABLE_CELL_BYTES];
        json_error_t error;
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, &error);
        assert_non_null(value);
        size_t width = table_cell(value, text);
        if (strcmp(text, cases[i].text) != 0 || width != cases[i].width)
            fail_msg("%s: '%s', %zu wide", cases[i].name, text, width);
        json_decref(value);
    }
}

static void long_cells_are_cut(void **state)
{
    (void)state;
    char text[TABLE_CELL_BYTES], *bytes = malloc(3001);
    memset(bytes, 'x', 3000);
    bytes[3000] = '\0';
    json_t *value = json_string(bytes);
    size_t width = table_cell(value, text);
    assert_true(width < TABLE_CELL_BYTES);
    assert_int_equal(width, strlen(text));
    assert_string_equal(text + width - 3, "...");
    json_decref(value);
    free(bytes);
}

static void columns_line_up(void **state)
{
    (void)state;
    char *out = NULL;
    size_t n = 0;
    json_error_t error;
    FILE *file = open_memstream(&out, &n);
    json_t *columns = json_loads("[\"domain\",\"messages\",\"note\"]", 0, &error);
    json_t *rows = json_loads("[{\"domain\":\"b\\u00fccher.example\",\"messages\":7,\"note\":\"x\"},"
                              "{\"domain\":null,\"messages\":12345678901,\"note\":\"\"},"
                              "{\"domain\":\"\",\"messages\":1,\"note\":\"y\"}]",
                              0, &error);
    assert_int_equal(table_print(file, columns, rows), 0);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(out, "domain             messages  note\n"
                             "b\xc3\xbc"
                             "cher.example            7  x\n"
                             "-               12345678901\n"
                             "                          1  y\n");
    free(out);
    json_decref(columns);
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_safe_and_measured),
        cmocka_unit_test(long_cells_are_cut),
        cmocka_unit_test(columns_line_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
