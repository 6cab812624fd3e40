/* SPDX-License-Identifier: Apache-2.0
 *
 * filter: see filter.h. One table says which operators a type has and how many values each takes.
 */
#include "query/filter.h"

#include <stdio.h>
#include <stdlib.h>

/* Of where a filter stands ("where[0].or[63].not.and[1]"); a longer one is cut. */
enum { NAME_BYTES = 96 };

#define MATCH (1U << OP_EQ | 1U << OP_NE | 1U << OP_IN)

static const unsigned ops_of_type[] = {
    [TYPE_U8] = MATCH | 1U << OP_RANGE,
    [TYPE_U16] = MATCH | 1U << OP_RANGE,
    [TYPE_U32] = MATCH | 1U << OP_RANGE,
    [TYPE_U64] = MATCH | 1U << OP_RANGE,
    [TYPE_BOOL] = MATCH,
    [TYPE_TS] = MATCH | 1U << OP_RANGE,
    [TYPE_TEXT] = MATCH | 1U << OP_PREFIX | 1U << OP_SUFFIX | 1U << OP_CONTAINS,
    [TYPE_IP] = MATCH | 1U << OP_CIDR,
    [TYPE_ID128] = MATCH,
    [TYPE_DIRECTION] = MATCH,
    [TYPE_STAGE] = MATCH,
    [TYPE_NETWORK] = MATCH,
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
    [OP_SUFFIX] = {1, QUERY_VALUES},
    [OP_CONTAINS] = {1, QUERY_VALUES},
    [OP_EMPTY] = {0, 0},
};

static unsigned ops_of(enum column column)
{
    return ops_of_type[event_columns[column].type] | (event_columns[column].nullable ? 1U << OP_EMPTY : 0);
}

static const char *ops_text(enum column column)
{
    static _Thread_local char text[96];
    size_t n = 0;
    for (unsigned op = 0; op < OP_COUNT; op++)
        if (ops_of(column) & 1U << op)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n > 0 ? ", " : "", query_op_name(op));
    return text;
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
    const char *text = json_is_string(json) ? json_string_value(json) : "(not a string)";
    for (unsigned op = 0; op < OP_COUNT; op++)
        if (strcmp(text, query_op_name(op)) == 0 && (ops_of(column) & 1U << op)) {
            *out = op;
            return 0;
        }
    return err_set(err, ERR_INVALID, "%s.op: '%s' does not fit %s, which takes %s", name, value_shown(text),
                   event_columns[column].name, ops_text(column));
}

static const char *values_text(enum query_op op)
{
    switch (op) {
    case OP_EQ:
        return "one value (several: in)";
    case OP_RANGE:
        return "two values: from (inclusive) and to (exclusive), null for open";
    case OP_EMPTY:
        return "none";
    default:
        return "an array of at least one value";
    }
}

static int parse_values(const json_t *values, const char *name, struct query *query,
                        struct query_filter *filter, struct err *err)
{
    size_t count = json_array_size(values);
    if (count > QUERY_VALUES - query->value_count)
        return err_set(err, ERR_LIMIT, "where: at most %d values together", QUERY_VALUES);
    if (count < values_of_op[filter->op].min || count > values_of_op[filter->op].max)
        return err_set(err, ERR_INVALID, "%s.values: %s takes %s", name, query_op_name(filter->op),
                       values_text(filter->op));
    filter->first_value = query->value_count;
    filter->value_count = count;
    for (size_t i = 0; i < count; i++) {
        char at[NAME_BYTES + 32];
        (void)snprintf(at, sizeof at, "%s.values[%zu]", name, i);
        int rc = value_parse(filter->column, filter->op, json_array_get(values, i), at, query->text,
                             &query->values[query->value_count], err);
        if (rc != 0)
            return rc;
        query->value_count++;
    }
    return 0;
}

static int parse_test(const json_t *json, const char *name, struct query *query, struct query_filter *filter,
                      struct err *err)
{
    const json_t *op = json_object_get(json, "op"), *values = json_object_get(json, "values");
    size_t known = 1U + (op != NULL) + (values != NULL);
    if (!json_is_object(json) || json_object_size(json) != known || json_object_get(json, "column") == NULL ||
        (values != NULL ? !json_is_array(values)
                        : !json_is_string(op) || strcmp(json_string_value(op), query_op_name(OP_EMPTY)) != 0))
        return err_set(
            err, ERR_INVALID,
            "%s: an object of exactly column, op (eq when missing) and values (an array), or of one "
            "of and, or (arrays of filters), not (a filter)",
            name);
    char at[NAME_BYTES + 16];
    (void)snprintf(at, sizeof at, "%s.column", name);
    int rc = filter_column(json_object_get(json, "column"), at, &filter->column, err);
    filter->op = OP_EQ;
    if (rc == 0 && op != NULL)
        rc = parse_op(op, name, filter->column, &filter->op, err);
    return rc != 0 ? rc : parse_values(values, name, query, filter, err);
}

static int parse_one(const json_t *json, const char *name, size_t depth, struct query *query,
                     struct err *err);

