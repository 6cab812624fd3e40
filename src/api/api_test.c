/* SPDX-License-Identifier: Apache-2.0
 *
 * api: requests through api_handle to a real account file and a real store.
 */
#include "api/api.h"
#include "base/clock.h"
#include "base/test.h"
#include "store/fixture.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
    char *dir;
    struct api_context context;
    struct api_caller caller;
    struct api_reply reply;
    const char *if_match, *if_none_match, *once;
    json_t *json; /* of the latest reply */
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct err err = {0};
    char path[512];
    if (w == NULL || (w->dir = fixture_directory()) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/account.db", w->dir);
    if (account_open(&w->context.account, path, &err) != 0)
        return -1;
    w->caller = (struct api_caller){.operator_ = true, .name = "test"};
    w->context.query_timeout_us = 60 * US_PER_SECOND;
    api_reply_init(&w->reply, 1 << 20);
    w->if_match = "*";
    w->if_none_match = w->once = "";
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    json_decref(w->json);
    api_reply_fini(&w->reply);
    store_close(&w->context.store);
    account_close(&w->context.account);
    fixture_remove(w->dir);
    free(w);
    return 0;
}

static json_t *ask(struct world *w, const char *method, const char *path, const char *body)
{
    json_error_t error;
    struct api_request request = {.caller = w->caller,
                                  .method = slice_of(method),
                                  .path = slice_of(path),
                                  .body = slice_of(body),
                                  .if_match = slice_of(w->if_match),
                                  .if_none_match = slice_of(w->if_none_match),
                                  .idempotency_key = slice_of(w->once)};
    buf_clear(&w->reply.fields);
    api_handle(&w->context, &request, &w->reply);
    json_decref(w->json);
    w->json = json_loadb(w->reply.body.p, w->reply.body.n, JSON_REJECT_DUPLICATES, &error);
    if (w->json == NULL && w->reply.status != 304)
        fail_msg("%s %s: no JSON: %.*s", method, path, (int)w->reply.body.n, w->reply.body.p);
    return w->json;
}

static void expect(struct world *w, int status, const char *method, const char *path, const char *body)
{
    (void)ask(w, method, path, body);
    if (w->reply.status != status)
        fail_msg("%s %s %s: %d %.*s", method, path, body, w->reply.status, (int)w->reply.body.n,
                 w->reply.body.p);
}

static const char *detail(struct world *w)
{
    return json_string_value(json_object_get(w->json, "detail"));
}

static size_t rows(struct world *w, const char *path)
{
    expect(w, 200, "GET", path, "");
    return json_array_size(json_object_get(w->json, "rows"));
}

static void nouns_come_and_go(void **state)
{
    struct world *w = *state;
    expect(w, 201, "POST", "/api/v1/tenants", "{\"name\":\"acme\"}");
    assert_string_equal(json_string_value(json_object_get(w->json, "name")), "acme");
    expect(w, 201, "POST", "/api/v1/domains",
           "{\"tenant\":\"acme\",\"name\":\"Example.COM\",\"subdomains\":true}");
    expect(w, 201, "POST", "/api/v1/networks?tenant=acme",
           "{\"prefix\":\"192.0.2.0/24\",\"comment\":\"a \\\"b\\\"\"}");
    expect(w, 201, "POST", "/api/v1/apikeys",
           "{\"tenant\":\"acme\",\"name\":\"edge\",\"scopes\":[\"ingest\"]}");
    assert_int_equal(strlen(json_string_value(json_object_get(w->json, "key"))), 46);
    assert_int_equal(rows(w, "/api/v1/tenants"), 1);
    assert_int_equal(rows(w, "/api/v1/domains?tenant=acme"), 1);
    const json_t *row = json_array_get(json_object_get(w->json, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "name")), "example.com");
    assert_string_equal(json_string_value(json_object_get(row, "tenant")), "acme");
    assert_true(json_is_true(json_object_get(row, "subdomains")));
    assert_int_equal(rows(w, "/api/v1/networks"), 1);
    row = json_array_get(json_object_get(w->json, "rows"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "comment")), "a \"b\"");
    assert_int_equal(rows(w, "/api/v1/apikeys"), 1);
    assert_null(memmem(w->reply.body.p, w->reply.body.n, "ma_", 3));
    expect(w, 200, "DELETE", "/api/v1/domains/example.com?tenant=acme", "");
    expect(w, 404, "DELETE", "/api/v1/domains/example.com?tenant=acme", "");
    expect(w, 200, "DELETE", "/api/v1/networks/192.0.2.0%2F24?tenant=acme", "");
    expect(w, 200, "DELETE", "/api/v1/apikeys/edge?tenant=acme", "");
    expect(w, 404, "DELETE", "/api/v1/apikeys/edge?tenant=acme", "");
    expect(w, 200, "GET", "/api/v1/tenants/acme", "");
    expect(w, 200, "DELETE", "/api/v1/tenants/acme", "");
    expect(w, 404, "GET", "/api/v1/tenants/acme", "");
    assert_int_equal(rows(w, "/api/v1/edges"), 0);
    expect(w, 200, "GET", "/api/v1/status", "");
    assert_true(json_is_false(json_object_get(w->json, "running")));
}

