/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of what is pure in this room: names and paths from settings, the metrics table, records as JSON.
 */
#include "https.h"
#include "identity.h"
#include "metrics.h"
#include "records.h"

#include "base/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const struct proxy_config plain = {.server = "tcp://hub.example:4000",
                                          .server_key = "",
                                          .api_key = "",
                                          .edge_id = "mx1.example",
                                          .transport = "zmq",
                                          .https_server = "",
                                          .https_pin = "",
                                          .https_ca = "",
                                          .https_proxy = "",
                                          .via_ssh = "",
                                          .ssh_key = "",
                                          .ssh_known_hosts = "",
                                          .spool = "/var/lib/policy-proxy",
                                          .pid_file = ""};

static void a_host_name_becomes_an_edge_id(void **state)
{
    (void)state;
    static const struct {
        const char *host, *id;
    } cases[] = {
        {"mx1.example.com", "mx1.example.com"},
        {"MX_1-a", "MX_1-a"},
        {"m\xc3\xbc x/..\n", "m---x-..-"},
        {"", "edge"},
    };
    char id[BATCH_EDGE_BYTES + 1], longest[300];
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        identity_make_safe(slice_of(cases[i].host), id);
        assert_string_equal(id, cases[i].id);
    }
    memset(longest, 'x', sizeof longest);
    identity_make_safe((struct slice){longest, sizeof longest}, id);
    assert_int_equal(strlen(id), BATCH_EDGE_BYTES);
}

static void paths_lie_below_the_spool(void **state)
{
    (void)state;
    struct identity *identity, *other;
    struct proxy_config settings = plain;
    struct err err = {0};
    assert_int_equal(identity_create(&identity, &settings, &err), 0);
    assert_string_equal(identity->edge_id, "mx1.example");
    assert_string_equal(identity->spool_dir, "/var/lib/policy-proxy/journal");
    assert_string_equal(identity->key_file, "/var/lib/policy-proxy/edge.key");
    assert_string_equal(identity->pid_file, "/var/lib/policy-proxy/policy-proxy.pid");
    assert_false(identity_can_greet(identity));
    settings.server_key = "k";
    assert_int_equal(identity_create(&other, &settings, &err), ERR_CONFIG);
    assert_non_null(strstr(err.detail, "api_key is missing"));
    settings.api_key = "a";
    settings.server_key = "";
    assert_int_equal(identity_create(&other, &settings, &err), ERR_CONFIG);
    assert_non_null(strstr(err.detail, "server_key is missing"));
    settings.server_key = "k";
    settings.pid_file = "/run/p.pid";
    assert_int_equal(identity_create(&other, &settings, &err), 0);
    assert_string_equal(other->pid_file, "/run/p.pid");
    assert_true(identity_can_greet(other));
    assert_false(identity_equal(identity, other));
    identity_destroy(&identity);
    identity_destroy(&other);
    char longest[BATCH_EDGE_BYTES + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    settings.edge_id = longest;
    assert_int_equal(identity_create(&identity, &settings, &err), ERR_CONFIG);
}

#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void what_https_needs_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *transport, *server, *https_server, *pin, *ca, *becomes, *why;
    } cases[] = {
        {"zmq", "tcp://hub.example:4000", "", "", "", "https://hub.example:8443", NULL},
        {"auto", "tcp://hub.example:4000", "", PIN, "", "https://hub.example:8443", NULL},
        {"https", "tcp://[2001:db8::1]:4000", "", "", "/ca.pem", "https://[2001:db8::1]:8443", NULL},
        {"https", "tcp://hub.example:4000", "https://web.example/hub/", PIN, "/ca.pem",
         "https://web.example/hub/", NULL},
        {"https", "tcp://hub.example:4000", "", "", "", NULL, "need https_pin"},
        {"auto", "tcp://hub.example:4000", "", "sha256//AAAA", "", NULL, "no pin"},
        {"auto", "tcp://hub.example:4000", "", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "", NULL,
         "no pin"},
        {"auto", "tcp://hub.example:4000", "http://hub.example", PIN, "", NULL, "no address"},
        {"auto", "tcp://hub.example:4000", "https://hub.example:0", PIN, "", NULL, "no address"},
        {"auto", "tcp://hub.example:4000", "https://user@hub.example", PIN, "", NULL, "no address"},
        {"auto", "tcp://hub.example:4000", "https://hub\r\nX: y", PIN, "", NULL, "no address"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct proxy_config settings = plain;
        struct identity *identity = NULL;
        struct err err = {0};
        settings.transport = cases[i].transport;
        settings.server = cases[i].server;
        settings.https_server = cases[i].https_server;
        settings.https_pin = cases[i].pin;
        settings.https_ca = cases[i].ca;
        int rc = identity_create(&identity, &settings, &err);
        if (rc != (cases[i].why == NULL ? 0 : ERR_CONFIG) ||
            (cases[i].why != NULL && strstr(err.detail, cases[i].why) == NULL))
            fail_msg("case %zu: %d %s", i, rc, err.detail);
        if (rc == 0)
            assert_string_equal(identity->https_server, cases[i].becomes);
        identity_destroy(&identity);
    }
}

