/* SPDX-License-Identifier: Apache-2.0
 *
 * abuse_test: peers with a valid CURVE key, and even a valid API key, that do what no edge does. Each gets
 * its refusal and a counter; a living edge beside them feels nothing.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"
#include "knocks.h"
#include "world.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>
#include <zmq.h>
#include <zstd.h>

static struct world world;
static struct world_peer *peer;
static struct batch_writer *writer;
static struct frame *frame;

static int setup(void **state)
{
    (void)state;
    world_make(&world);
    world_start_hub(&world);
    peer = world_connect(&world);
    frame = calloc(1, sizeof *frame);
    assert_non_null(frame);
    assert_int_equal(batch_writer_create(&writer, 3), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_writer_destroy(&writer);
    free(frame);
    world_disconnect(&peer);
    world_remove(&world);
    return 0;
}

/* A batch of the numbers first to first + count - 1 in the epoch of world_greet, at that seq. */
static const struct frame *make_batch(uint64_t first_seq, uint32_t first, uint32_t count)
{
    char text[128];
    batch_writer_clear(writer);
    for (uint32_t i = first; i < first + count; i++) {
        int n = snprintf(text, sizeof text, "request=smtpd_access_policy\nnumber=%u\n\n", i);
        assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, (struct slice){text, (size_t)n}), 0);
    }
    frame->type = FRAME_BATCH;
    frame->batch = (struct frame_batch){.greeting = peer->greeting,
                                        .epoch = {{1}},
                                        .first_seq = first_seq,
                                        .count = count,
                                        .clock_us = clock_real_us()};
    assert_int_equal(batch_writer_finish(writer, &frame->batch.body, &frame->batch.hash), 0);
    return frame;
}

static void expect_ack(uint64_t last_seq)
{
    const struct frame *answer = world_hear(peer);
    if (answer->type == FRAME_REFUSE)
        fail_msg("refused: %s", frame_refusal_name(answer->refuse.code));
    assert_int_equal(answer->type, FRAME_ACK);
    assert_int_equal(answer->ack.greeting, peer->greeting);
    assert_int_equal(answer->ack.progress.last_seq, last_seq);
}

static void expect_refusal(enum refusal code)
{
    const struct frame *answer = world_hear(peer);
    assert_int_equal(answer->type, FRAME_REFUSE);
    assert_string_equal(frame_refusal_name(answer->refuse.code), frame_refusal_name(code));
    assert_true(answer->refuse.reason.n > 0);
}

static void greet(void)
{
    assert_int_equal(world_greet(peer, "mx1", world.api_key)->type, FRAME_WELCOME);
}

static void a_replayed_batch_is_acked_and_stored_once(void **state)
{
    (void)state;
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    for (int i = 0; i < 5; i++)
        world_say(peer, frame);
    for (int i = 0; i < 5; i++)
        expect_ack(10);
    world_say(peer, make_batch(11, 10, 10));
    expect_ack(20);
    struct receive_stats stats = world_stats(&world);
    assert_int_equal(stats.duplicates, 5);
    assert_int_equal(stats.batches, 2);
    world_expect_once(&world, 0, 19);
}

