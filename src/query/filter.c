/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: see filter.h. One table says which operators a type has and how many values each takes.
 */
#include "query/filter.h"

#include <stdio.h>
#include <stdlib.h>

#define MATCH (1U << OP_EQ | 1U << OP_NE | 1U << OP_IN)

static const unsigned ops_of_type[] = {
    [TYPE_U8] = MATCH | 1U << OP_RANGE,
    [TYPE_U16] = MATCH | 1U << OP_RANGE,
    [TYPE_U32] = MATCH | 1U << OP_RANGE,
    [TYPE_U64] = MATCH | 1U << OP_RANGE,
    [TYPE_BOOL] = MATCH,
    [TYPE_TS] = MATCH | 1U << OP_RANGE,
    [TYPE_TEXT] = MATCH | 1U << OP_PREFIX,
    [TYPE_IP] = MATCH | 1U << OP_CIDR,
    [TYPE_ID128] = MATCH,
    [TYPE_DIRECTION] = MATCH,
    [TYPE_STAGE] = MATCH,
};

static const struct {
    size_t min, max;
} values_of_op[OP_COUNT] = {
    [OP_EQ] = {1, 1},
    [OP_NE] = {1, QUERY_VALUES},
    [OP_IN] = {1, QUERY_VALUES},
    [OP_PREFIX] = {1, QUERY_VALUES},
    [OP_CIDR] = {1, QUERY_VALUES},
    [OP_RANGE] = {2, 2},
};

static const char *ops_text(enum column_type type)
{
    if (ops_of_type[type] & 1U << OP_RANGE)
        return "eq, ne, in, range";
    if (ops_of_type[type] & 1U << OP_PREFIX)
        return "eq, ne, in, prefix";
    if (ops_of_type[type] & 1U << OP_CIDR)
        return "eq, ne, in, cidr";
    return "eq, ne, in";
}

int filter_column(const json_t *json, const char *name, enum column *out, struct err *err)
{
    char all[320]; /* the line is to stay readable; docs/reference/event.md has them all */
    size_t n = 0;
    if (json_is_string(json) && event_column(slice_of(json_string_value(json)), out) == 0)
        return 0;
    for (size_t i = 0; i < COLUMN_COUNT && n + 40 < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? " " : "", event_columns[i].name);
    return err_set(err, ERR_INVALID, "%s: '%s' is not a column; the columns are %s …", name,
                   json_is_string(json) ? value_shown(json_string_value(json)) : "(not a string)", all);
}

static int parse_op(const json_t *json, const char *name, enum column column, enum query_op *out,
                    struct err *err)
{
    enum column_type type = event_columns[column].type;
    const char *text = json_is_string(json) ? json_string_value(json) : "(not a string)";
    for (unsigned op = 0; op < OP_COUNT; op++)
        if (strcmp(text, query_op_name(op)) == 0 && (ops_of_type[type] & 1U << op)) {
            *out = op;
            return 0;
        }
    return err_set(err, ERR_INVALID, "%s.op: '%s' does not fit %s, which takes %s", name, value_shown(text),
                   event_columns[column].name, ops_text(type));
}

static int parse_values(const json_t *values, const char *name, struct query *query,
                        struct query_filter *filter, struct err *err)
{
    size_t count = json_array_size(values), min = values_of_op[filter->op].min;
    if (count < min || count > values_of_op[filter->op].max)
        return err_set(err, ERR_INVALID, "%s.values: %s takes %s", name, query_op_name(filter->op),
                       filter->op == OP_EQ ? "one value (several: in)"
                       : filter->op == OP_RANGE
                           ? "two values: from (inclusive) and to (exclusive), null for open"
                           : "an array of at least one value");
    filter->first_value = query->value_count;
    filter->value_count = count;
    for (size_t i = 0; i < count; i++) {
        char at[64];
        (void)snprintf(at, sizeof at, "%s.values[%zu]", name, i);
        int rc = value_parse(filter->column, filter->op, json_array_get(values, i), at, query->text,
                             &query->values[query->value_count], err);
        if (rc != 0)
            return rc;
        query->value_count++;
    }
    return 0;
}

