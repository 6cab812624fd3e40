/* SPDX-License-Identifier: Apache-2.0
 *
 * networks: GET POST DELETE /api/v1/networks.
 */
#include "nouns.h"

static int read_prefix(const struct field *at, const char *text, struct ip_prefix *out)
{
    if (ip_prefix_parse(slice_of(text), out) == 0)
        return 0;
    return field_fail(
        at, ERR_INVALID,
        "'%.60s' is not a network: write 192.0.2.0/24, 2001:db8::/32 or one address; bits behind "
        "the prefix must be 0",
        text);
}

int network_read(const struct field *item, struct account_network *out)
{
    const char *prefix = NULL;
    *out = (struct account_network){.trusted = true, .comment = ""};
    if (json_is_string(item->json))
        return read_prefix(item, json_string_value(item->json), &out->prefix);
    int rc = field_object(item, "tenant prefix trusted comment");
    if (rc == 0)
        rc = field_text(item, "prefix", NULL, &prefix);
    if (rc == 0)
        rc = field_bool(item, "trusted", true, &out->trusted);
    if (rc == 0)
        rc = field_text(item, "comment", "", &out->comment);
    if (rc != 0)
        return rc;
    struct field member = field_member(item, "prefix");
    return read_prefix(&member, prefix, &out->prefix);
}

static int write_network(struct api_call *call, const struct account_network *network)
{
    char prefix[IP_TEXT_BYTES];
    ip_prefix_format(&network->prefix, prefix);
    int rc = buf_addf(call->reply, "{");
    if (rc == 0)
        rc = call_write_tenant(call, network->tenant);
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"prefix\":\"%s\",\"trusted\":%s,\"comment\":", prefix,
                      network->trusted ? "true" : "false");
    if (rc == 0)
        rc = field_write(call->reply, slice_of(network->comment));
    return rc != 0 ? rc : buf_addf(call->reply, "}");
}

static int network_row(void *arg, const struct account_network *network)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : write_network(call, network);
}

int networks_list(struct api_call *call)
{
    uint32_t tenant;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_network_list(call->context->account, tenant, network_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int add_one(struct api_call *call, const struct field *item)
{
    struct account_network network;
    int rc = network_read(item, &network);
    if (rc == 0)
        rc = noun_tenant(call, item, &network.tenant);
    if (rc != 0)
        return rc;
    rc = account_network_add(call->context->account, &network, &call->err);
    if (rc != 0)
        return field_blame(item, rc);
    return json_is_array(call->body) ? 0 : write_network(call, &network);
}

int networks_add(struct api_call *call)
{
    return call_add(call, "network add", add_one);
}

struct removal {
    uint32_t tenant;
    struct ip_prefix prefix;
};

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    const struct removal *removal = arg;
    return account_network_remove(a, removal->tenant, removal->prefix, err);
}

int networks_remove(struct api_call *call)
{
    char text[IP_TEXT_BYTES];
    struct removal removal;
    struct field place = {.err = &call->err, .path = "?prefix"};
    int rc = call_tenant_parameter(call, true, &removal.tenant);
    if (rc == 0)
        rc = call_parameter(call, "prefix", text, sizeof text);
    if (rc == 0)
        rc = read_prefix(&place, text, &removal.prefix);
    return rc != 0 ? rc : call_remove(call, "network remove", removal.tenant, text, remove_one, &removal);
}