static void mistakes_are_problems(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *says;
    } cases[] = {
        {"GET", "/api/v1/nothing", "", 404, "no such path"},
        {"PUT", "/api/v1/tenants", "", 405, "method"},
        {"POST", "/api/v1/status?x=1", "", 405, "method"},
        {"GET", "/api/v1/query", "", 405, "method"},
        {"GET", "/api/v1/tenants/a/b", "", 404, "no such path"},
        {"GET", "/api/v1/tenants/%zz", "", 400, "not well formed"},
        {"GET", "/api/v1/tenants/a%00b", "", 400, "not well formed"},
        {"POST", "/api/v1/tenants", "{", 400, "line 1"},
        {"POST", "/api/v1/tenants", "", 400, "body"},
        {"POST", "/api/v1/tenants", "{\"name\":1}", 400, "$.name: must be a text, not a number"},
        {"POST", "/api/v1/tenants", "{\"nome\":\"x\"}", 400, "'nome' is not known"},
        {"POST", "/api/v1/tenants", "{\"name\":\"x\",\"name\":\"y\"}", 400, "duplicate"},
        {"POST", "/api/v1/tenants", "{\"name\":\"a b\"}", 400, "1 to 127"},
        {"POST", "/api/v1/domains", "{\"name\":\"a.example\"}", 400, "?tenant="},
        {"POST", "/api/v1/domains", "{\"tenant\":\"nobody\",\"name\":\"a.example\"}", 404,
         "$.tenant: there is no"},
        {"POST", "/api/v1/domains?tenant=t", "{\"name\":\"a.example\",\"kind\":\"x\"}", 400,
         "'own' or 'relayed'"},
        {"POST", "/api/v1/domains?tenant=t", "[\"a.example\",\"a b\"]", 400, "$[1]"},
        {"POST", "/api/v1/networks?tenant=t", "{\"prefix\":\"192.0.2.1/24\"}", 400, "$.prefix"},
        {"POST", "/api/v1/networks?tenant=t", "{\"prefix\":\"192.0.2.1\",\"trusted\":1}", 400,
         "true or false"},
        {"POST", "/api/v1/apikeys?tenant=t", "{\"name\":\"k\"}", 400, "$.scopes"},
        {"POST", "/api/v1/apikeys?tenant=t", "{\"name\":\"k\",\"scopes\":[\"root\"]}", 400, "$.scopes[0]"},
        {"POST", "/api/v1/apikeys?tenant=t", "{\"name\":\"k\",\"scopes\":[\"read\"],\"expires\":\"soon\"}",
         400, "$.expires"},
        {"POST", "/api/v1/apikeys?tenant=t",
         "{\"name\":\"k\",\"scopes\":[\"read\"],\"expires\":\"2020-01-01\"}", 400, "is in the past"},
        {"POST", "/api/v1/apikeys?tenant=t", "{\"name\":\"k\",\"scopes\":[\"read\"],\"key\":\"short\"}", 400,
         "20 to 63"},
        {"POST", "/api/v1/query", "{}", 503, "no hub is running"},
    };
    expect(w, 201, "POST", "/api/v1/tenants", "{\"name\":\"t\"}");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        (void)ask(w, cases[i].method, cases[i].path, cases[i].body);
        if (w->reply.status != cases[i].status || strstr(detail(w), cases[i].says) == NULL)
            fail_msg("%s %s %s: %d %s", cases[i].method, cases[i].path, cases[i].body, w->reply.status,
                     detail(w));
        assert_int_equal(json_integer_value(json_object_get(w->json, "status")), cases[i].status);
        assert_non_null(json_object_get(w->json, "title"));
    }
    assert_int_equal(rows(w, "/api/v1/domains"), 0);
    assert_int_equal(rows(w, "/api/v1/apikeys"), 0);
}

static void each_path_tells_its_methods(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *path, *fields;
    } cases[] = {
        {"/api/v1/tenants", "Allow: GET, POST\r\n"},
        {"/api/v1/tenants/acme", "Allow: GET, PATCH, DELETE\r\n"},
        {"/api/v1/edges?tenant=acme", "Allow: GET\r\n"},
        {"/api/v1/domains", "Allow: GET, POST\r\n"},
        {"/api/v1/query?", "Allow: POST\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        expect(w, 405, "BREW", cases[i].path, "");
        assert_string_equal(w->reply.type, API_PROBLEM);
        assert_true(slice_equal(buf_slice(&w->reply.fields), slice_of(cases[i].fields)));
    }
    expect(w, 404, "BREW", "/api/v1/nothing", "");
    assert_int_equal(w->reply.fields.n, 0);
    expect(w, 404, "BREW", "/api/v1/tenants/a/b", "");
}