/* Lines about it in the audit table. */
static int audit_lines(void)
{
    char path[WORLD_PATH_BYTES];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    (void)snprintf(path, sizeof path, "%s/account", world.dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT count(*) FROM audit WHERE actor = 'mx1' AND action = 'wire.forked'"
                           " AND detail LIKE '%first_seq=1 count=10%'",
                           -1, &stmt, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int lines = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return lines;
}

static void an_altered_batch_is_forked_and_audited(void **state)
{
    (void)state;
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    world_say(peer, make_batch(1, 100, 10));
    expect_refusal(REFUSAL_FORKED);
    assert_int_equal(world_stats(&world).forked, 1);
    assert_int_equal(world_stats(&world).sessions, 0);
    world_say(peer, make_batch(11, 10, 10));
    expect_refusal(REFUSAL_NO_SESSION);
    assert_int_equal(audit_lines(), 1);
    world_expect_once(&world, 0, 9);
}

static void an_overlap_is_sent_back_to_greet(void **state)
{
    (void)state;
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    world_say(peer, make_batch(6, 5, 10));
    expect_refusal(REFUSAL_RESYNC);
    const struct frame *answer = world_greet(peer, "mx1", world.api_key);
    assert_int_equal(answer->type, FRAME_WELCOME);
    assert_int_equal(answer->welcome.progress_count, 1);
    assert_int_equal(answer->welcome.progress[0].last_seq, 10);
    world_expect_once(&world, 0, 9);
}

static void a_gap_is_counted(void **state)
{
    (void)state;
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    world_say(peer, make_batch(31, 10, 10));
    expect_ack(40);
    assert_int_equal(world_stats(&world).gaps, 1);
    assert_int_equal(world_stats(&world).gap_records, 20);
    world_expect_once(&world, 0, 19);
}

static void without_a_session_nothing_is_taken(void **state)
{
    (void)state;
    world_say(peer, make_batch(1, 0, 10));
    expect_refusal(REFUSAL_NO_SESSION);
    greet();
    peer->greeting++; /* a batch of another greeting */
    world_say(peer, make_batch(1, 0, 10));
    expect_refusal(REFUSAL_NO_SESSION);
    struct world_peer *second = world_connect(&world);
    assert_int_equal(world_greet(second, "mx2", world.api_key)->type, FRAME_WELCOME);
    world_disconnect(&second);
    assert_int_equal(world_stats(&world).batches, 0);
}

static void an_edge_has_one_session_and_one_key(void **state)
{
    (void)state;
    greet();
    struct world_peer *second = world_connect(&world); /* another CURVE key */
    assert_int_equal(world_greet(second, "mx1", world.api_key)->refuse.code, REFUSAL_PINNED);
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);

    struct world_peer *other = calloc(1, sizeof *other); /* the same CURVE key on another connection */
    assert_non_null(other);
    link_init(&other->link);
    other->keys = peer->keys;
    assert_int_equal(link_open(&other->link, &other->keys, world.server_key, world.endpoint, NULL), 0);
    WORLD_WAIT(link_event(&other->link) == CURVE_READY);
    assert_int_equal(world_greet(other, "mx1", world.api_key)->type, FRAME_WELCOME);
    assert_int_equal(world_stats(&world).sessions, 1);
    world_say(peer, make_batch(11, 10, 10));
    expect_refusal(REFUSAL_NO_SESSION);
    world_disconnect(&other);
    world_disconnect(&second);
}

/* What the hub tells of a tenant's edges: how many, and the records of the first. */
static size_t edges_of(uint32_t tenant, json_int_t *records)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(receive_edges(world.receive, tenant, &text), 0);
    json_t *list = json_loadb(text.p, text.n, 0, NULL);
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++)
        if (tenant != 0)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(list, i), "tenant")), tenant);
    *records = json_integer_value(json_object_get(json_array_get(list, 0), "records"));
    json_decref(list);
    buf_fini(&text);
    return count;
}

static void expect_progress(const struct frame *answer, uint64_t last_seq)
{
    assert_int_equal(answer->type, FRAME_WELCOME);
    assert_int_equal(answer->welcome.progress_count, 1);
    assert_int_equal(answer->welcome.progress[0].last_seq, last_seq);
}

