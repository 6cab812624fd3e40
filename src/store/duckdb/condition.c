/* SPDX-License-Identifier: Apache-2.0
 *
 * condition: one filter, or a group of them, as SQL with bound values. See compiler.h.
 */
#include "store/duckdb/compiler.h"

#include <stdlib.h>

void compiler_param(struct compiler *c, struct param param)
{
    struct statement *out = c->out;
    if (c->rc == 0 && out->param_count == out->param_room) {
        size_t room = out->param_room == 0 ? 16 : out->param_room * 2;
        struct param *params = realloc(out->params, room * sizeof *params);
        if (params == NULL) {
            c->rc = ERR_NO_MEMORY;
            return;
        }
        out->params = params;
        out->param_room = room;
    }
    if (c->rc != 0)
        return;
    out->params[out->param_count++] = param;
    add(c, "$%zu", out->param_count);
}

static void add_value(struct compiler *c, enum column column, const struct query_value *value)
{
    struct param param = {
        .type = event_columns[column].type, .u64 = value->u64, .ts = value->ts, .text = value->text};
    if (param.type == TYPE_IP || param.type == TYPE_NETWORK)
        memcpy(param.bytes, value->ip.b, sizeof param.bytes);
    else if (param.type == TYPE_ID128)
        memcpy(param.bytes, value->id.b, sizeof param.bytes);
    else if (param.type == TYPE_STAGE)
        param.text = slice_of(event_stage_name((enum stage)value->u64));
    else if (param.type == TYPE_DIRECTION)
        param.text = slice_of(event_direction_name((enum direction)value->u64));
    compiler_param(c, param);
}

/* EQ, IN and NE: a list of values, NULL beside it. */
static void add_list(struct compiler *c, const struct query_condition *condition)
{
    bool not = condition->op == OP_NE, absent = false;
    size_t listed = 0;
    for (size_t i = 0; i < condition->count; i++) {
        if (condition->values[i].absent) {
            absent = true;
            continue;
        }
        if (listed == 0)
            compiler_column(c, condition->column);
        add(c, listed++ > 0 ? ", " : not ? " NOT IN (" : " IN (");
        add_value(c, condition->column, &condition->values[i]);
    }
    if (listed > 0)
        add(c, ")");
    if (!absent && !not )
        return;
    bool excluded = not &&absent; /* NE holds for NULL unless NULL is listed */
    add(c, listed == 0 ? "" : excluded ? " AND " : " OR ");
    compiler_column(c, condition->column);
    add(c, excluded ? " IS NOT NULL" : " IS NULL");
}

static void add_each(struct compiler *c, const struct query_condition *condition)
{
    static const char *const functions[] = {
        [OP_PREFIX] = "starts_with", [OP_SUFFIX] = "suffix", [OP_CONTAINS] = "contains"};
    for (size_t i = 0; i < condition->count; i++) {
        const struct query_value *value = &condition->values[i];
        add(c, i > 0 ? " OR " : "");
        if (condition->op != OP_CIDR) {
            add(c, "%s(", functions[condition->op]);
            compiler_column(c, condition->column);
            add(c, ", ");
            add_value(c, condition->column, value);
            add(c, ")");
        } else {
            struct query_value last = {0};
            ip_prefix_last(&value->prefix, &last.ip);
            compiler_column(c, condition->column);
            add(c, " BETWEEN ");
            add_value(c, condition->column, &(struct query_value){.ip = value->prefix.net});
            add(c, " AND ");
            add_value(c, condition->column, &last);
        }
    }
}

static void add_range(struct compiler *c, const struct query_condition *condition)
{
    const struct query_value *from = &condition->values[0], *to = &condition->values[1];
    if (!from->absent) {
        compiler_column(c, condition->column);
        add(c, " >= ");
        add_value(c, condition->column, from);
    }
    if (!to->absent) {
        add(c, from->absent ? "" : " AND ");
        compiler_column(c, condition->column);
        add(c, " < ");
        add_value(c, condition->column, to);
    }
}

static void add_empty(struct compiler *c, const struct query_condition *condition)
{
    compiler_column(c, condition->column);
    add(c, " IS NULL");
    if (event_columns[condition->column].type != TYPE_TEXT)
        return;
    add(c, " OR ");
    compiler_column(c, condition->column);
    add(c, " = ''");
}

static void add_test(struct compiler *c, const struct query_condition *condition)
{
    switch (condition->op) {
    case OP_RANGE:
        add_range(c, condition);
        break;
    case OP_PREFIX:
    case OP_SUFFIX:
    case OP_CONTAINS:
    case OP_CIDR:
        add_each(c, condition);
        break;
    case OP_EMPTY:
        add_empty(c, condition);
        break;
    default:
        add_list(c, condition);
    }
}

/* Its depth is bounded by query_check. What is NULL does not hold; only below NOT that needs a word. */
static void add_any(struct compiler *c, const struct query_condition *condition)
{
    static const char *const begins[] = {"(", "(", "(", "(NOT coalesce("};
    add(c, "%s", begins[condition->kind]);
    if (condition->kind == FILTER_TEST)
        add_test(c, condition);
    for (size_t at = condition->first; c->rc == 0 && at < condition->end;) {
        struct query_condition own;
        if (at > condition->first)
            add(c, condition->kind == FILTER_OR ? " OR " : " AND ");
        at = query_condition_at(c->query, at, &own);
        add_any(c, &own);
    }
    add(c, condition->kind == FILTER_NOT ? ", false))" : ")");
}

int compiler_condition(void *arg, const struct query_condition *condition)
{
    struct compiler *c = arg;
    add(c, " AND ");
    add_any(c, condition);
    return c->rc;
}
