/* SPDX-License-Identifier: Apache-2.0
 *
 * where: see where.h.
 */
#include "where.h"

#include "event/event.h"

#include <stdio.h>

enum { VALUE_BYTES = 1024 };

struct condition {
    enum column column;
    enum { EQUAL, UNEQUAL, PREFIX, SUFFIX, CONTAINS } op;
    struct slice value;
};

/* The operator whose sign stands before '='; *n is the bytes of the name before it. */
static unsigned operator_of(const char *text, size_t *n)
{
    static const char signs[] = {[UNEQUAL] = '!', [PREFIX] = '^', [SUFFIX] = '$', [CONTAINS] = '~'};
    for (unsigned op = UNEQUAL; op <= CONTAINS; op++)
        if (text[*n - 1] == signs[op]) {
            (*n)--;
            return op;
        }
    return EQUAL;
}

static int split(struct slice text, struct condition *out, struct err *err)
{
    int shown = text.n < 80 ? (int)text.n : 80;
    const char *equals = text.n > 0 ? memchr(text.p, '=', text.n) : NULL;
    if (equals == NULL || equals == text.p)
        return err_set(
            err, ERR_USAGE,
            "--where '%.*s': write column=value, or != (not), ^= (begins with), $= (ends with), ~= "
            "(contains)",
            shown, text.p);
    struct slice name = {text.p, (size_t)(equals - text.p)};
    out->op = operator_of(text.p, &name.n);
    out->value = (struct slice){equals + 1, text.n - (size_t)(equals + 1 - text.p)};
    if (event_column(name, &out->column) != 0)
        return err_set(err, ERR_USAGE,
                       "--where '%.*s': there is no column '%.*s' (event.md of the documentation lists them)",
                       shown, text.p, name.n < 60 ? (int)name.n : 60, name.p);
    return 0;
}

/* Cuts the next value off at a comma; "\," is a comma, "\\" a backslash, "\|" a bar. */
static bool next_value(struct slice *rest, char out[VALUE_BYTES], size_t *n, bool *fits)
{
    if (rest->p == NULL)
        return false;
    *n = 0;
    *fits = true;
    size_t i = 0;
    for (; i < rest->n && rest->p[i] != ','; i++) {
        if (rest->p[i] == '\\' && i + 1 < rest->n && memchr(",\\|", rest->p[i + 1], 3) != NULL)
            i++;
        if (*n == VALUE_BYTES)
            *fits = false;
        else
            out[(*n)++] = rest->p[i];
    }
    *rest = i < rest->n ? (struct slice){rest->p + i + 1, rest->n - i - 1} : (struct slice){NULL, 0};
    return true;
}

static bool is_ordered(enum column column)
{
    enum column_type type = event_columns[column].type;
    return type == TYPE_U8 || type == TYPE_U16 || type == TYPE_U32 || type == TYPE_U64 || type == TYPE_TS;
}

/* The query layer takes texts for every type and says what it expects; an empty one is absent. Bytes that are
 * no UTF-8 fail when the question is written. */
static json_t *value_of(struct slice text)
{
    return text.n > 0 ? json_stringn_nocheck(text.p, text.n) : json_null();
}

static int add_filter(json_t *filters, enum column column, const char *op, json_t *values, struct err *err)
{
    json_t *filter =
        json_pack("{s:s, s:s, s:o}", "column", event_columns[column].name, "op", op, "values", values);
    if (filter == NULL || json_array_append_new(filters, filter) != 0)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    return 0;
}

static int add_range(json_t *filters, const struct condition *condition, struct err *err)
{
    const char *dots = memmem(condition->value.p, condition->value.n, "..", 2);
    struct slice low = {condition->value.p, (size_t)(dots - condition->value.p)};
    struct slice high = {dots + 2, condition->value.n - low.n - 2};
    return add_filter(filters, condition->column, "range", json_pack("[o, o]", value_of(low), value_of(high)),
                      err);
}

static const char *op_name(const struct condition *condition, size_t count)
{
    struct slice value = condition->value;
    static const char *const names[] = {
        [UNEQUAL] = "ne", [PREFIX] = "prefix", [SUFFIX] = "suffix", [CONTAINS] = "contains"};
    if (condition->op != EQUAL)
        return names[condition->op];
    if (value.n > 0 && event_columns[condition->column].type == TYPE_IP &&
        memchr(value.p, '/', value.n) != NULL)
        return "cidr";
    return count > 1 ? "in" : "eq";
}

static int add_list(json_t *filters, const struct condition *condition, struct err *err)
{
    char text[VALUE_BYTES];
    size_t n, count = 0;
    bool fits;
    struct slice rest = condition->value;
    json_t *values = json_array();
    int rc = values != NULL ? 0 : err_set(err, ERR_NO_MEMORY, "out of memory");
    while (rc == 0 && next_value(&rest, text, &n, &fits)) {
        if (!fits || ++count > WHERE_VALUES)
            rc = err_set(err, ERR_USAGE, "--where %s: values have at most %d bytes, and there are at most %d",
                         event_columns[condition->column].name, VALUE_BYTES, WHERE_VALUES);
        else if (json_array_append_new(values, value_of((struct slice){text, n})) != 0)
            rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    }
    if (rc == 0)
        return add_filter(filters, condition->column, op_name(condition, count), values, err);
    json_decref(values);
    return rc;
}

static int add_condition(struct slice text, json_t *filters, struct err *err)
{
    struct condition condition;
    int rc = split(text, &condition, err);
    if (rc != 0)
        return rc;
    if (condition.op == EQUAL && is_ordered(condition.column) &&
        memmem(condition.value.p, condition.value.n, "..", 2) != NULL)
        return add_range(filters, &condition, err);
    return add_list(filters, &condition, err);
}

/* One side of " || ": a condition, or '!' and a condition that is not to hold. */
static int add_side(struct slice text, json_t *filters, struct err *err)
{
    if (text.n == 0 || text.p[0] != '!')
        return add_condition(text, filters, err);
    json_t *own = json_array();
    int rc = add_condition((struct slice){text.p + 1, text.n - 1}, own, err);
    if (rc == 0 && json_array_append_new(filters, json_pack("{s:O}", "not", json_array_get(own, 0))) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    json_decref(own);
    return rc;
}

int where_parse(const char *text, json_t *filters, struct err *err)
{
    static const char either[] = " || ";
    struct slice rest = slice_of(text);
    json_t *sides = json_array();
    int rc = 0;
    for (bool more = true; rc == 0 && more;) {
        const char *bars = memmem(rest.p, rest.n, either, sizeof either - 1);
        struct slice side = {rest.p, bars != NULL ? (size_t)(bars - rest.p) : rest.n};
        more = bars != NULL;
        rc = add_side(side, sides, err);
        if (more)
            rest = (struct slice){bars + sizeof either - 1, rest.n - side.n - (sizeof either - 1)};
    }
    if (rc == 0 &&
        (json_array_size(sides) == 1 ? json_array_extend(filters, sides)
                                     : json_array_append_new(filters, json_pack("{s:O}", "or", sides))) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    json_decref(sides);
    return rc;
}