static void take_tag(struct world *w, char tag[64])
{
    const char *field = memmem(w->reply.fields.p, w->reply.fields.n, "ETag: ", 6);
    assert_non_null(field);
    (void)snprintf(tag, 64, "%.34s", field + 6);
    assert_true(tag[0] == '"' && tag[33] == '"');
}

static const struct {
    const char *thing, *patch, *says; /* says: what the thing says of itself after the patch */
} edits[] = {
    {"/api/v1/domains/Example.com?tenant=acme", "{\"subdomains\":true}",
     "\"kind\":\"own\",\"subdomains\":true"},
    {"/api/v1/domains/example.com?tenant=acme", "{\"kind\":\"relayed\"}",
     "\"kind\":\"relayed\",\"subdomains\":true"},
    {"/api/v1/networks/192.0.2.0%2F24?tenant=acme", "{\"trusted\":false}",
     "\"trusted\":false,\"comment\":\"office\""},
    {"/api/v1/networks/192.0.2.0%2F24?tenant=acme", "{\"comment\":\"\"}",
     "\"trusted\":false,\"comment\":\"\""},
    {"/api/v1/apikeys/1", "{\"name\":\"new\",\"expires\":\"2999-01-01\"}", "\"name\":\"new\""},
    {"/api/v1/apikeys/new?tenant=acme", "{\"addresses\":[\"192.0.2.1\"]}",
     "\"addresses\":[\"192.0.2.1/32\"],\"expires\":\"2999"},
    {"/api/v1/apikeys/1?tenant=acme", "{\"expires\":null}",
     "\"addresses\":[\"192.0.2.1/32\"],\"expires\":null"},
    {"/api/v1/edges/mx1/settings?tenant=acme", "{\"comment\":\"the old one\"}",
     "\"comment\":\"the old one\""},
    {"/api/v1/tenants/acme", "{\"name\":\"Acme\"}", "\"name\":\"Acme\""},
};

static void make_things(struct world *w)
{
    expect(w, 201, "POST", "/api/v1/tenants", "[\"acme\",\"other\"]");
    expect(w, 201, "POST", "/api/v1/domains?tenant=acme", "{\"name\":\"example.com\"}");
    expect(w, 201, "POST", "/api/v1/networks?tenant=acme",
           "{\"prefix\":\"192.0.2.0/24\",\"comment\":\"office\"}");
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=acme", "{\"name\":\"k\",\"scopes\":[\"read\"]}");
    assert_int_equal(
        account_edge_pin(w->context.account, 1, "mx1", "1111111111111111111111111111111111111111", 1, NULL),
        0);
}

static void nobody_overwrites_what_he_has_not_seen(void **state)
{
    struct world *w = *state;
    char before[64], after[64];
    make_things(w);
    for (size_t i = 0; i < ARRAY_LENGTH(edits); i++) {
        const char *thing = edits[i].thing;
        w->if_match = "";
        expect(w, 200, "GET", thing, "");
        take_tag(w, before);
        expect(w, 428, "PATCH", thing, edits[i].patch);
        w->if_match = "\"something-else\"";
        expect(w, 412, "PATCH", thing, edits[i].patch);
        w->if_match = "no tag";
        expect(w, 400, "PATCH", thing, edits[i].patch);
        w->if_match = before;
        expect(w, 200, "PATCH", thing, edits[i].patch);
        take_tag(w, after);
        assert_string_not_equal(before, after);
        if (memmem(w->reply.body.p, w->reply.body.n, edits[i].says, strlen(edits[i].says)) == NULL)
            fail_msg("%s: %.*s", edits[i].patch, (int)w->reply.body.n, w->reply.body.p);
        expect(w, 412, "PATCH", thing, edits[i].patch);
        w->if_none_match = after;
        expect(w, 304, "GET", thing, "");
        assert_int_equal(w->reply.body.n, 0);
        w->if_none_match = before;
        expect(w, 200, "GET", thing, "");
        w->if_none_match = "";
    }
    w->if_match = before;
    expect(w, 412, "DELETE", "/api/v1/domains/example.com?tenant=acme", "");
    w->if_match = "";
    expect(w, 200, "DELETE", "/api/v1/domains/example.com?tenant=acme", "");
    expect(w, 404, "DELETE", "/api/v1/domains/example.com?tenant=acme", "");
    expect(w, 200, "DELETE", "/api/v1/apikeys/1", "");
    expect(w, 200, "GET", "/api/v1/apikeys/1", ""); /* revoked, and still known */
    w->if_match = "*";
    expect(w, 404, "PATCH", "/api/v1/apikeys/1", "{\"name\":\"again\"}");
    expect(w, 404, "PATCH", "/api/v1/domains/nowhere.example?tenant=acme", "{}");
}

