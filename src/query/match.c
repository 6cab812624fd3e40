/* SPDX-License-Identifier: Apache-2.0
 *
 * match: see match.h. What holds for what is absent is said in query.h, at enum query_op.
 */
#include "query/match.h"

#include "query/filter.h"

#include <stdlib.h>

static const void *field_of(const struct event *event, enum column column)
{
    return (const char *)event + event_columns[column].offset;
}

/* Of a number, a flag or an enum. */
static uint64_t number_of(const void *field, enum column_type type)
{
    switch (type) {
    case TYPE_U16:
        return *(const uint16_t *)field;
    case TYPE_U32:
        return *(const uint32_t *)field;
    case TYPE_U64:
        return *(const uint64_t *)field;
    default: /* BOOL, U8, enums */
        return *(const uint8_t *)field;
    }
}

static bool is_absent(const struct event *event, enum column column)
{
    static const uint8_t zero[16];
    const struct column_info *info = &event_columns[column];
    const void *field = field_of(event, column);
    if (!info->nullable)
        return false;
    switch (info->type) {
    case TYPE_TEXT:
        return ((const struct slice *)field)->n == 0;
    case TYPE_IP:
    case TYPE_ID128:
        return memcmp(field, zero, sizeof zero) == 0;
    case TYPE_TS:
    case TYPE_BOOL:
        return false;
    default:
        return number_of(field, info->type) == 0;
    }
}

/* Of an event that has one. */
static bool equals(const struct event *event, enum column column, const struct query_value *value)
{
    const void *field = field_of(event, column);
    switch (event_columns[column].type) {
    case TYPE_TEXT:
        return slice_equal(*(const struct slice *)field, value->text);
    case TYPE_TS:
        return *(const int64_t *)field == value->ts;
    case TYPE_IP:
        return memcmp(field, value->ip.b, sizeof value->ip.b) == 0;
    case TYPE_ID128:
        return memcmp(field, value->id.b, sizeof value->id.b) == 0;
    default:
        return number_of(field, event_columns[column].type) == value->u64;
    }
}

static bool lies_within(const struct event *event, enum column column, const struct query_value *values)
{
    const struct query_value *from = &values[0], *to = &values[1];
    const void *field = field_of(event, column);
    if (event_columns[column].type == TYPE_TS) {
        int64_t ts = *(const int64_t *)field;
        return (from->absent || ts >= from->ts) && (to->absent || ts < to->ts);
    }
    uint64_t number = number_of(field, event_columns[column].type);
    return (from->absent || number >= from->u64) && (to->absent || number < to->u64);
}

static bool contains(struct slice text, struct slice part)
{
    return part.n <= text.n && memmem(text.p, text.n, part.p, part.n) != NULL;
}

static bool fits_value(const struct event *event, const struct query_filter *filter,
                       const struct query_value *value)
{
    const void *field = field_of(event, filter->column);
    struct slice text = {NULL, 0};
    if (event_columns[filter->column].type == TYPE_TEXT)
        text = *(const struct slice *)field;
    switch (filter->op) {
    case OP_PREFIX:
        return text.n >= value->text.n && memcmp(text.p, value->text.p, value->text.n) == 0;
    case OP_SUFFIX:
        return text.n >= value->text.n &&
               memcmp(text.p + text.n - value->text.n, value->text.p, value->text.n) == 0;
    case OP_CONTAINS:
        return contains(text, value->text);
    case OP_CIDR:
        return ip_prefix_contains(&value->prefix, field);
    default:
        return !value->absent && equals(event, filter->column, value);
    }
}

static bool test_holds(const struct query *query, const struct query_filter *filter,
                       const struct event *event)
{
    const struct query_value *values = query->values + filter->first_value;
    bool absent = is_absent(event, filter->column), any = false;
    if (filter->op == OP_EMPTY)
        return absent;
    if (filter->op == OP_RANGE)
        return !absent && lies_within(event, filter->column, values);
    for (size_t i = 0; !any && i < filter->value_count; i++)
        any = absent ? values[i].absent : fits_value(event, filter, &values[i]);
    return filter->op == OP_NE ? !any : any;
}

/* Whether the filter at `at` holds, with all that is its own: its depth is bounded by filter_check. */
static bool holds(const struct query *query, size_t at, const struct event *event)
{
    const struct query_filter *filter = &query->filters[at];
    if (filter->kind == FILTER_TEST)
        return test_holds(query, filter, event);
    bool wanted = filter->kind == FILTER_OR; /* the first that is so decides */
    for (size_t own = at + 1, end = at + 1 + filter->span; own < end;) {
        if (holds(query, own, event) == wanted)
            return filter->kind != FILTER_AND;
        own += 1 + (query->filters[own].kind == FILTER_TEST ? 0 : query->filters[own].span);
    }
    return filter->kind == FILTER_AND;
}

bool query_match(const struct query *query, const struct event *event)
{
    if (query->scope != QUERY_SCOPE_ALL &&
        (query->scope != QUERY_SCOPE_TENANT || event->tenant != query->tenant))
        return false;
    for (size_t at = 0; at < query->filter_count;) {
        if (!holds(query, at, event))
            return false;
        at += 1 + (query->filters[at].kind == FILTER_TEST ? 0 : query->filters[at].span);
    }
    return true;
}

int query_parse_filters(const json_t *where, size_t json_bytes, struct query **out, struct err *err)
{
    struct query *query = calloc(1, sizeof *query);
    *out = NULL;
    if (query == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = filter_parse_all(where, json_bytes, query, err);
    if (rc != 0)
        query_destroy(&query);
    *out = query;
    return rc;
}
