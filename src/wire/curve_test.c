/* SPDX-License-Identifier: Apache-2.0
 *
 * curve_test: key files, and a real ROUTER and DEALER on loopback: who gets in, what the hub learns of a
 * peer, what the client learns of a failure.
 */
#include "base/clock.h"
#include "base/test.h"
#include "curve.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static char dir[] = "/tmp/curve-test-XXXXXX";
static char key_path[64], public_path[64];

static int make_dir(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(key_path, sizeof key_path, "%s/key", dir);
    (void)snprintf(public_path, sizeof public_path, "%s/key.pub", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(key_path);
    (void)unlink(public_path);
    return rmdir(dir);
}

static void keys_are_made_once_and_kept_from_others(void **state)
{
    (void)state;
    struct curve_keys first, second;
    struct stat st;
    char text[64] = "";
    struct err err;
    enum { SOMEBODY = 65534 };
    uid_t owner = geteuid() == 0 ? SOMEBODY : geteuid(); /* who uses them, even if root makes them: `check` */
    assert_int_equal(geteuid() == 0 ? chown(dir, SOMEBODY, SOMEBODY) : 0, 0);
    assert_int_equal(curve_keys_load(&first, key_path, NULL), 0);
    assert_int_equal(curve_keys_load(&second, key_path, NULL), 0);
    assert_string_equal(first.public_key, second.public_key);
    assert_string_equal(first.secret_key, second.secret_key);
    assert_int_equal(stat(key_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_uid, owner);
    FILE *f = fopen(public_path, "r");
    assert_non_null(fgets(text, sizeof text, f));
    (void)fclose(f);
    assert_memory_equal(text, first.public_key, 40);

    assert_int_equal(chmod(key_path, 0640), 0);
    assert_int_equal(curve_keys_load(&second, key_path, &err), ERR_DENIED);
    assert_int_equal(chmod(key_path, 0600), 0);
    assert_int_equal(truncate(key_path, 20), 0);
    assert_int_equal(curve_keys_load(&second, key_path, &err), ERR_INVALID);
    assert_int_equal(truncate(key_path, 0), 0);
    assert_int_equal(curve_keys_load(&second, key_path, &err), ERR_INVALID);
    assert_int_equal(curve_keys_load(&second, "/nowhere/at/all", &err), ERR_NOT_FOUND);
    assert_int_equal(curve_key_check(first.public_key, NULL), 0);
    assert_int_equal(curve_key_check("short", NULL), ERR_CONFIG);
}

struct pair {
    struct curve_keys server_keys, client_keys;
    void *zap, *server, *client, *monitor;
    char endpoint[64];
};

static void open_server(struct pair *p, const char *endpoint)
{
    size_t n = sizeof p->endpoint;
    assert_int_equal(zmq_curve_keypair(p->server_keys.public_key, p->server_keys.secret_key), 0);
    assert_int_equal(zmq_curve_keypair(p->client_keys.public_key, p->client_keys.secret_key), 0);
    assert_int_equal(curve_zap_open(&p->zap, NULL), 0);
    assert_int_equal(curve_server(&p->server, &p->server_keys, 16, NULL), 0);
    assert_int_equal(curve_bind(p->server, endpoint, NULL), 0);
    assert_int_equal(zmq_getsockopt(p->server, ZMQ_LAST_ENDPOINT, p->endpoint, &n), 0);
}

static void open_client(struct pair *p, const char *server_key)
{
    assert_int_equal(curve_client(&p->client, &p->client_keys, server_key, p->endpoint, 16, NULL), 0);
    assert_int_equal(curve_monitor_open(&p->monitor, p->client, NULL), 0);
    assert_int_equal(curve_connect(p->client, p->endpoint, NULL), 0);
}

static void close_client(struct pair *p)
{
    curve_monitor_close(&p->monitor, p->client);
    assert_int_equal(zmq_close(p->client), 0);
}

static void close_server(struct pair *p)
{
    assert_int_equal(zmq_close(p->server), 0);
    curve_zap_close(&p->zap);
}

/* Answers ZAP until the client is told how it went. */
static enum curve_event outcome(struct pair *p)
{
    int64_t until = clock_monotonic_us() + 30 * US_PER_SECOND;
    while (clock_monotonic_us() < until) {
        zmq_pollitem_t items[] = {{p->monitor, 0, ZMQ_POLLIN, 0}, {p->zap, 0, ZMQ_POLLIN, 0}};
        assert_true(zmq_poll(items, 2, 1000) >= 0);
        while (curve_zap_answer(p->zap, NULL, NULL))
            ;
        enum curve_event event = curve_monitor_next(p->monitor);
        if (event != CURVE_NONE && event != CURVE_CONNECTED)
            return event;
    }
    return CURVE_NONE;
}

static void a_peer_is_known_by_key_and_address(void **state)
{
    (void)state;
    static const char *const endpoints[][2] = {{"tcp://127.0.0.1:*", "127.0.0.1"}, {"tcp://[::1]:*", "::1"}};
    for (size_t i = 0; i < ARRAY_LENGTH(endpoints); i++) {
        struct pair p = {0};
        open_server(&p, endpoints[i][0]);
        open_client(&p, p.server_keys.public_key);
        assert_int_equal(outcome(&p), CURVE_READY);
        assert_int_equal(zmq_send(p.client, "hello", 5, 0), 5);
        zmq_msg_t id, message;
        assert_int_equal(zmq_msg_init(&id), 0);
        assert_int_equal(zmq_msg_init(&message), 0);
        assert_true(zmq_msg_recv(&id, p.server, 0) > 0);
        assert_int_equal(zmq_msg_recv(&message, p.server, 0), 5);
        struct ip address;
        char key[CURVE_Z85_BYTES], text[IP_TEXT_BYTES];
        assert_int_equal(curve_peer(&message, &address, key), 0);
        ip_format(&address, text);
        assert_string_equal(text, endpoints[i][1]);
        assert_string_equal(key, p.client_keys.public_key);
        (void)zmq_msg_close(&id);
        (void)zmq_msg_close(&message);
        close_client(&p);
        close_server(&p);
    }
}

static void a_wrong_server_key_is_told_from_no_server(void **state)
{
    (void)state;
    struct pair p = {0};
    open_server(&p, "tcp://127.0.0.1:*");
    open_client(&p, p.client_keys.public_key);
    enum curve_event event = outcome(&p);
    assert_true(event == CURVE_HANDSHAKE_FAILED || event == CURVE_CLOSED);
    close_client(&p);
    close_server(&p);

    (void)snprintf(p.endpoint, sizeof p.endpoint, "tcp://127.0.0.1:1"); /* nobody listens there */
    assert_int_equal(curve_zap_open(&p.zap, NULL), 0);
    open_client(&p, p.server_keys.public_key);
    assert_int_equal(outcome(&p), CURVE_CLOSED);
    close_client(&p);
    curve_zap_close(&p.zap);
}

/* A ZAP domain that nobody answers for must not let peers in. */
static void without_the_zap_handler_nobody_gets_in(void **state)
{
    (void)state;
    struct pair p = {0};
    open_server(&p, "tcp://127.0.0.1:*");
    curve_zap_close(&p.zap);
    open_client(&p, p.server_keys.public_key);
    zmq_pollitem_t item = {p.monitor, 0, ZMQ_POLLIN, 0};
    enum curve_event event = CURVE_NONE;
    while (event == CURVE_NONE || event == CURVE_CONNECTED) {
        assert_true(zmq_poll(&item, 1, 30000) == 1);
        event = curve_monitor_next(p.monitor);
        assert_int_not_equal(event, CURVE_READY);
    }
    close_client(&p);
    close_server(&p);
}

static void a_busy_port_and_a_bad_address_are_named(void **state)
{
    (void)state;
    struct pair p = {0};
    void *second;
    struct err err;
    open_server(&p, "tcp://127.0.0.1:*");
    assert_int_equal(curve_server(&second, &p.server_keys, 16, NULL), 0);
    assert_int_equal(curve_bind(second, p.endpoint, &err), ERR_BUSY);
    assert_non_null(strstr(err.detail, p.endpoint));
    assert_int_equal(curve_bind(second, "nonsense", &err), ERR_CONFIG);
    assert_int_equal(zmq_close(second), 0);
    close_server(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_made_once_and_kept_from_others, make_dir, remove_dir),
        cmocka_unit_test(a_peer_is_known_by_key_and_address),
        cmocka_unit_test(a_wrong_server_key_is_told_from_no_server),
        cmocka_unit_test(without_the_zap_handler_nobody_gets_in),
        cmocka_unit_test(a_busy_port_and_a_bad_address_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