static void bad_changes_change_nothing(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *thing, *patch;
        int status;
    } cases[] = {
        {"/api/v1/domains/example.com?tenant=acme", "{\"kind\":\"mine\"}", 400},
        {"/api/v1/domains/example.com?tenant=acme", "{\"name\":\"b.example\"}", 400},
        {"/api/v1/domains/example.com?tenant=acme", "[]", 400},
        {"/api/v1/domains/example.com?tenant=acme", "", 400},
        {"/api/v1/domains/example.com", "{}", 400},
        {"/api/v1/domains/example.com?tenant=other", "{}", 404},
        {"/api/v1/networks/192.0.2.0?tenant=acme", "{}", 404},
        {"/api/v1/networks/192.0.2.1%2F24?tenant=acme", "{}", 400},
        {"/api/v1/networks/192.0.2.0%2F24?tenant=acme", "{\"comment\":\"a\\nb\"}", 400},
        {"/api/v1/apikeys/1", "{\"scopes\":[\"manage\"]}", 400},
        {"/api/v1/apikeys/1", "{\"expires\":\"2001-01-01\"}", 400},
        {"/api/v1/apikeys/1", "{\"name\":\"\"}", 400},
        {"/api/v1/apikeys/1?tenant=other", "{}", 404},
        {"/api/v1/apikeys/99", "{}", 404},
        {"/api/v1/tenants/acme", "{\"name\":\"other\"}", 409},
        {"/api/v1/tenants/nobody", "{\"name\":\"x\"}", 404},
        {"/api/v1/edges/mx2/settings?tenant=acme", "{\"comment\":\"x\"}", 404},
    };
    char before[64], after[64];
    make_things(w);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool there = cases[i].status != 404 && strchr(cases[i].thing, '?') != NULL;
        if (there) {
            expect(w, cases[i].status == 400 && strstr(cases[i].thing, "1%2F") ? 400 : 200, "GET",
                   cases[i].thing, "");
            if (w->reply.status == 200)
                take_tag(w, before);
            else
                there = false;
        }
        expect(w, cases[i].status, "PATCH", cases[i].thing, cases[i].patch);
        if (there) {
            expect(w, 200, "GET", cases[i].thing, "");
            take_tag(w, after);
            assert_string_equal(before, after);
        }
    }
}

static void a_tenant_edits_what_it_may(void **state)
{
    struct world *w = *state;
    make_things(w);
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=acme", "{\"name\":\"edge\",\"scopes\":[\"ingest\"]}");
    w->caller = (struct api_caller){.tenant = 1, .scopes = SCOPE_READ | SCOPE_MANAGE, .name = "acme's"};
    expect(w, 200, "PATCH", "/api/v1/apikeys/1", "{\"addresses\":[\"192.0.2.1\"]}");
    expect(w, 403, "PATCH", "/api/v1/apikeys/2", "{\"expires\":null}"); /* more than it has */
    w->caller.scopes |= SCOPE_INGEST;
    expect(w, 200, "PATCH", "/api/v1/apikeys/2", "{\"expires\":null}");
    expect(w, 403, "PATCH", "/api/v1/apikeys/2", "{\"addresses\":[\"192.0.2.1\"]}");
    expect(w, 403, "PATCH", "/api/v1/tenants/acme", "{\"name\":\"x\"}");
    w->caller.tenant = 2;
    expect(w, 404, "PATCH", "/api/v1/apikeys/1", "{\"name\":\"x\"}");
    expect(w, 404, "GET", "/api/v1/apikeys/1", "");
    expect(w, 404, "GET", "/api/v1/edges/mx1", "");
    expect(w, 404, "DELETE", "/api/v1/apikeys/1", "");
}

static void kept_open(struct world *w, char text[128])
{
    const char *key = json_string_value(json_object_get(w->json, "key"));
    (void)snprintf(text, 128, "%s", key != NULL ? key : "");
}