/* Two tenants with one edge id, one epoch and one seq, each with its own CURVE key and other records. */
static void an_edge_id_is_its_tenants_own(void **state)
{
    (void)state;
    uint32_t mine = world.tenant, theirs;
    char key[ACCOUNT_KEY_TEXT_BYTES];
    json_int_t records;
    assert_int_equal(account_tenant_add(world.account, "other", &theirs, NULL), 0);
    world.tenant = theirs;
    (void)world_add_key(&world, SCOPE_INGEST, NULL, key);
    world.tenant = mine;
    struct world_peer *own = peer, *other = world_connect(&world);
    greet();
    world_say(own, make_batch(1, 0, 10));
    expect_ack(10);
    expect_progress(world_greet(other, "mx1", key), 0); /* it learns nothing of the other's */
    peer = other;
    world_say(other, make_batch(1, 100, 5));
    expect_ack(5);
    peer = own; /* whose session lives on */
    world_say(own, make_batch(11, 10, 10));
    expect_ack(20);
    assert_int_equal(world_stats(&world).sessions, 2);
    assert_int_equal(world_stats(&world).refusals, 0);
    for (int restarts = 0; restarts < 3; restarts++) {
        assert_int_equal(edges_of(mine, &records), 1);
        assert_int_equal(records, 20);
        assert_int_equal(edges_of(theirs, &records), 1);
        assert_int_equal(records, 5);
        assert_int_equal(edges_of(0, &records), 2);
        assert_int_equal(edges_of(theirs + 1, &records), 0);
        world_disconnect(&own);
        world_disconnect(&other);
        world_stop_hub(&world);
        if (restarts == 1) { /* from the journal alone */
            char snapshot[WORLD_PATH_BYTES];
            (void)snprintf(snapshot, sizeof snapshot, "%s/state/edges", world.dir);
            assert_int_equal(unlink(snapshot), 0);
        }
        world_start_hub(&world);
        own = world_connect(&world);
        other = world_connect(&world);
    }
    assert_int_equal(account_edge_forget(world.account, mine, "mx1", NULL), 0); /* their keys are new ones */
    assert_int_equal(world_greet(other, "mx1", key)->refuse.code, REFUSAL_PINNED);
    expect_progress(world_greet(own, "mx1", world.api_key), 20);
    peer = own;
    world_disconnect(&other);
}

static void malformed_frames_cost_a_refusal(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        enum refusal code;
    } cases[] = {
        {"", 0, REFUSAL_BAD_FRAME},       {"\1", 1, REFUSAL_BAD_FRAME},
        {"\1\1", 2, REFUSAL_BAD_FRAME},   {"\1\2rest", 6, REFUSAL_VERSION},
        {"\xff\1", 2, REFUSAL_BAD_FRAME}, {"GET / HTTP/1.1\r\n\r\n", 18, REFUSAL_VERSION},
        {"\5\1", 2, REFUSAL_BAD_FRAME},
    };
    greet();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        world_send(peer, cases[i].bytes, cases[i].n);
        expect_refusal(cases[i].code);
    }
    assert_int_equal(world_stats(&world).bad_frames, ARRAY_LENGTH(cases));
    assert_int_equal(world_stats(&world).sessions, 0);
    greet(); /* an ACK from an edge */
    frame->type = FRAME_ACK;
    frame->ack = (struct frame_ack){.greeting = peer->greeting};
    world_say(peer, frame);
    expect_refusal(REFUSAL_BAD_FRAME);
    assert_int_equal(zmq_send(peer->link.socket, "a", 1, ZMQ_SNDMORE), 1); /* a frame of several parts */
    assert_int_equal(zmq_send(peer->link.socket, "b", 1, ZMQ_SNDMORE), 1);
    world_send(peer, "c", 1);
    expect_refusal(REFUSAL_BAD_FRAME);
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
}

static void a_bad_body_is_refused_and_not_journalled(void **state)
{
    (void)state;
    greet();
    (void)make_batch(1, 0, 10);
    frame->batch.hash ^= 1;
    world_say(peer, frame);
    expect_refusal(REFUSAL_BAD_FRAME);
    greet();
    (void)make_batch(1, 0, 10);
    frame->batch.count = 9;
    world_say(peer, frame);
    expect_refusal(REFUSAL_BAD_FRAME);
    assert_int_equal(world_stats(&world).batches, 0);
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    world_expect_once(&world, 0, 9);
}

static void a_bomb_is_refused(void **state)
{
    (void)state;
    size_t n = 512U * 1024 * 1024;
    char *zeros = calloc(n, 1), *body = malloc(BATCH_ZSTD_BYTES);
    assert_true(zeros != NULL && body != NULL);
    size_t size = ZSTD_compress(body, BATCH_ZSTD_BYTES, zeros, n, 1);
    assert_false(ZSTD_isError(size));
    greet();
    (void)make_batch(1, 0, 1);
    frame->batch.body = (struct slice){body, size};
    frame->batch.hash = XXH3_64bits(zeros, n);
    world_say(peer, frame);
    expect_refusal(REFUSAL_LIMIT);
    free(zeros);
    free(body);
}

