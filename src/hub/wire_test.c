/* SPDX-License-Identifier: Apache-2.0
 *
 * wire_test: real edges and a real hub over CURVE: whatever is restarted, copied or refused, what was kept
 * arrives exactly once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"
#include "world.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct world world;
static struct world_edge edge;

static int setup(void **state)
{
    (void)state;
    world_make(&world);
    world_start_hub(&world);
    world_edge_init(&edge, &world, "mx1");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_edge_close(&edge);
    world_remove(&world);
    return 0;
}

static void everything_arrives_once(void **state)
{
    (void)state;
    struct buf json;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    for (uint32_t i = 0; i < 10; i++)
        world_edge_keep(&edge, i * 2000, 2000);
    world_edge_wait_acked(&edge, 20000);
    WORLD_WAIT(world_edge_stats(&edge).lag_us == 0);
    uplink_tell_answers(edge.uplink, 20000, 77);

    struct receive_stats stats = world_stats(&world);
    assert_int_equal(stats.records, 20000);
    assert_int_equal(stats.gaps, 0);
    assert_int_equal(stats.sessions, 1);
    assert_int_equal(stats.acks, stats.batches);
    assert_int_equal(world_edge_stats(&edge).state, UPLINK_READY);
    assert_true(llabs((long long)world_edge_stats(&edge).clock_offset_us) < US_PER_SECOND);

    json_int_t answers = 0;
    json_t *list = NULL;
    WORLD_WAIT(
        (json_decref(list), buf_init(&json, 1 << 20),
         receive_edges(world.receive, 0, &json) == 0 &&
             (list = json_loadb(json.p, json.n, 0, NULL)) != NULL && (buf_fini(&json), true) &&
             (answers = json_integer_value(json_object_get(json_array_get(list, 0), "answers"))) == 20000));
    json_t *shown = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(shown, "id")), "mx1");
    assert_int_equal(json_integer_value(json_object_get(shown, "tenant")), world.tenant);
    assert_int_equal(json_integer_value(json_object_get(shown, "last_seq")), 20000);
    assert_int_equal(json_integer_value(json_object_get(shown, "latency_p99_us")), 77);
    assert_true(json_is_true(json_object_get(shown, "connected")));
    json_decref(list);
    buf_init(&json, 64);
    assert_int_equal(receive_edges(world.receive, world.tenant + 1, &json), 0);
    assert_true(slice_equal(buf_slice(&json), SLICE("[]")));
    buf_fini(&json);
    world_expect_once(&world, 0, 19999);
}

static void the_hub_may_restart_at_any_time(void **state)
{
    (void)state;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    for (uint32_t i = 0; i < 5; i++) {
        world_edge_keep(&edge, i * 4000, 2000);
        world_edge_wait_acked(&edge, i * 4000 + 1);
        world_stop_hub(&world);
        world_edge_keep(&edge, i * 4000 + 2000, 2000);
        world_start_hub(&world);
    }
    world_edge_wait_acked(&edge, 20000);
    world_expect_once(&world, 0, 19999);
}

/* Its snapshot is lost too: the journal alone tells how far each edge is. */
static void the_hub_needs_no_snapshot(void **state)
{
    (void)state;
    char path[WORLD_PATH_BYTES];
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 5000);
    world_edge_wait_acked(&edge, 5000);
    world_edge_stop(&edge, 0);
    world_stop_hub(&world);
    (void)snprintf(path, sizeof path, "%s/state/edges", world.dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* what reading answers on a disk gone bad: an error */
    world_start_hub(&world);
    assert_int_equal(rmdir(path), 0);
    struct world_peer *peer = world_connect(&world);
    assert_int_equal(world_greet(peer, "other", world.api_key)->type, FRAME_WELCOME);
    world_disconnect(&peer);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 5000, 5000);
    world_edge_wait_acked(&edge, 5000);
    assert_int_equal(world_stats(&world).gaps, 0);
    world_expect_once(&world, 0, 9999);
}

static void an_edge_may_restart_at_any_time(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        world_edge_open(&edge);
        world_edge_start(&edge, "mx1");
        world_edge_keep(&edge, i * 3000, 3000);
        if (i % 2 == 0)
            world_edge_wait_acked(&edge, 1000);
        world_edge_close(&edge);
    }
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 15000, 1);
    WORLD_WAIT(world_stats(&world).records == 15001);
    assert_int_equal(world_stats(&world).gaps, 0);
    world_expect_once(&world, 0, 15000);
}

