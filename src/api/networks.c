/* SPDX-License-Identifier: Apache-2.0
 *
 * networks: GET POST /api/v1/networks, GET PATCH DELETE /api/v1/networks/PREFIX?tenant= (with %2F).
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
    if (rc == 0)
        rc = call_rows_end(call);
    return call_reply_failed(call, rc != 0 ? rc : call_tagged(call));
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
    call_ruled(call, network.tenant);
    return json_is_array(call->body) ? 0 : write_network(call, &network);
}

int networks_add(struct api_call *call)
{
    return call_add(call, "network add", add_one);
}

static int network_alone(void *arg, const struct account_network *network)
{
    return write_network(arg, network);
}

static int read_path(struct api_call *call, struct ip_prefix *prefix)
{
    struct field place = {.err = &call->err, .path = "the path"};
    return read_prefix(&place, call->name, prefix);
}

static int write_one(struct api_call *call)
{
    struct ip_prefix prefix;
    int rc = read_path(call, &prefix);
    return rc != 0 ? rc
                   : account_network_get(call->context->account, call->tenant, prefix, network_alone, call,
                                         &call->err);
}

int networks_get(struct api_call *call)
{
    int rc = call_whose(call);
    if (rc == 0)
        rc = write_one(call);
    return rc != 0 ? rc : call_tagged(call);
}

struct settings {
    bool trusted;
    char comment[ACCOUNT_COMMENT_BYTES + 1];
};

static int keep_settings(void *arg, const struct account_network *network)
{
    struct settings *kept = arg;
    kept->trusted = network->trusted;
    return slice_to_string(slice_of(network->comment), kept->comment, sizeof kept->comment);
}

static int change_one(struct api_call *call)
{
    bool changed;
    struct settings now;
    struct account *account = call->context->account;
    struct field root = field_root(call->body, &call->err);
    struct account_network network = {.tenant = call->tenant};
    int rc = read_path(call, &network.prefix);
    if (rc == 0)
        rc = account_network_get(account, call->tenant, network.prefix, keep_settings, &now, &call->err);
    if (rc == 0)
        rc = field_object(&root, "trusted comment");
    if (rc == 0)
        rc = field_bool(&root, "trusted", now.trusted, &network.trusted);
    if (rc == 0)
        rc = field_text(&root, "comment", now.comment, &network.comment);
    if (rc == 0)
        rc = account_network_put(account, &network, &changed, &call->err);
    if (rc == 0 && network.trusted != now.trusted) /* a comment labels nothing */
        call_ruled(call, network.tenant);
    return rc;
}

int networks_change(struct api_call *call)
{
    static const struct edit edit = {"network change", write_one, change_one, false};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}

static int remove_one(struct api_call *call)
{
    struct ip_prefix prefix;
    int rc = read_path(call, &prefix);
    if (rc == 0)
        rc = account_network_remove(call->context->account, call->tenant, prefix, &call->err);
    if (rc == 0)
        call_ruled(call, call->tenant);
    return rc;
}

int networks_remove(struct api_call *call)
{
    static const struct edit edit = {"network remove", write_one, remove_one, true};
    int rc = call_whose(call);
    return rc != 0 ? rc : call_edit(call, &edit);
}
