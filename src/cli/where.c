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
    enum { EQUAL, UNEQUAL, PREFIX } op;
    struct slice value;
};

static int split(const char *text, struct condition *out, struct err *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return err_set(err, ERR_USAGE, "--where '%.80s': write column=value, column!=value or column^=prefix",
                       text);
    struct slice name = {text, (size_t)(equals - text)};
    out->op = EQUAL;
    if (equals[-1] == '!' || equals[-1] == '^') {
        out->op = equals[-1] == '!' ? UNEQUAL : PREFIX;
        name.n--;
    }
    out->value = slice_of(equals + 1);
    if (event_column(name, &out->column) != 0)
        return err_set(err, ERR_USAGE,
                       "--where '%.80s': there is no column '%.*s' (docs/reference/event.md lists them)",
                       text, name.n < 60 ? (int)name.n : 60, name.p);
    return 0;
}

/* Cuts the next value off at a comma; "\," is a comma, "\\" a backslash. */
static bool next_value(struct slice *rest, char out[VALUE_BYTES], size_t *n, bool *fits)
{
    if (rest->p == NULL)
        return false;
    *n = 0;
    *fits = true;
    size_t i = 0;
    for (; i < rest->n && rest->p[i] != ','; i++) {
        if (rest->p[i] == '\\' && i + 1 < rest->n && (rest->p[i + 1] == ',' || rest->p[i + 1] == '\\'))
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
    if (condition->op == UNEQUAL)
        return "ne";
    if (condition->op == PREFIX)
        return "prefix";
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

int where_parse(const char *text, json_t *filters, struct err *err)
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