/* {"and": […]}, {"or": […]} or {"not": …}: the member's name; NULL for anything else. */
static const char *group_name(const json_t *json, enum filter_kind *kind)
{
    static const char *const names[] = {[FILTER_AND] = "and", [FILTER_OR] = "or", [FILTER_NOT] = "not"};
    for (unsigned k = FILTER_AND; k <= FILTER_NOT; k++)
        if (json_object_size(json) == 1 && json_object_get(json, names[k]) != NULL) {
            *kind = k;
            return names[k];
        }
    return NULL;
}

static int parse_group(const json_t *own, const char *name, size_t depth, struct query *query,
                       struct query_filter *filter, struct err *err)
{
    char at[NAME_BYTES];
    int rc = 0;
    size_t before = query->filter_count;
    if (depth == QUERY_DEPTH)
        return err_set(err, ERR_LIMIT, "%s: at most %d groups within each other", name, QUERY_DEPTH);
    if (filter->kind == FILTER_NOT)
        rc = parse_one(own, name, depth + 1, query, err);
    else if (!json_is_array(own) || json_array_size(own) == 0)
        rc = err_set(err, ERR_INVALID, "%s: an array of at least one filter", name);
    else
        for (size_t i = 0; rc == 0 && i < json_array_size(own); i++) {
            (void)snprintf(at, sizeof at, "%.*s[%zu]", NAME_BYTES - 24, name, i);
            rc = parse_one(json_array_get(own, i), at, depth + 1, query, err);
        }
    filter->span = query->filter_count - before;
    return rc;
}

static int parse_one(const json_t *json, const char *name, size_t depth, struct query *query, struct err *err)
{
    char at[NAME_BYTES];
    if (query->filter_count == QUERY_FILTERS)
        return err_set(err, ERR_LIMIT, "where: at most %d filters, groups counted", QUERY_FILTERS);
    struct query_filter *filter = &query->filters[query->filter_count++];
    const char *group = group_name(json, &filter->kind);
    if (group == NULL)
        return parse_test(json, name, query, filter, err);
    (void)snprintf(at, sizeof at, "%.*s.%s", NAME_BYTES - 8, name, group);
    return parse_group(json_object_get(json, group), at, depth, query, filter, err);
}

int filter_parse_all(const json_t *where, size_t json_bytes, struct query *query, struct err *err)
{
    if (!json_is_array(where))
        return err_set(err, ERR_INVALID, "where: an array of filters");
    query->values = calloc(QUERY_VALUES, sizeof *query->values);
    query->text = calloc(1, sizeof *query->text);
    if (query->values == NULL || query->text == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    buf_init(query->text, json_bytes + 1);
    if (buf_reserve(query->text, json_bytes) != 0) /* decoded JSON is never longer: slices never move */
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < json_array_size(where); i++) {
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "where[%zu]", i);
        int rc = parse_one(json_array_get(where, i), name, 0, query, err);
        if (rc != 0)
            return rc;
    }
    return filter_check(query, err);
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
    case TYPE_NETWORK:
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

static int check_test(const struct query *query, size_t i, struct err *err)
{
    const struct query_filter *filter = &query->filters[i];
    size_t count = filter->value_count;
    if (!event_column_is(filter->column) || filter->op >= OP_COUNT ||
        !(ops_of(filter->column) & 1U << filter->op))
        return err_set(err, ERR_INVALID, "where: filter %zu: the operator does not fit the column", i);
    if (count < values_of_op[filter->op].min || count > values_of_op[filter->op].max ||
        filter->first_value > query->value_count || count > query->value_count - filter->first_value)
        return err_set(err, ERR_INVALID, "where: filter %zu: the operator takes another number of values", i);
    const struct query_value *values = query->values + filter->first_value;
    for (size_t v = 0; v < count; v++)
        if (!value_fits(filter->column, filter->op, &values[v]))
            return err_set(err, ERR_INVALID, "where: filter %zu, value %zu: %s takes %s", i, v,
                           event_columns[filter->column].name, value_expected(filter->column, filter->op));
    if (filter->op == OP_RANGE && !range_is_sound(filter->column, values))
        return err_set(err, ERR_INVALID,
                       "where: filter %zu: the first must be below the second, one may be null", i);
    return 0;
}

/* The filters from at until end, which lie within depth groups. */
static int check_between(const struct query *query, size_t at, size_t end, size_t depth, struct err *err)
{
    int rc = 0;
    while (rc == 0 && at < end) {
        const struct query_filter *filter = &query->filters[at];
        size_t behind = at + 1;
        if (filter->kind == FILTER_TEST) {
            rc = check_test(query, at, err);
        } else {
            behind += filter->span;
            bool known =
                filter->kind == FILTER_AND || filter->kind == FILTER_OR || filter->kind == FILTER_NOT;
            if (!known || filter->span == 0 || filter->span > end - at - 1 || depth == QUERY_DEPTH)
                return err_set(err, ERR_LIMIT, "where: filter %zu: not a group, empty, or too deep", at);
            const struct query_filter *own = filter + 1;
            if (filter->kind == FILTER_NOT && filter->span != (own->kind == FILTER_TEST ? 1 : 1 + own->span))
                return err_set(err, ERR_INVALID, "where: filter %zu: not takes one filter", at);
            rc = check_between(query, at + 1, behind, depth + 1, err);
        }
        at = behind;
    }
    return rc;
}

int filter_check(const struct query *query, struct err *err)
{
    return check_between(query, 0, query->filter_count, 0, err);
}
