/* SPDX-License-Identifier: Apache-2.0
 *
 * match: see match.h. What holds for what is absent is said in query.h, at enum query_op.
 */
#include "query/match.h"

#include "query/derive.h"
#include "query/filter.h"

#include <stdlib.h>

static bool equals(const struct query_value *own, enum column column, const struct query_value *value)
{
    switch (event_columns[column].type) {
    case TYPE_TEXT:
        return slice_equal(own->text, value->text);
    case TYPE_TS:
        return own->ts == value->ts;
    case TYPE_IP:
    case TYPE_NETWORK:
        return ip_compare(&own->ip, &value->ip) == 0;
    case TYPE_ID128:
        return memcmp(own->id.b, value->id.b, sizeof value->id.b) == 0;
    default:
        return own->u64 == value->u64;
    }
}

static bool lies_within(const struct query_value *own, enum column column, const struct query_value *values)
{
    const struct query_value *from = &values[0], *to = &values[1];
    if (event_columns[column].type == TYPE_TS)
        return (from->absent || own->ts >= from->ts) && (to->absent || own->ts < to->ts);
    return (from->absent || own->u64 >= from->u64) && (to->absent || own->u64 < to->u64);
}

static bool contains(struct slice text, struct slice part)
{
    return part.n <= text.n && memmem(text.p, text.n, part.p, part.n) != NULL;
}

/* own: of an event that has one. */
static bool fits_value(const struct query_value *own, const struct query_filter *filter,
                       const struct query_value *value)
{
    struct slice text = own->text, part = value->text;
    switch (filter->op) {
    case OP_PREFIX:
        return text.n >= part.n && memcmp(text.p, part.p, part.n) == 0;
    case OP_SUFFIX:
        return text.n >= part.n && memcmp(text.p + text.n - part.n, part.p, part.n) == 0;
    case OP_CONTAINS:
        return contains(text, part);
    case OP_CIDR:
        return ip_prefix_contains(&value->prefix, &own->ip);
    default:
        return !value->absent && equals(own, filter->column, value);
    }
}

static bool test_holds(const struct query *query, const struct query_filter *filter,
                       const struct event *event)
{
    const struct query_value *values = query->values + filter->first_value;
    struct query_value own;
    bool any = false;
    query_value_of(query, event, filter->column, &own);
    if (filter->op == OP_EMPTY)
        return own.absent;
    if (filter->op == OP_RANGE)
        return !own.absent && lies_within(&own, filter->column, values);
    for (size_t i = 0; !any && i < filter->value_count; i++)
        any = own.absent ? values[i].absent : fits_value(&own, filter, &values[i]);
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