static void what_comes_twice_is_done_once(void **state)
{
    struct world *w = *state;
    char first[128], again[128];
    static const char key[] = "{\"name\":\"k2\",\"scopes\":[\"read\"]}";
    make_things(w);
    w->once = "7b1f0a52-93a4-4b3e-8d0c-0a4d9c1c6f10";
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=acme", key);
    kept_open(w, first);
    assert_int_equal(w->reply.fields.n, 0);
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=acme", key);
    kept_open(w, again);
    assert_string_equal(first, again);
    assert_int_equal(strlen(first), 46);
    assert_true(slice_equal(buf_slice(&w->reply.fields), SLICE("Idempotency-Replayed: true\r\n")));
    expect(w, 422, "POST", "/api/v1/apikeys?tenant=acme", "{\"name\":\"k3\",\"scopes\":[\"read\"]}");
    expect(w, 422, "POST", "/api/v1/domains?tenant=acme", "{\"name\":\"b.example\"}");
    w->once = "\"7b1f0a52-93a4-4b3e-8d0c-0a4d9c1c6f10\""; /* the same, as a structured field */
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=acme", key);
    w->caller.name = "somebody else";
    expect(w, 409, "POST", "/api/v1/apikeys?tenant=acme", key); /* whose key it isn't */
    w->once = "short";
    expect(w, 400, "POST", "/api/v1/tenants", "{\"name\":\"new\"}");
    w->once = "9b1f0a52-93a4-4b3e-8d0c-0a4d9c1c6f10"; /* with the fields of the first answer */
    expect(w, 202, "POST", "/api/v1/jobs", "{\"kind\":\"retain\"}");
    assert_true(slice_equal(buf_slice(&w->reply.fields), SLICE("Location: /api/v1/jobs/1\r\n")));
    expect(w, 202, "POST", "/api/v1/jobs", "{\"kind\":\"retain\"}");
    assert_true(slice_equal(buf_slice(&w->reply.fields),
                            SLICE("Location: /api/v1/jobs/1\r\nIdempotency-Replayed: true\r\n")));
    assert_int_equal(json_integer_value(json_object_get(w->json, "id")), 1);
    w->once = "ab1f0a52-93a4-4b3e-8d0c-0a4d9c1c6f10";
    for (int i = 0; i < 2; i++) {
        expect(w, 201, "POST", "/api/v1/domains?tenant=acme", "{\"name\":\"c.example\"}");
        assert_true(buf_slice(&w->reply.fields).n >= 18);
        assert_memory_equal(w->reply.fields.p, "Reclassify: acme\r\n", 18);
    }
    w->once = "8b1f0a52-93a4-4b3e-8d0c-0a4d9c1c6f10";
    expect(w, 400, "POST", "/api/v1/tenants", "{\"name\":\"\"}");
    expect(w, 201, "POST", "/api/v1/tenants", "{\"name\":\"new\"}"); /* a failure was not kept */
    w->once = "";
    expect(w, 409, "POST", "/api/v1/tenants", "{\"name\":\"new\"}");
}

static void arrays_are_all_or_nothing(void **state)
{
    struct world *w = *state;
    expect(w, 201, "POST", "/api/v1/tenants", "[\"one\",{\"name\":\"two\"}]");
    assert_int_equal(json_integer_value(json_object_get(w->json, "added")), 2);
    expect(w, 409, "POST", "/api/v1/tenants", "[\"three\",\"one\",\"four\"]");
    assert_int_equal(json_integer_value(json_object_get(w->json, "index")), 1);
    assert_int_equal(rows(w, "/api/v1/tenants"), 2);
    expect(w, 201, "POST", "/api/v1/apikeys?tenant=one",
           "[{\"name\":\"a\",\"scopes\":[\"read\"]},{\"name\":\"b\",\"scopes\":[\"read\"]}]");
    assert_int_equal(json_array_size(json_object_get(w->json, "rows")), 2);
}

static const char fixture_file[] =
    "{\"tenants\":[{\"name\":\"acme\",\"domains\":[{\"name\":\"example.com\",\"subdomains\":true},\"example."
    "net\"],"
    "\"relayed\":[\"relay.example\"],\"networks\":[\"192.0.2.0/24\",{\"prefix\":\"198.51.100.0/"
    "24\",\"trusted\":false}],"
    "\"apikeys\":[{\"name\":\"edge\",\"scopes\":[\"ingest\"],\"key\":\"ma_"
    "0123456789012345678901234567890123456789012\"},"
    "{\"name\":\"made\",\"scopes\":[\"read\"],\"addresses\":[\"192.0.2.1\"]}]}]}";

static long long number(struct world *w, const char *name)
{
    return (long long)json_integer_value(json_object_get(w->json, name));
}

static void fixtures_load_once(void **state)
{
    struct world *w = *state;
    expect(w, 200, "POST", "/api/v1/load", fixture_file);
    assert_int_equal(number(w, "tenants"), 1);
    assert_int_equal(number(w, "domains"), 3);
    assert_int_equal(number(w, "networks"), 2);
    assert_int_equal(number(w, "apikeys"), 2);
    const json_t *keys = json_object_get(w->json, "keys");
    assert_int_equal(json_array_size(keys), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(keys, 0), "name")), "made");
    expect(w, 200, "GET", "/api/v1/tenants/acme", "");
    long long version = number(w, "rule_version");
    expect(w, 200, "POST", "/api/v1/load", fixture_file);
    assert_int_equal(
        number(w, "tenants") + number(w, "domains") + number(w, "networks") + number(w, "apikeys"), 0);
    expect(w, 200, "GET", "/api/v1/tenants/acme", "");
    assert_int_equal(number(w, "rule_version"), version);
}