static void an_oversized_message_ends_its_connection_only(void **state)
{
    (void)state;
    size_t n = 2 * FRAME_BYTES;
    char *large = calloc(n, 1);
    assert_non_null(large);
    struct world_peer *second = world_connect(&world);
    assert_int_equal(world_greet(second, "mx2", world.api_key)->type, FRAME_WELCOME);
    world_send(second, large, n);
    WORLD_WAIT(link_event(&second->link) == CURVE_CLOSED);
    world_disconnect(&second);
    free(large);
    greet();
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
}

static void sessions_are_bounded(void **state)
{
    (void)state;
    char name[16];
    world_stop_hub(&world);
    world.max_sessions = 3;
    world_start_hub(&world);
    struct world_peer *peers[4];
    for (int i = 0; i < 4; i++) {
        peers[i] = world_connect(&world);
        (void)snprintf(name, sizeof name, "mx%d", i);
        const struct frame *answer = world_greet(peers[i], name, world.api_key);
        if (i < 3)
            assert_int_equal(answer->type, FRAME_WELCOME);
        else
            assert_int_equal(answer->refuse.code, REFUSAL_BUSY);
    }
    assert_int_equal(world_greet(peers[0], "mx0", world.api_key)->type, FRAME_WELCOME); /* its own place */
    for (int i = 0; i < 4; i++)
        world_disconnect(&peers[i]);
}

/* Noise, so that a batch takes its room on the disk. */
static const struct frame *make_large_batch(uint64_t first_seq)
{
    static char noise[256 * 1024];
    batch_writer_clear(writer);
    randombytes_buf(noise, sizeof noise);
    assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, (struct slice){noise, sizeof noise}), 0);
    frame->type = FRAME_BATCH;
    frame->batch =
        (struct frame_batch){.greeting = peer->greeting, .epoch = {{1}}, .first_seq = first_seq, .count = 1};
    assert_int_equal(batch_writer_finish(writer, &frame->batch.body, &frame->batch.hash), 0);
    return frame;
}

/* The end of the journal, as its loader would retire it. */
static struct journal_pos journal_end(void)
{
    struct journal_reader *reader;
    struct journal_record record;
    struct journal_pos end = {0};
    assert_int_equal(journal_reader_open(&reader, world.journal, NULL, end, NULL), 0);
    while (journal_reader_next(reader, &record, NULL) == 0)
        end = record.next;
    journal_reader_close(&reader);
    return end;
}

static void a_full_journal_acks_nothing_until_there_is_room(void **state)
{
    (void)state;
    world_stop_hub(&world);
    world.journal_bytes = 8 << 20;
    world_start_hub(&world);
    world_disconnect(&peer);
    peer = world_connect(&world);
    greet();
    uint64_t seq = 0;
    const struct frame *answer;
    do {
        assert_true(seq < 100);
        world_say(peer, make_large_batch(++seq));
        answer = world_hear(peer);
    } while (answer->type == FRAME_ACK);
    assert_int_equal(answer->refuse.code, REFUSAL_FULL);
    assert_true(seq > 10);
    assert_true(world_stats(&world).journal_errors > 0);
    world_say(peer, make_large_batch(seq + 1)); /* it was in flight: must not look like a gap */
    expect_refusal(REFUSAL_NO_SESSION);
    answer = world_greet(peer, "mx1", world.api_key);
    assert_int_equal(answer->type, FRAME_WELCOME);
    assert_int_equal(answer->welcome.progress[0].last_seq, seq - 1);

    assert_int_equal(journal_retire(world.journal, journal_end(), NULL), 0);
    bool worked = true;
    while (worked)
        assert_int_equal(journal_maintain(world.journal, clock_real_us(), 0, &worked, NULL), 0);
    world_say(peer, make_large_batch(seq));
    expect_ack(seq);
    assert_int_equal(world_stats(&world).gaps, 0);
}