static void a_tunnel_has_a_user_and_a_host(void **state)
{
    (void)state;
    static const struct {
        const char *via;
        bool good;
    } cases[] = {
        {"mail@hub.example", true},
        {"mail@hub.example:2222", true},
        {"mail@[2001:db8::1]:22", true},
        {"mail@[2001:db8::1]", true},
        {"a.b-c_d@192.0.2.1", true},
        {"hub.example", false},
        {"@hub.example", false},
        {"mail@", false},
        {"-oProxyCommand=x@hub", false},
        {"mail@-oProxyCommand=x", false},
        {"mail@hub:0", false},
        {"mail@hub:65536", false},
        {"mail@hub:x", false},
        {"mail@hub example", false},
        {"mail@[::1", false},
        {"mail@hub;x", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct proxy_config settings = plain;
        struct identity *identity = NULL;
        struct err err = {0};
        settings.via_ssh = cases[i].via;
        int rc = identity_create(&identity, &settings, &err);
        if (rc != (cases[i].good ? 0 : ERR_CONFIG))
            fail_msg("%s: %d %s", cases[i].via, rc, err.detail);
        identity_destroy(&identity);
    }
}

static void replies_are_read_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc, status;
        uint32_t retry_after_s;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0, 200, 0, true},
        {"HTTP/1.0 200\r\ncontent-length:2\r\n\r\nhi", 0, 200, 0, false},
        {"HTTP/1.1 503 \r\nConnection: close\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 0, 503, 7,
         false},
        {"HTTP/1.1 429 x\r\nRetry-After: 99999\r\nContent-Length: 0\r\n\r\n", 0, 429, REPLY_RETRY_S, true},
        {"HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 1999\r\nContent-Length: 0\r\n\r\n", 0, 503, 0, true},
        {"HTTP/1.1 204 x\r\n\r\n", 0, 204, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", ERR_MORE, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Le", ERR_MORE, 0, 0, false},
        {"", ERR_MORE, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", ERR_LIMIT, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_UNSUPPORTED, 0, 0, false},
        {"HTTP/1.1 200 OK\r\n\r\n", ERR_UNSUPPORTED, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", ERR_INVALID, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ERR_INVALID, 0, 0, false},
        {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", ERR_INVALID, 0, 0, false},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ERR_INVALID, 0, 0, false},
        {"HTTP/2 200 OK\r\n\r\n", ERR_INVALID, 0, 0, false},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_INVALID, 0, 0, false},
    };
    struct reply reply;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int rc = reply_parse(slice_of(cases[i].text), 100, false, &reply);
        if (rc != cases[i].rc)
            fail_msg("case %zu: %d", i, rc);
        if (rc != 0)
            continue;
        assert_int_equal(reply.status, cases[i].status);
        assert_int_equal(reply.retry_after_s, cases[i].retry_after_s);
        assert_int_equal(reply.keep_alive, cases[i].keep_alive);
    }
    static char endless[REPLY_HEAD_BYTES + 10];
    memset(endless, 'x', sizeof endless);
    assert_int_equal(reply_parse((struct slice){endless, sizeof endless}, 100, false, &reply), ERR_LIMIT);
    assert_int_equal(reply_parse(SLICE("HTTP/1.1 200 Connection established\r\n\r\n"), 0, true, &reply), 0);
}

