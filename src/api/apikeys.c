/* SPDX-License-Identifier: Apache-2.0
 *
 * apikeys: GET POST DELETE /api/v1/apikeys. A key's text is in the answer to its POST and never again.
 */
#include "base/clock.h"
#include "nouns.h"

#include <sodium.h>

static const struct {
    const char *name;
    enum scope scope;
} scopes[] = {{"ingest", SCOPE_INGEST}, {"read", SCOPE_READ}, {"manage", SCOPE_MANAGE}};
enum { SCOPE_COUNT = sizeof scopes / sizeof *scopes };

static int read_scopes(const struct field *item, unsigned *out)
{
    struct field list;
    size_t count;
    int rc = field_array(item, "scopes", SCOPE_COUNT, &list, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct field one = field_item(&list, i);
        const char *text = json_string_value(one.json);
        unsigned before = *out;
        for (size_t s = 0; text != NULL && s < SCOPE_COUNT; s++)
            if (strcmp(text, scopes[s].name) == 0)
                *out |= (unsigned)scopes[s].scope;
        if (*out == before)
            rc = field_fail(&one, ERR_INVALID, "must be 'ingest', 'read' or 'manage', each once");
    }
    return rc == 0 && *out == 0 ? field_fail(&list, ERR_INVALID, "needs one or more of ingest, read, manage")
                                : rc;
}

static int read_addresses(const struct field *item, struct account_key *out)
{
    struct field list;
    size_t count;
    int rc = field_array(item, "addresses", ACCOUNT_KEY_ADDRESSES, &list, &count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct field one = field_item(&list, i);
        const char *text = json_string_value(one.json);
        if (text == NULL || ip_prefix_parse(slice_of(text), &out->addresses[i]) != 0)
            rc = field_fail(&one, ERR_INVALID, "must be an address or a network such as 192.0.2.0/24");
        for (size_t k = 0; rc == 0 && k < i; k++)
            if (out->addresses[k].bits == out->addresses[i].bits &&
                ip_compare(&out->addresses[k].net, &out->addresses[i].net) == 0)
                rc = field_fail(&one, ERR_INVALID, "is there twice");
    }
    out->address_count = count;
    return rc;
}

static int read_expires(const struct field *item, int64_t *out)
{
    const char *text;
    struct field member = field_member(item, "expires");
    if (member.json == NULL || json_is_null(member.json))
        return 0;
    int rc = field_text(item, "expires", NULL, &text);
    if (rc != 0)
        return rc;
    if (clock_parse(slice_of(text), out) != 0 || *out <= 0)
        return field_fail(&member, ERR_INVALID, "must be a date or time such as 2027-01-31T12:00:00Z");
    return 0;
}

int apikey_read(const struct field *item, struct account_key *out, const char **given)
{
    *out = (struct account_key){0};
    int rc = field_object(item, "tenant name scopes addresses expires key");
    if (rc == 0)
        rc = field_text(item, "name", NULL, &out->name);
    if (rc == 0)
        rc = read_scopes(item, &out->scopes);
    if (rc == 0)
        rc = read_addresses(item, out);
    if (rc == 0)
        rc = read_expires(item, &out->expires_us);
    *given = NULL;
    if (rc == 0 && json_object_get(item->json, "key") != NULL)
        rc = field_text(item, "key", NULL, given);
    return rc;
}

static int write_time(struct buf *out, const char *name, int64_t ts)
{
    char text[CLOCK_TEXT_BYTES];
    if (ts == 0)
        return buf_addf(out, ",\"%s\":null", name);
    clock_format(ts, text);
    return buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

static int write_lists(struct buf *out, const struct account_key *key)
{
    const char *comma = "";
    char text[IP_TEXT_BYTES];
    int rc = buf_addf(out, ",\"scopes\":[");
    for (size_t i = 0; rc == 0 && i < SCOPE_COUNT; i++)
        if ((key->scopes & (unsigned)scopes[i].scope) != 0) {
            rc = buf_addf(out, "%s\"%s\"", comma, scopes[i].name);
            comma = ",";
        }
    if (rc == 0)
        rc = buf_addf(out, "],\"addresses\":[");
    for (size_t i = 0; rc == 0 && i < key->address_count; i++) {
        ip_prefix_format(&key->addresses[i], text);
        rc = buf_addf(out, "%s\"%s\"", i > 0 ? "," : "", text);
    }
    return rc != 0 ? rc : buf_addf(out, "]");
}

int apikey_write(struct api_call *call, const struct account_key *key, const char *secret)
{
    struct buf *out = call->reply;
    int rc = buf_addf(out, "{\"id\":%u,", key->id);
    if (rc == 0)
        rc = call_write_tenant(call, key->tenant);
    if (rc == 0)
        rc = buf_addf(out, ",\"name\":\"%s\"", key->name);
    if (rc == 0)
        rc = write_lists(out, key);
    if (rc == 0)
        rc = write_time(out, "expires", key->expires_us);
    if (rc == 0 && secret != NULL)
        return buf_addf(out, ",\"key\":\"%s\"}", secret);
    if (rc == 0)
        rc = write_time(out, "created", key->created_us);
    if (rc == 0)
        rc = write_time(out, "revoked", key->revoked_us);
    return rc != 0 ? rc : buf_addf(out, "}");
}

static int apikey_row(void *arg, const struct account_key *key)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : apikey_write(call, key, NULL);
}