/* Of the second tenant nothing was heard. */
static bool heard(void *arg, uint32_t tenant)
{
    (void)arg;
    return tenant != 2;
}

static void expect_relabel(struct world *w, const char *names)
{
    char line[256] = "";
    if (names[0] != '\0')
        (void)snprintf(line, sizeof line, "Reclassify: %s\r\n", names);
    const char *at = memmem(w->reply.fields.p, w->reply.fields.n, "Reclassify", 10);
    if (names[0] == '\0'
            ? at != NULL
            : at == NULL || memmem(w->reply.fields.p, w->reply.fields.n, line, strlen(line)) == NULL)
        fail_msg("not '%s': %.*s", names, (int)w->reply.fields.n, w->reply.fields.p);
}

static void changed_rules_say_whose_history_keeps_its_labels(void **state)
{
    struct world *w = *state;
    static const struct {
        int status;
        const char *method, *path, *body, *names;
    } cases[] = {
        {201, "POST", "/api/v1/domains?tenant=old", "{\"name\":\"a.example\"}", "old"},
        {201, "POST", "/api/v1/domains?tenant=new", "{\"name\":\"a.example\"}", ""},
        {409, "POST", "/api/v1/domains?tenant=old", "{\"name\":\"a.example\"}", ""},
        {201, "POST", "/api/v1/domains",
         "[{\"tenant\":\"old\",\"name\":\"b.example\"},{\"tenant\":\"new\",\"name\":\"b.example\"},"
         "{\"tenant\":\"third\",\"name\":\"b.example\"},{\"tenant\":\"old\",\"name\":\"c.example\"}]",
         "old, third"},
        {200, "PATCH", "/api/v1/domains/a.example?tenant=old", "{\"kind\":\"relayed\"}", "old"},
        {200, "PATCH", "/api/v1/domains/a.example?tenant=old", "{\"kind\":\"relayed\"}", ""},
        {200, "DELETE", "/api/v1/domains/a.example?tenant=old", "", "old"},
        {201, "POST", "/api/v1/networks?tenant=old", "{\"prefix\":\"192.0.2.0/24\"}", "old"},
        {200, "PATCH", "/api/v1/networks/192.0.2.0%2F24?tenant=old", "{\"comment\":\"x\"}", ""},
        {200, "PATCH", "/api/v1/networks/192.0.2.0%2F24?tenant=old", "{\"trusted\":false}", "old"},
        {200, "DELETE", "/api/v1/networks/192.0.2.0%2F24?tenant=old", "", "old"},
        {201, "POST", "/api/v1/apikeys", "{\"tenant\":\"old\",\"name\":\"k\",\"scopes\":[\"read\"]}", ""},
        {200, "POST", "/api/v1/load",
         "{\"tenants\":[{\"name\":\"old\",\"domains\":[\"b.example\"]},"
         "{\"name\":\"third\",\"networks\":[\"192.0.2.0/24\"]},"
         "{\"name\":\"fourth\",\"domains\":[\"b.example\"]}]}",
         "third"},
    };
    w->context.heard = heard;
    expect(w, 201, "POST", "/api/v1/tenants", "[{\"name\":\"old\"},{\"name\":\"new\"},{\"name\":\"third\"}]");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        expect(w, cases[i].status, cases[i].method, cases[i].path, cases[i].body);
        expect_relabel(w, cases[i].names);
    }
}

/* The field is bounded, whatever one request changes. */
static void of_many_tenants_some_are_named(void **state)
{
    struct world *w = *state;
    char tenants[2048] = "", domains[4096] = "", names[256] = "";
    for (int i = 10; i < 10 + 17; i++) {
        size_t t = strlen(tenants), d = strlen(domains), n = strlen(names);
        (void)snprintf(tenants + t, sizeof tenants - t, "%c{\"name\":\"t%d\"}", t == 0 ? '[' : ',', i);
        (void)snprintf(domains + d, sizeof domains - d, "%c{\"tenant\":\"t%d\",\"name\":\"a.example\"}",
                       d == 0 ? '[' : ',', i);
        (void)snprintf(names + n, sizeof names - n, i < 26 ? "t%d, " : "*", i);
    }
    expect(w, 201, "POST", "/api/v1/tenants", strcat(tenants, "]"));
    expect(w, 201, "POST", "/api/v1/domains", strcat(domains, "]"));
    expect_relabel(w, names);
}

