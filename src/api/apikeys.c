/* SPDX-License-Identifier: Apache-2.0
 *
 * apikeys: GET POST /api/v1/apikeys, GET PATCH DELETE /api/v1/apikeys/ID, or /NAME?tenant= for a live one. A
 * key's text is in the answer to its POST and never again.
 */
#include "base/clock.h"
#include "nouns.h"

#include <sodium.h>
#include <stdio.h>

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
    if (rc == 0)
        rc = call_rows_end(call);
    return call_reply_failed(call, rc != 0 ? rc : call_tagged(call));
}

static int check_expiry(const struct field *item, int64_t expires_us)
{
    struct field member = field_member(item, "expires");
    if (expires_us == 0 || expires_us > clock_real_us())
        return 0;
    return field_fail(&member, ERR_INVALID, "is in the past: the key would never be accepted");
}

/* Nobody hands out more than it has; and an address says whose mail a Postfix without an edge sends: not for
 * a tenant to claim. */
static int check_reach(struct api_call *call, const struct field *item, const struct account_key *key)
{
    const struct api_caller *caller = &call->request->caller;
    if (!caller->operator_ && (key->scopes & ~caller->scopes) != 0)
        return field_fail(item, ERR_DENIED, "the caller doesn't have these scopes itself");
    if (!caller->operator_ && key->address_count > 0 && (key->scopes & SCOPE_INGEST) != 0)
        return field_fail(item, ERR_DENIED,
                          "only the operator fixes ingest keys to addresses, with mail-analytics apikey add");
    return 0;
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
    if ((rc = check_expiry(item, key.expires_us)) != 0)
        return rc;
    if ((rc = check_reach(call, item, &key)) != 0)
        return rc;
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

/* From here on it is clear whose it is. */
static int key_alone(void *arg, const struct account_key *key)
{
    struct api_call *call = arg;
    call->tenant = key->tenant;
    return apikey_write(call, key, NULL);
}

/* The key of the path, by its number or by the name of a live one; what isn't the caller's isn't there. */
static int find_key(struct api_call *call, uint32_t *id)
{
    struct account_key key;
    uint64_t number;
    bool named = text_to_u64(slice_of(call->name), UINT32_MAX, &number) != 0;
    int rc = call->tenant != 0 ? 0 : call_tenant_parameter(call, named, &call->tenant);
    if (rc == 0 && named)
        rc = account_key_find(call->context->account, call->tenant, call->name, &key, &call->err);
    *id = named ? key.id : (uint32_t)number;
    return rc;
}

static int write_one(struct api_call *call)
{
    uint32_t id;
    int rc = find_key(call, &id);
    return rc != 0 ? rc
                   : account_key_get(call->context->account, call->tenant, id, key_alone, call, &call->err);
}

int apikeys_get(struct api_call *call)
{
    int rc = write_one(call);
    return rc != 0 ? rc : call_tagged(call);
}

struct copy {
    struct account_key key;
    char name[ACCOUNT_NAME_BYTES];
};

static int keep_copy(void *arg, const struct account_key *key)
{
    struct copy *copy = arg;
    copy->key = *key;
    copy->key.name = copy->name;
    return slice_to_string(slice_of(key->name), copy->name, sizeof copy->name);
}

static int read_changes(struct api_call *call, struct account_key *key)
{
    struct field root = field_root(call->body, &call->err);
    int rc = field_object(&root, "name addresses expires");
    if (rc == 0)
        rc = field_text(&root, "name", key->name, &key->name);
    if (rc == 0 && json_object_get(call->body, "addresses") != NULL)
        rc = read_addresses(&root, key);
    if (rc == 0 && json_object_get(call->body, "expires") != NULL) {
        key->expires_us = 0;
        rc = read_expires(&root, &key->expires_us);
        if (rc == 0)
            rc = check_expiry(&root, key->expires_us);
    }
    return rc != 0 ? rc : check_reach(call, &root, key);
}

static int change_one(struct api_call *call)
{
    uint32_t id;
    struct copy copy;
    struct account *account = call->context->account;
    int rc = find_key(call, &id);
    if (rc == 0)
        rc = account_key_get(account, call->tenant, id, keep_copy, &copy, &call->err);
    if (rc == 0)
        rc = read_changes(call, &copy.key);
    if (rc == 0)
        rc = account_key_change(account, &copy.key, &call->err);
    if (rc == 0) /* it may have a new name */
        (void)snprintf(call->name, sizeof call->name, "%u", id);
    return rc;
}

int apikeys_change(struct api_call *call)
{
    static const struct edit edit = {"apikey change", write_one, change_one, false};
    return call_edit(call, &edit);
}

static int revoke_one(struct api_call *call)
{
    uint32_t id;
    int rc = find_key(call, &id);
    return rc != 0 ? rc : account_key_revoke(call->context->account, call->tenant, id, &call->err);
}

int apikeys_remove(struct api_call *call)
{
    static const struct edit edit = {"apikey remove", write_one, revoke_one, true};
    return call_edit(call, &edit);
}