static void metrics_have_every_row(void **state)
{
    (void)state;
    struct buf out = {.limit = 256 * 1024};
    struct listener_stats port = {.requests = 7, .answered = 6};
    histogram_record(&port.answer, 70, 6);
    struct snapshot from = {.port = &port, .greets = true, .spool = {.journal = {.dropped = 5}}};
    from.uplink.state = UPLINK_READY;
    from.uplink.lag_us = 1500000;
    assert_int_equal(metrics_render(&from, &out), 0);
    assert_int_equal(buf_add(&out, "", 1), 0);
    static const char *const lines[] = {
#define METRIC(name, type, help, value) "\npolicy_proxy_" #name " ",
#include "metrics.def"
#undef METRIC
        "\npolicy_proxy_requests_total 7\n",
        "\npolicy_proxy_answers_total 6\n",
        "\npolicy_proxy_spool_dropped_total 5\n",
        "\npolicy_proxy_uplink_lag_seconds 1.500000\n",
        "\npolicy_proxy_uplink_state{state=\"ready\"} 1\n",
        "\npolicy_proxy_uplink_state{state=\"refused\"} 0\n",
        "\npolicy_proxy_answer_seconds_bucket{le=\"0.0001\"} 6\n",
        "\npolicy_proxy_build_info{version=\"" VERSION "\"} 1\n",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        if (strstr(out.p, lines[i]) == NULL)
            fail_msg("missing: %s", lines[i]);
    buf_fini(&out);
}

static void records_are_json_whatever_is_in_them(void **state)
{
    (void)state;
    struct buf out = {.limit = 1024 * 1024};
    struct journal_record record = {
        .seq = 9,
        .ts_us = 0,
        .kind = RECORD_POLICY,
        .payload =
            SLICE("request=smtpd_access_policy\nsender=\xff\x01\"\\\xc3\xa9\nfoo=1\nfoo=\nsender=b\n\n"),
    };
    assert_int_equal(records_to_json(&record, &out), 0);
    assert_int_equal(out.p[out.n - 1], '\n');
    json_t *root = json_loadb(out.p, out.n, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "seq")), 9);
    const json_t *attributes = json_object_get(root, "attributes");
    assert_string_equal(json_string_value(json_object_get(attributes, "sender")), "\\xff\x01\"\\\xc3\xa9");
    assert_null(json_object_get(attributes, "recipient"));
    const json_t *others = json_object_get(root, "others");
    assert_int_equal(json_array_size(others), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(others, 1), "foo")), "");
    json_decref(root);
    buf_clear(&out);
    record.payload = SLICE("what is this");
    assert_int_equal(records_to_json(&record, &out), 0);
    root = json_loadb(out.p, out.n, 0, NULL);
    assert_non_null(root);
    json_decref(root);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_name_becomes_an_edge_id),
        cmocka_unit_test(paths_lie_below_the_spool),
        cmocka_unit_test(what_https_needs_is_asked_for),
        cmocka_unit_test(a_tunnel_has_a_user_and_a_host),
        cmocka_unit_test(replies_are_read_whole),
        cmocka_unit_test(metrics_have_every_row),
        cmocka_unit_test(records_are_json_whatever_is_in_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