/* Connections that never say a word are closed by the handshake's time-out; a living edge is not delayed. */
static void silent_connections_harm_nobody(void **state)
{
    (void)state;
    enum { SILENT = 400 };
    int fds[SILENT];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)world.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < SILENT; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fds[i] >= 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof address), 0);
    }
    struct world_edge edge;
    world_edge_init(&edge, &world, "mx1");
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    for (uint32_t i = 0; i < 10; i++) {
        world_edge_keep(&edge, i * 1000, 1000);
        world_edge_wait_acked(&edge, (i + 1) * 1000);
    }
    assert_int_equal(world_edge_stats(&edge).connects, 1);
    for (int i = 0; i < SILENT; i++) { /* the hub has closed every one of them */
        char byte[64];
        ssize_t n;
        do
            n = recv(fds[i], byte, sizeof byte, 0); /* its greeting, then the end */
        while (n > 0);
        assert_int_equal(close(fds[i]), 0);
    }
    world_edge_close(&edge);
    world_expect_once(&world, 0, 9999);
}

/* A connection of CURVE alone; true when the hub let it in. */
static bool knock(struct world_peer *stranger)
{
    enum curve_event event = CURVE_NONE;
    link_init(&stranger->link);
    assert_int_equal(zmq_curve_keypair(stranger->keys.public_key, stranger->keys.secret_key), 0);
    assert_int_equal(link_open(&stranger->link, &stranger->keys, world.server_key, world.endpoint, NULL), 0);
    WORLD_WAIT((event = link_event(&stranger->link)) != CURVE_NONE && event != CURVE_CONNECTED);
    return event == CURVE_READY;
}

/* Where a hub that is started now logs; NULL: as before. */
static void log_to(const char *name)
{
    char output[WORLD_PATH_BYTES + 8] = "stderr";
    struct err err = {0};
    if (name != NULL)
        (void)snprintf(output, sizeof output, "file:%s/%s", world.dir, name);
    if (log_open("mail-analytics", name != NULL ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, output, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

static bool log_has(const char *name, const char *text)
{
    static char bytes[65536];
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", world.dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof bytes - 1, file)] = '\0';
    (void)fclose(file);
    return strstr(bytes, text) != NULL;
}

/* Strangers who shake hands and never greet, or with keys that nobody knows: from one address there are so
 * many, the others are refused and told of. A living edge of that address feels nothing, and brings it back
 * all. */
static void silent_handshakes_are_bounded(void **state)
{
    (void)state;
    enum { STRANGERS = KNOCKS_BURST + 10 };
    struct world_peer *strangers = calloc(STRANGERS, sizeof *strangers);
    assert_non_null(strangers);
    int admitted = 0;
    world_stop_hub(&world);
    log_to("strangers.log");
    world_start_hub(&world);
    world_disconnect(&peer);
    peer = world_connect(&world);
    greet(); /* what this one's connection cost is forgiven */
    for (int i = 0; i < STRANGERS; i++) {
        bool ready = knock(&strangers[i]);
        assert_int_equal(ready, i < KNOCKS_BURST);
        admitted += ready;
        if (i == 0)
            assert_int_equal(world_greet(&strangers[0], "mx9", "ma_unknown")->refuse.code, REFUSAL_KEY);
    }
    assert_int_equal(admitted, KNOCKS_BURST);
    assert_int_equal(world_stats(&world).handshakes_refused, STRANGERS - KNOCKS_BURST);
    assert_true(
        log_has("strangers.log", " warning: peer refused address=127.0.0.1 code=limit reason=\"too many"));
    world_say(peer, make_batch(1, 0, 10));
    expect_ack(10);
    greet(); /* a known key from there */
    struct world_peer *next = world_connect(&world);
    assert_int_equal(world_greet(next, "mx2", world.api_key)->type, FRAME_WELCOME);
    world_disconnect(&next);
    for (int i = 0; i < STRANGERS; i++)
        link_fini(&strangers[i].link);
    free(strangers);
    world_stop_hub(&world);
    log_to(NULL);
}

int main(void)
{
    log_set_level(getenv("WIRE_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replayed_batch_is_acked_and_stored_once, setup, teardown),
        cmocka_unit_test_setup_teardown(an_altered_batch_is_forked_and_audited, setup, teardown),
        cmocka_unit_test_setup_teardown(an_overlap_is_sent_back_to_greet, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gap_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_session_nothing_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edge_has_one_session_and_one_key, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edge_id_is_its_tenants_own, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_frames_cost_a_refusal, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_body_is_refused_and_not_journalled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bomb_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_oversized_message_ends_its_connection_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_journal_acks_nothing_until_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(sessions_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_handshakes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(silent_connections_harm_nobody, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