static void stop_sends_what_is_synced(void **state)
{
    (void)state;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 30000);
    WORLD_WAIT(spool_synced_seq(edge.spool) == 30000);
    WORLD_WAIT(world_edge_stats(&edge).state == UPLINK_READY);
    world_edge_stop(&edge, 30 * US_PER_SECOND);
    WORLD_WAIT(world_stats(&world).sessions == 0); /* it said goodbye */
    world_expect_once(&world, 0, 29999);
}

static void a_wrong_server_key_sends_nothing(void **state)
{
    (void)state;
    struct curve_keys keys;
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/other.key", world.dir);
    assert_int_equal(curve_keys_load(&keys, path, NULL), 0);
    memcpy(edge.server_key, keys.public_key, sizeof edge.server_key);
    world_edge_open(&edge);
    world_edge_keep(&edge, 0, 10);
    world_edge_start(&edge, "mx1");
    world_edge_wait_refused(&edge, "the handshake fails");
    assert_int_equal(world_stats(&world).hellos, 0);
}

static void keys_are_checked_for_scope_and_address(void **state)
{
    (void)state;
    char secret[ACCOUNT_KEY_TEXT_BYTES];
    struct world_peer *peer = world_connect(&world);
    const struct frame *answer = world_greet(peer, "a", "ma_wrong");
    assert_int_equal(answer->type, FRAME_REFUSE);
    assert_int_equal(answer->refuse.code, REFUSAL_KEY);
    (void)world_add_key(&world, SCOPE_READ, NULL, secret);
    assert_int_equal(world_greet(peer, "a", secret)->refuse.code, REFUSAL_SCOPE);
    (void)world_add_key(&world, SCOPE_INGEST, "192.0.2.0/24", secret);
    assert_int_equal(world_greet(peer, "a", secret)->refuse.code, REFUSAL_ADDRESS);
    (void)world_add_key(&world, SCOPE_INGEST, "127.0.0.0/8", secret);
    assert_int_equal(world_greet(peer, "a", secret)->type, FRAME_WELCOME);
    assert_int_equal(world_stats(&world).refusals, 3);
    world_disconnect(&peer);
}

static void a_revoked_key_ends_a_living_session(void **state)
{
    (void)state;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 100);
    world_edge_wait_acked(&edge, 100);
    assert_int_equal(account_key_revoke(world.account, world.tenant, world.key_id, NULL), 0);
    world_edge_wait_refused(&edge, "revoked");
    assert_int_equal(world_stats(&world).sessions, 0);
    world_edge_keep(&edge, 100, 100);
    WORLD_WAIT(world_edge_stats(&edge).refusals >= 3); /* it keeps asking, and keeps its spool */
    assert_int_equal(world_stats(&world).records, 100);

    (void)world_add_key(&world, SCOPE_INGEST, NULL, edge.api_key);
    world_edge_stop(&edge, 0);
    world_edge_start(&edge, "mx1");
    world_edge_wait_acked(&edge, 100);
    world_expect_once(&world, 0, 199);
}

/* Copies the directory of a closed edge. */
static void copy_edge(struct world_edge *copy, const char *name)
{
    char command[5 * WORLD_PATH_BYTES];
    world_edge_init(copy, &world, name);
    (void)snprintf(command, sizeof command, "cp -r '%s' '%s' && cp '%s' '%s'", edge.spool_dir,
                   copy->spool_dir, edge.key_file, copy->key_file);
    assert_int_equal(system(command), 0);
}

static void a_cloned_edge_doubles_nothing(void **state)
{
    (void)state;
    struct world_edge clone;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1"); /* makes the key */
    world_edge_stop(&edge, 0);
    world_edge_keep(&edge, 0, 5000);
    world_edge_close(&edge);
    copy_edge(&clone, "clone");
    world_edge_open(&edge);
    world_edge_open(&clone);
    world_edge_start(&edge, "mx1");
    world_edge_start(&clone, "mx1");
    world_edge_keep(&edge, 5000, 5000);
    world_edge_keep(&clone, 10000, 5000);
    WORLD_WAIT(world_stats(&world).records >= 15000);
    world_edge_close(&clone);
    assert_int_equal(world_stats(&world).forked, 0);
    world_expect_once(&world, 0, 14999);
}