static int parse_one(const json_t *json, const char *name, struct query *query, struct err *err)
{
    struct query_filter *filter = &query->filters[query->filter_count];
    const json_t *op = json_object_get(json, "op");
    if (!json_is_object(json) || json_object_size(json) != (op == NULL ? 2U : 3U) ||
        json_object_get(json, "column") == NULL || !json_is_array(json_object_get(json, "values")))
        return err_set(err, ERR_INVALID,
                       "%s: an object of exactly column, op (eq when missing) and values (an array)", name);
    char at[48];
    (void)snprintf(at, sizeof at, "%s.column", name);
    int rc = filter_column(json_object_get(json, "column"), at, &filter->column, err);
    filter->op = OP_EQ;
    if (rc == 0 && op != NULL)
        rc = parse_op(op, name, filter->column, &filter->op, err);
    if (rc == 0)
        rc = parse_values(json_object_get(json, "values"), name, query, filter, err);
    if (rc == 0)
        query->filter_count++;
    return rc != 0 ? rc : filter_check(query, query->filter_count - 1, err);
}

static size_t count_values(const json_t *where)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(where); i++)
        count += json_array_size(json_object_get(json_array_get(where, i), "values"));
    return count;
}

int filter_parse_all(const json_t *where, size_t json_bytes, struct query *query, struct err *err)
{
    size_t count = json_array_size(where), values = count_values(where);
    if (!json_is_array(where))
        return err_set(err, ERR_INVALID, "where: an array of {column, op, values}");
    if (count > QUERY_FILTERS || values > QUERY_VALUES)
        return err_set(err, ERR_LIMIT, "where: at most %d filters with %d values together", QUERY_FILTERS,
                       QUERY_VALUES);
    query->values = calloc(values + 1, sizeof *query->values);
    query->text = calloc(1, sizeof *query->text);
    if (query->values == NULL || query->text == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    buf_init(query->text, json_bytes + 1);
    if (buf_reserve(query->text, json_bytes) != 0) /* decoded JSON is never longer: slices never move */
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "where[%zu]", i);
        int rc = parse_one(json_array_get(where, i), name, query, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static bool value_fits(enum column column, enum query_op op, const struct query_value *value)
{
    const struct column_info *info = &event_columns[column];
    if (value->absent)
        return op == OP_RANGE || ((1U << op & MATCH) && info->nullable);
    switch (info->type) {
    case TYPE_TEXT:
        return value->text.n <= QUERY_VALUE_BYTES && text_is_utf8(value->text);
    case TYPE_TS:
        return value->ts > -QUERY_LATEST_US && value->ts <= QUERY_LATEST_US;
    case TYPE_IP:
        return op != OP_CIDR || value->prefix.bits <= 128;
    case TYPE_ID128:
        return true;
    default:
        return value->u64 <= value_max(column);
    }
}

static bool range_is_sound(enum column column, const struct query_value *values)
{
    if (values[0].absent || values[1].absent)
        return !(values[0].absent && values[1].absent);
    if (event_columns[column].type == TYPE_TS)
        return values[0].ts < values[1].ts;
    return values[0].u64 < values[1].u64;
}

int filter_check(const struct query *query, size_t i, struct err *err)
{
    const struct query_filter *filter = &query->filters[i];
    size_t count = filter->value_count;
    if (filter->column >= COLUMN_COUNT || filter->op >= OP_COUNT ||
        !(ops_of_type[event_columns[filter->column].type] & 1U << filter->op))
        return err_set(err, ERR_INVALID, "where[%zu]: the operator does not fit the column", i);
    if (count < values_of_op[filter->op].min || count > values_of_op[filter->op].max ||
        filter->first_value > query->value_count || count > query->value_count - filter->first_value)
        return err_set(err, ERR_INVALID, "where[%zu]: the operator takes another number of values", i);
    const struct query_value *values = query->values + filter->first_value;
    for (size_t v = 0; v < count; v++)
        if (!value_fits(filter->column, filter->op, &values[v]))
            return err_set(err, ERR_INVALID, "where[%zu].values[%zu]: %s takes %s", i, v,
                           event_columns[filter->column].name, value_expected(filter->column, filter->op));
    if (filter->op == OP_RANGE && !range_is_sound(filter->column, values))
        return err_set(err, ERR_INVALID,
                       "where[%zu].values: the first must be below the second, one may be null", i);
    return 0;
}
