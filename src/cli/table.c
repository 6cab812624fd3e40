/* SPDX-License-Identifier: Apache-2.0
 *
 * table: see table.h.
 */
#include "table.h"

enum { CUT_MARK_BYTES = 4 };

static uint32_t decode(const unsigned char *p, size_t *n)
{
    static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4; /* jansson's texts are valid UTF-8 */
    uint32_t c = p[0] & first_mask[*n];
    for (size_t i = 1; i < *n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

static bool in_ranges(uint32_t c, const uint32_t (*ranges)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static bool is_dangerous(uint32_t c)
{
    static const uint32_t ranges[][2] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0x200b, 0x200f},
                                         {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}};
    return in_ranges(c, ranges, sizeof ranges / sizeof *ranges);
}

static size_t width_of(uint32_t c)
{
    static const uint32_t combining[][2] = {
        {0x300, 0x36f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}};
    static const uint32_t wide[][2] = {
        {0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
        {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (in_ranges(c, combining, sizeof combining / sizeof *combining))
        return 0;
    return in_ranges(c, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

/* Appends s; a cell that is too long ends with "...". */
static size_t append(char text[TABLE_CELL_BYTES], size_t *at, const char *s)
{
    size_t width = 0, step;
    for (; *s != '\0'; s += step) {
        uint32_t c = decode((const unsigned char *)s, &step);
        if (*at + 12 + CUT_MARK_BYTES > TABLE_CELL_BYTES) {
            *at += (size_t)snprintf(text + *at, CUT_MARK_BYTES, "...");
            return width + 3;
        }
        if (is_dangerous(c)) {
            int n = snprintf(text + *at, 12, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
            *at += (size_t)n;
            width += (size_t)n;
        } else {
            memcpy(text + *at, s, step);
            *at += step;
            width += width_of(c);
        }
    }
    text[*at] = '\0';
    return width;
}

static size_t append_list(char text[TABLE_CELL_BYTES], size_t *at, const json_t *list)
{
    size_t width = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (i > 0)
            width += append(text, at, ",");
        width += append(text, at, item != NULL ? item : "?");
    }
    return width > 0 ? width : append(text, at, "-");
}

size_t table_cell(const json_t *value, char text[TABLE_CELL_BYTES])
{
    size_t at = 0;
    char number[64];
    text[0] = '\0';
    switch (value != NULL ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        return append(text, &at, json_string_value(value));
    case JSON_INTEGER:
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return append(text, &at, number);
    case JSON_REAL:
        (void)snprintf(number, sizeof number, "%.6g", json_real_value(value));
        return append(text, &at, number);
    case JSON_TRUE:
        return append(text, &at, "yes");
    case JSON_FALSE:
        return append(text, &at, "no");
    case JSON_ARRAY:
        return append_list(text, &at, value);
    default:
        return append(text, &at, "-");
    }
}

struct layout {
    size_t count;
    const char *names[TABLE_COLUMNS];
    size_t widths[TABLE_COLUMNS];
    bool right[TABLE_COLUMNS];
};

static void measure(struct layout *layout, const json_t *rows)
{
    char text[TABLE_CELL_BYTES];
    for (size_t c = 0; c < layout->count; c++) {
        layout->widths[c] = strlen(layout->names[c]);
        layout->right[c] = json_array_size(rows) > 0;
        for (size_t r = 0; r < json_array_size(rows); r++) {
            const json_t *value = json_object_get(json_array_get(rows, r), layout->names[c]);
            size_t width = table_cell(value, text);
            if (width > layout->widths[c])
                layout->widths[c] = width;
            if (value != NULL && !json_is_number(value) && !json_is_null(value))
                layout->right[c] = false;
        }
    }
}

static void pad(FILE *out, size_t n)
{
    for (; n > 0; n--)
        (void)fputc(' ', out);
}

/* Room is filled before a cell, not behind it: no line ends in spaces. *owed: what the cell before left. */
static void print_cell(FILE *out, const struct layout *layout, size_t c, const char *text, size_t width,
                       size_t *owed)
{
    size_t room = layout->widths[c] - width, before = c > 0 ? *owed + 2 : 0;
    if (width > 0)
        pad(out, before + (layout->right[c] ? room : 0));
    (void)fputs(text, out);
    *owed = width == 0 ? before + room : layout->right[c] ? 0 : room;
    if (c + 1 == layout->count)
        (void)fputc('\n', out);
}

int table_print(FILE *out, const json_t *columns, const json_t *rows)
{
    char text[TABLE_CELL_BYTES];
    size_t owed = 0;
    struct layout layout = {.count = json_array_size(columns)};
    if (layout.count > TABLE_COLUMNS)
        return ERR_LIMIT;
    for (size_t c = 0; c < layout.count; c++)
        layout.names[c] = json_string_value(json_array_get(columns, c));
    measure(&layout, rows);
    for (size_t c = 0; c < layout.count; c++)
        print_cell(out, &layout, c, layout.names[c], strlen(layout.names[c]), &owed);
    for (size_t r = 0; r < json_array_size(rows); r++)
        for (size_t c = 0; c < layout.count; c++) {
            size_t width = table_cell(json_object_get(json_array_get(rows, r), layout.names[c]), text);
            print_cell(out, &layout, c, text, width, &owed);
        }
    return 0;
}
