/* SPDX-License-Identifier: Apache-2.0
 *
 * edges: GET /api/v1/edges, GET DELETE /api/v1/edges/ID?tenant=, and below it GET /history, GET PATCH
 * /settings. With a hub: what it knows of each edge (last seen, gaps, lag); without one: the pinned ids. What
 * people may edit is apart from figures that change by themselves, so that it has a tag. DELETE unpins, so
 * that a reinstalled edge may greet with a new key.
 */
#include "base/clock.h"
#include "nouns.h"

static int write_edge(struct api_call *call, const struct account_edge *edge)
{
    char seen[CLOCK_TEXT_BYTES];
    clock_format(edge->first_seen_us, seen);
    int rc = buf_addf(call->reply, "{\"id\":\"%s\",", edge->id);
    if (rc == 0)
        rc = call_write_tenant(call, edge->tenant);
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"curve_key\":");
    if (rc == 0)
        rc = field_write(call->reply, slice_of(edge->curve_key));
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"comment\":");
    if (rc == 0)
        rc = field_write(call->reply, slice_of(edge->comment));
    return rc != 0 ? rc : buf_addf(call->reply, ",\"first_seen\":\"%s\"}", seen);
}

static int edge_row(void *arg, const struct account_edge *edge)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : write_edge(call, edge);
}

static int add_settings(void *arg, const struct account_edge *edge)
{
    char seen[CLOCK_TEXT_BYTES];
    json_t *row = arg;
    clock_format(edge->first_seen_us, seen);
    return json_object_set_new(row, "comment", json_string(edge->comment)) != 0 ||
                   json_object_set_new(row, "curve_key", json_string(edge->curve_key)) != 0 ||
                   json_object_set_new(row, "first_seen", json_string(seen)) != 0
               ? ERR_NO_MEMORY
               : 0;
}

/* The hub knows tenants by number, and neither keys nor comments; the API speaks of names. A tenant that was
 * removed keeps its number. */
static int complete(struct api_call *call, json_t *row)
{
    struct account *account = call->context->account;
    char name[ACCOUNT_NAME_BYTES];
    const char *id = json_string_value(json_object_get(row, "id"));
    uint32_t tenant = (uint32_t)json_integer_value(json_object_get(row, "tenant"));
    int rc = account_tenant_name(account, tenant, name, &call->err);
    if (rc == 0)
        (void)json_object_set_new(row, "tenant", json_string(name));
    if (rc == 0)
        rc = account_edge_get(account, tenant, id, add_settings, row, &call->err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* *rows is the caller's. */
static int ask_hub(struct api_call *call, uint32_t tenant, json_t **rows)
{
    json_error_t error;
    struct buf text = {.limit = call->reply->limit};
    int rc = call->context->edges(call->context->arg, tenant, &text);
    *rows = rc == 0 ? json_loadb(text.p != NULL ? text.p : "", text.n, 0, &error) : NULL;
    buf_fini(&text);
    return rc == 0 && *rows == NULL
               ? err_set(&call->err, ERR_IO, "the hub's list of edges is no JSON: %s", error.text)
               : rc;
}

static int dump(const char *bytes, size_t n, void *arg)
{
    return buf_add(arg, bytes, n);
}

static int write_row(struct api_call *call, json_t *row)
{
    int rc = complete(call, row);
    return rc == 0 && json_dump_callback(row, dump, call->reply, JSON_COMPACT) != 0 ? ERR_LIMIT : rc;
}

static int list_from_hub(struct api_call *call, uint32_t tenant)
{
    json_t *rows = NULL;
    int rc = ask_hub(call, tenant, &rows);
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        rc = call_row(call);
        if (rc == 0)
            rc = write_row(call, json_array_get(rows, i));
    }
    json_decref(rows);
    return rc;
}

int edges_list(struct api_call *call)
{
    uint32_t tenant;
    const struct api_context *context = call->context;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0 && context->edges != NULL)
        rc = list_from_hub(call, tenant);
    else if (rc == 0)
        rc = account_edge_list(context->account, tenant, edge_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int no_edge(struct api_call *call)
{
    return err_set(&call->err, ERR_NOT_FOUND, "the tenant has no edge '%s'", call->name);
}

static int get_from_hub(struct api_call *call)
{
    json_t *rows = NULL;
    int rc = ask_hub(call, call->tenant, &rows);
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (strcmp(json_string_value(json_object_get(row, "id")), call->name) == 0)
            rc = write_row(call, row);
    }
    json_decref(rows);
    return rc == 0 && call->reply->n == 0 ? no_edge(call) : rc;
}

static int edge_alone(void *arg, const struct account_edge *edge)
{
    return write_edge(arg, edge);
}

int edges_get(struct api_call *call)
{
    const struct api_context *context = call->context;
    int rc = call_whose(call);
    if (rc == 0 && context->edges != NULL)
        return get_from_hub(call);
    return rc != 0
               ? rc
               : account_edge_get(context->account, call->tenant, call->name, edge_alone, call, &call->err);
}

int edges_history(struct api_call *call)
{
    const struct api_context *context = call->context;
    int rc = call_whose(call);
    if (rc == 0 && context->edge_history == NULL)
        return err_set(&call->err, ERR_UNAVAILABLE,
                       "no hub is running: start it with `mail-analytics serve`");
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"rows\":");
    if (rc == 0 &&
        (rc = context->edge_history(context->arg, call->tenant, call->name, call->reply)) == ERR_NOT_FOUND)
        return no_edge(call);
    return call_reply_failed(call, rc != 0 ? rc : buf_addf(call->reply, "}"));
}

static int write_comment(void *arg, const struct account_edge *edge)
{
    struct buf *out = ((struct api_call *)arg)->reply;
    int rc = buf_addf(out, "{\"comment\":");
    if (rc == 0)
        rc = field_write(out, slice_of(edge->comment));
    return rc != 0 ? rc : buf_addf(out, "}");
}

static int write_settings(struct api_call *call)
{
    return account_edge_get(call->context->account, call->tenant, call->name, write_comment, call,
                            &call->err);
}

int edges_settings(struct api_call *call)
{
    int rc = call_whose(call);
    if (rc == 0)
        rc = write_settings(call);
    return rc != 0 ? rc : call_tagged(call);
}

static int change_settings(struct api_call *call)
{
    const char *comment;
    struct field root = field_root(call->body, &call->err);
    int rc = field_object(&root, "comment");
    if (rc == 0)
        rc = field_text(&root, "comment", NULL, &comment);
    return rc != 0
               ? rc
               : account_edge_comment(call->context->account, call->tenant, call->name, comment, &call->err);
}

int edges_change(struct api_call *call)
{
    static const struct edit edit = {"edge change", write_settings, change_settings, false};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}

static int remove_one(struct api_call *call)
{
    return account_edge_forget(call->context->account, call->tenant, call->name, &call->err);
}

int edges_remove(struct api_call *call)
{
    static const struct edit edit = {"edge remove", write_settings, remove_one, true};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}
