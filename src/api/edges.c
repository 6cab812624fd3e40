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

int edges_list(struct api_call *call)
{
    uint32_t tenant;
    const struct api_context *context = call->context;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0 && context->edges != NULL) {
        rc = buf_addf(call->reply, "{\"rows\":");
        if (rc == 0)
            rc = context->edges(context->arg, tenant, call->reply);
        return call_reply_failed(call, rc != 0 ? rc : buf_addf(call->reply, "}"));
    }
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
