/* SPDX-License-Identifier: Apache-2.0
 *
 * edges: GET DELETE /api/v1/edges. With a hub: what it knows of each edge (last seen, gaps, lag); without
 * one: the pinned ids. DELETE ?tenant=&id= unpins, so that a reinstalled edge may greet with a new key.
 */
#include "base/clock.h"
#include "nouns.h"

static int edge_row(void *arg, const struct account_edge *edge)
{
    struct api_call *call = arg;
    char seen[CLOCK_TEXT_BYTES];
    clock_format(edge->first_seen_us, seen);
    int rc = call_row(call);
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"id\":\"%s\",", edge->id);
    if (rc == 0)
        rc = call_write_tenant(call, edge->tenant);
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"curve_key\":");
    if (rc == 0)
        rc = field_write(call->reply, slice_of(edge->curve_key));
    return rc != 0 ? rc : buf_addf(call->reply, ",\"first_seen\":\"%s\"}", seen);
}

/* The hub knows tenants by number; the API speaks of names. A tenant that was removed keeps its number. */
static int name_tenants(struct api_call *call, json_t *rows)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        uint32_t tenant = (uint32_t)json_integer_value(json_object_get(row, "tenant"));
        char name[ACCOUNT_NAME_BYTES];
        int rc = account_tenant_name(call->context->account, tenant, name, &call->err);
        if (rc == 0)
            (void)json_object_set_new(row, "tenant", json_string(name));
        else if (rc != ERR_NOT_FOUND)
            return rc;
    }
    return 0;
}

static int dump(const char *bytes, size_t n, void *arg)
{
    return buf_add(arg, bytes, n);
}

static int list_from_hub(struct api_call *call, uint32_t tenant)
{
    json_error_t error;
    struct buf text = {.limit = call->reply->limit};
    int rc = call->context->edges(call->context->arg, tenant, &text);
    json_t *rows = rc == 0 ? json_loadb(text.p != NULL ? text.p : "", text.n, 0, &error) : NULL;
    buf_fini(&text);
    if (rc == 0 && rows == NULL)
        rc = err_set(&call->err, ERR_IO, "the hub's list of edges is no JSON: %s", error.text);
    if (rc == 0)
        rc = name_tenants(call, rows);
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"rows\":");
    if (rc == 0 && json_dump_callback(rows, dump, call->reply, JSON_COMPACT) != 0)
        rc = ERR_LIMIT;
    json_decref(rows);
    return call_reply_failed(call, rc != 0 ? rc : buf_addf(call->reply, "}"));
}

int edges_list(struct api_call *call)
{
    uint32_t tenant;
    const struct api_context *context = call->context;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0 && context->edges != NULL)
        return list_from_hub(call, tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_edge_list(context->account, tenant, edge_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

struct removal {
    uint32_t tenant;
    const char *id;
};

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    const struct removal *removal = arg;
    return account_edge_forget(a, removal->tenant, removal->id, err);
}

int edges_remove(struct api_call *call)
{
    char id[API_TEXT_BYTES];
    struct removal removal = {0, id};
    int rc = call_tenant_parameter(call, true, &removal.tenant);
    if (rc == 0)
        rc = call_parameter(call, "id", id, sizeof id);
    return rc != 0 ? rc : call_remove(call, "edge remove", removal.tenant, id, remove_one, &removal);
}