static void a_wiped_edge_needs_a_new_pin(void **state)
{
    (void)state;
    struct world_edge wiped;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 10);
    world_edge_wait_acked(&edge, 10);
    world_edge_init(&wiped, &world, "wiped");
    world_edge_open(&wiped);
    world_edge_keep(&wiped, 10, 10);
    world_edge_start(&wiped, "mx1");
    world_edge_wait_refused(&wiped, "pinned");
    assert_int_equal(world_stats(&world).sessions, 1); /* the lost machine's, not yet known to be over */
    assert_int_equal(account_edge_forget(world.account, world.tenant, "mx1", NULL), 0);
    world_edge_wait_acked(&wiped, 10);
    world_edge_close(&wiped);
    world_expect_once(&world, 0, 19);
}

struct said {
    int good, bad;
    char last[512];
};

static void say(void *arg, bool ok, const char *line)
{
    struct said *said = arg;
    *(ok ? &said->good : &said->bad) += 1;
    (void)snprintf(said->last, sizeof said->last, "%s", line);
}

static void the_check_says_what_works_and_disturbs_nothing(void **state)
{
    (void)state;
    struct said said = {0};
    struct err err;
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 10);
    world_edge_wait_acked(&edge, 10);
    struct uplink_options options = world_edge_options(&edge, "mx1");
    assert_int_equal(uplink_check(&options, say, &said, &err), 0);
    assert_int_equal(said.good, 4);
    assert_int_equal(said.bad, 0);
    world_edge_keep(&edge, 10, 10);
    world_edge_wait_acked(&edge, 20);
    assert_int_equal(world_edge_stats(&edge).connects, 1);

    said = (struct said){0};
    options.api_key = "ma_wrong";
    assert_int_equal(uplink_check(&options, say, &said, &err), ERR_UNAUTHENTICATED);
    assert_int_equal(said.good, 2);
    assert_non_null(strstr(said.last, "apikey add"));

    said = (struct said){0};
    struct curve_keys other;
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/other.key", world.dir);
    assert_int_equal(curve_keys_load(&other, path, NULL), 0);
    options.server_key = other.public_key;
    assert_int_equal(uplink_check(&options, say, &said, &err), ERR_UNAUTHENTICATED);
    assert_int_equal(said.good, 1);
    assert_non_null(strstr(said.last, "server_key"));

    said = (struct said){0};
    options.server = "tcp://127.0.0.1:1";
    assert_int_equal(uplink_check(&options, say, &said, &err), ERR_UNAVAILABLE);
    assert_int_equal(said.good, 0);
    assert_int_equal(said.bad, 1);
    world_expect_once(&world, 0, 19);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t field;
        const char *value;
    } cases[] = {
        {"server", offsetof(struct uplink_options, server), "mail.example:4000"},
        {"server", offsetof(struct uplink_options, server), "tcp://mail.example:port"},
        {"server key", offsetof(struct uplink_options, server_key), "abc"},
        {"edge_id", offsetof(struct uplink_options, edge_id), "a b"},
        {"api_key", offsetof(struct uplink_options, api_key), ""},
    };
    world_edge_open(&edge);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct uplink_options options = world_edge_options(&edge, "mx1");
        struct err err;
        memcpy((char *)&options + cases[i].field, &cases[i].value, sizeof cases[i].value);
        assert_int_equal(uplink_start(&edge.uplink, &options, edge.spool, &err), ERR_CONFIG);
        assert_null(edge.uplink);
        if (strstr(err.detail, cases[i].name) == NULL)
            fail_msg("%s: %s", cases[i].name, err.detail);
    }
}

int main(void)
{
    log_set_level(getenv("WIRE_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_arrives_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_hub_may_restart_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(the_hub_needs_no_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edge_may_restart_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_sends_what_is_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_server_key_sends_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_checked_for_scope_and_address, setup, teardown),
        cmocka_unit_test_setup_teardown(a_revoked_key_ends_a_living_session, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cloned_edge_doubles_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wiped_edge_needs_a_new_pin, setup, teardown),
        cmocka_unit_test_setup_teardown(the_check_says_what_works_and_disturbs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_options_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