int apikeys_list(struct api_call *call)
{
    uint32_t tenant;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_key_list(call->context->account, tenant, apikey_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int add_one(struct api_call *call, const struct field *item)
{
    struct account_key key;
    const char *given;
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    int rc = apikey_read(item, &key, &given);
    if (rc == 0)
        rc = noun_tenant(call, item, &key.tenant);
    if (rc != 0)
        return rc;
    if (key.expires_us != 0 && key.expires_us <= clock_real_us()) {
        struct field member = field_member(item, "expires");
        return field_fail(&member, ERR_INVALID, "is in the past: the key would never be accepted");
    }
    /* Nobody hands out more than it has. */
    const struct api_caller *caller = &call->request->caller;
    if (!caller->operator_ && (key.scopes & ~caller->scopes) != 0)
        return field_fail(item, ERR_DENIED, "the caller doesn't have these scopes itself");
    /* An address says whose mail a Postfix without an edge sends: not for a tenant to claim. */
    if (!caller->operator_ && key.address_count > 0 && (key.scopes & SCOPE_INGEST) != 0)
        return field_fail(item, ERR_DENIED,
                          "only the operator fixes ingest keys to addresses, with mail-analytics apikey add");
    rc = account_key_add(call->context->account, &key, given, secret, &key.id, &call->err);
    if (rc != 0)
        return field_blame(item, rc);
    rc = json_is_array(call->body) ? call_row(call) : 0;
    if (rc == 0)
        rc = apikey_write(call, &key, secret);
    sodium_memzero(secret, sizeof secret);
    return call_reply_failed(call, rc);
}

int apikeys_add(struct api_call *call)
{
    struct field root = field_root(call->body, &call->err);
    if (!json_is_array(call->body))
        return call_add(call, "apikey add", add_one);
    /* An import answers every key, so its rows are kept instead of a count. */
    int rc = call_rows_begin(call);
    if (rc == 0 && json_array_size(call->body) > API_KEYS_AT_ONCE)
        rc = field_fail(&root, ERR_LIMIT, "at most %d keys at once", (int)API_KEYS_AT_ONCE);
    if (rc == 0)
        rc = call_add_rows(call, "apikey add", add_one);
    return rc != 0 ? rc : call_rows_end(call);
}

struct removal {
    uint32_t tenant, id;
};

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    const struct removal *removal = arg;
    return account_key_revoke(a, removal->tenant, removal->id, err);
}

/* ?id= or ?name=, into *id. */
static int find_key(struct api_call *call, uint32_t tenant, char *text, size_t size, uint32_t *id)
{
    struct account_key key;
    uint64_t number;
    int rc = call_parameter(call, "id", text, size);
    if (rc == 0) {
        if (text_to_u64(slice_of(text), UINT32_MAX, &number) != 0)
            return err_set(&call->err, ERR_INVALID, "?id= must be a number");
        *id = (uint32_t)number;
        return 0;
    }
    if (call_parameter(call, "name", text, size) != 0)
        return err_set(&call->err, ERR_INVALID, "?id= or ?name= is missing");
    rc = account_key_find(call->context->account, tenant, text, &key, &call->err);
    *id = key.id;
    return rc;
}

int apikeys_remove(struct api_call *call)
{
    char text[API_TEXT_BYTES];
    struct removal removal;
    int rc = call_tenant_parameter(call, true, &removal.tenant);
    if (rc == 0)
        rc = find_key(call, removal.tenant, text, sizeof text, &removal.id);
    return rc != 0 ? rc : call_remove(call, "apikey remove", removal.tenant, text, remove_one, &removal);
}