static void fixtures_fail_whole_and_say_where(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *body, *says;
        int status;
    } cases[] = {
        {"[]", "$: must be an object", 400},
        {"{\"tenants\":{}}", "$.tenants: must be an array", 400},
        {"{\"tenants\":[{\"name\":\"x\",\"domains\":[\"good.example\",\"not good\"]}]}",
         "$.tenants[0].domains[1]", 400},
        {"{\"tenants\":[{\"name\":\"x\",\"networks\":[{\"prefix\":\"1.2.3.4/8\"}]}]}",
         "$.tenants[0].networks[0].prefix", 400},
        {"{\"tenants\":[{\"name\":\"x\"},{\"nom\":\"y\"}]}", "$.tenants[1]: 'nom'", 400},
        {"{\"tenants\":[{\"name\":\"acme\",\"apikeys\":[{\"name\":\"edge\",\"scopes\":[\"read\"]}]}]}",
         "$.tenants[0].apikeys[0]: there is another key", 409},
        {"{\"tenants\":[{\"name\":\"acme\",\"apikeys\":[{\"name\":\"edge\",\"scopes\":[\"ingest\"],"
         "\"key\":\"ma_9999999999012345678901234567890123456789012\"}]}]}",
         "another key", 409},
    };
    expect(w, 200, "POST", "/api/v1/load", fixture_file);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        (void)ask(w, "POST", "/api/v1/load", cases[i].body);
        if (w->reply.status != cases[i].status || strstr(detail(w), cases[i].says) == NULL)
            fail_msg("%s: %d %s", cases[i].body, w->reply.status, detail(w));
    }
    assert_int_equal(rows(w, "/api/v1/tenants"), 1);
    assert_int_equal(rows(w, "/api/v1/domains"), 3);
}

static void tenants_see_only_their_own(void **state)
{
    struct world *w = *state;
    uint32_t one = 0;
    expect(w, 201, "POST", "/api/v1/tenants", "[\"one\",\"two\"]");
    expect(w, 201, "POST", "/api/v1/domains?tenant=one", "[\"one.example\"]");
    expect(w, 201, "POST", "/api/v1/domains?tenant=two", "[\"two.example\",\"also-two.example\"]");
    assert_int_equal(account_tenant_find(w->context.account, "one", &one, NULL), 0);
    w->caller = (struct api_caller){.tenant = one, .scopes = SCOPE_READ | SCOPE_MANAGE, .name = "one's key"};
    assert_int_equal(rows(w, "/api/v1/tenants"), 1);
    assert_int_equal(rows(w, "/api/v1/domains"), 1);
    expect(w, 404, "GET", "/api/v1/domains?tenant=two", "");
    expect(w, 404, "GET", "/api/v1/tenants/two", "");
    expect(w, 404, "POST", "/api/v1/domains", "{\"tenant\":\"two\",\"name\":\"x.example\"}");
    expect(w, 404, "DELETE", "/api/v1/domains/two.example?tenant=two", "");
    expect(w, 404, "DELETE", "/api/v1/domains/two.example", "");
    expect(w, 403, "POST", "/api/v1/tenants", "{\"name\":\"three\"}");
    expect(w, 403, "DELETE", "/api/v1/tenants/one", "");
    expect(w, 403, "POST", "/api/v1/load", "{}");
    expect(w, 403, "GET", "/api/v1/status", "");
    expect(w, 403, "POST", "/api/v1/apikeys", "{\"name\":\"k\",\"scopes\":[\"ingest\"]}");
    expect(w, 201, "POST", "/api/v1/apikeys", "{\"name\":\"k\",\"scopes\":[\"read\"]}");
    w->caller.scopes = SCOPE_READ;
    expect(w, 403, "POST", "/api/v1/domains", "{\"name\":\"x.example\"}");
    expect(w, 403, "GET", "/api/v1/apikeys", "");
    w->caller.scopes = SCOPE_INGEST;
    expect(w, 403, "GET", "/api/v1/domains", "");
    w->caller.tenant = 0;
    w->caller.scopes = SCOPE_READ;
    expect(w, 403, "GET", "/api/v1/domains", "");
}

static void open_store(struct world *w, struct fixture *fixture)
{
    struct err err = {0};
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s/store", w->dir);
    struct store_options options = {
        .engine = "duckdb", .dir = dir, .memory_bytes = 256 << 20, .query_threads = 2};
    if (store_open(&w->context.store, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    fixture_init(fixture, 7, 200);
    struct store_cursor cursor = {{1, 1}, 0};
    assert_int_equal(store_append(w->context.store, fixture->events, fixture->count, &err), 0);
    assert_int_equal(store_commit(w->context.store, cursor, &err), 0);
}

static size_t requests_of(const struct fixture *fixture, uint32_t tenant)
{
    size_t n = 0;
    for (size_t i = 0; i < fixture->count; i++)
        n += tenant == 0 || fixture->events[i].tenant == tenant;
    return n;
}

#define RANGE "\"from\":\"2026-02-28T00:00:00Z\",\"to\":\"2026-03-10T00:00:00Z\""

static size_t requests(struct world *w, const char *path)
{
    expect(w, 200, "POST", path, "{\"measures\":[\"requests\"]," RANGE "}");
    return (size_t)json_integer_value(
        json_object_get(json_array_get(json_object_get(w->json, "rows"), 0), "requests"));
}

static void questions_have_the_callers_scope(void **state)
{
    struct world *w = *state;
    struct fixture fixture;
    uint32_t one = 0;
    open_store(w, &fixture);
    expect(w, 201, "POST", "/api/v1/tenants", "[\"one\",\"two\",\"three\"]");
    assert_int_equal(account_tenant_find(w->context.account, "one", &one, NULL), 0);
    assert_int_equal(one, 1); /* the fixture's tenants are 1, 2, 3 */
    assert_true(requests_of(&fixture, 1) > 0 && requests_of(&fixture, 2) > 0);
    assert_int_equal(requests(w, "/api/v1/query"), requests_of(&fixture, 0));
    assert_int_equal(requests(w, "/api/v1/query?tenant=two"), requests_of(&fixture, 2));
    expect(w, 404, "POST", "/api/v1/query?tenant=nobody", "{\"measures\":[\"requests\"]}");
    w->caller = (struct api_caller){.tenant = 1, .scopes = SCOPE_READ, .name = "key"};
    assert_int_equal(requests(w, "/api/v1/query"), requests_of(&fixture, 1));
    expect(w, 404, "POST", "/api/v1/query?tenant=two", "{\"measures\":[\"requests\"]}");
    w->caller.scopes = SCOPE_INGEST;
    expect(w, 403, "POST", "/api/v1/query", "{\"measures\":[\"requests\"]}");
    fixture_fini(&fixture);
}

static void answers_have_rows_columns_and_an_end(void **state)
{
    struct world *w = *state;
    struct fixture fixture;
    open_store(w, &fixture);
    expect(w, 200, "POST", "/api/v1/query",
           "{\"measures\":[\"messages\",\"requests\"],\"by\":[\"sender_domain\"],\"interval\":\"1d\"," RANGE
           "}");
    size_t all = json_array_size(json_object_get(w->json, "rows"));
    assert_true(all > 3);
    char *columns = json_dumps(json_object_get(w->json, "columns"), JSON_COMPACT);
    assert_string_equal(columns, "[\"time\",\"sender_domain\",\"messages\",\"requests\"]");
    free(columns);
    assert_string_equal(json_string_value(json_object_get(w->json, "from")), "2026-02-28T00:00:00.000000Z");
    assert_true(json_is_false(json_object_get(w->json, "truncated")));
    expect(w, 200, "POST", "/api/v1/query",
           "{\"measures\":[\"requests\"],\"by\":[\"sender_domain\"],\"limit\":2," RANGE "}");
    assert_int_equal(json_array_size(json_object_get(w->json, "rows")), 2);
    assert_true(json_is_true(json_object_get(w->json, "truncated")));
    w->reply.body.limit = 8192; /* bytes end before rows: whole rows only, and marked */
    expect(w, 200, "POST", "/api/v1/query",
           "{\"measures\":[\"requests\"],\"by\":[\"sender\",\"recipient\",\"seq\"]," RANGE "}");
    assert_true(json_is_true(json_object_get(w->json, "truncated")));
    assert_true(json_array_size(json_object_get(w->json, "rows")) > 1);
    expect(w, 400, "POST", "/api/v1/query", "{\"measures\":[\"nothing\"]}");
    fixture_fini(&fixture);
}

static void a_short_reply_buffer_is_said(void **state)
{
    struct world *w = *state;
    char body[8192] = "[";
    for (size_t i = 0; i < 100; i++)
        (void)snprintf(body + strlen(body), 64, "%s\"tenant-%zu\"", i > 0 ? "," : "", i);
    (void)strcat(body, "]");
    expect(w, 201, "POST", "/api/v1/tenants", body);
    w->reply.body.limit = 2048;
    expect(w, 413, "GET", "/api/v1/tenants", "");
    assert_non_null(strstr(detail(w), "ask for less"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nouns_come_and_go),
        CASE(mistakes_are_problems),
        CASE(each_path_tells_its_methods),
        CASE(nobody_overwrites_what_he_has_not_seen),
        CASE(bad_changes_change_nothing),
        CASE(a_tenant_edits_what_it_may),
        CASE(what_comes_twice_is_done_once),
        CASE(arrays_are_all_or_nothing),
        CASE(fixtures_load_once),
        CASE(changed_rules_say_whose_history_keeps_its_labels),
        CASE(of_many_tenants_some_are_named),
        CASE(fixtures_fail_whole_and_say_where),
        CASE(tenants_see_only_their_own),
        CASE(questions_have_the_callers_scope),
        CASE(answers_have_rows_columns_and_an_end),
        CASE(a_short_reply_buffer_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
