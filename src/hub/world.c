/* SPDX-License-Identifier: Apache-2.0
 *
 * world: see world.h.
 */
#include "world.h"

#include "base/clock.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        struct err err_ = {0}, *err = &err_;                                                                 \
        int rc_ = (call);                                                                                    \
        if (rc_ != 0)                                                                                        \
            fail_msg("%s: %s: %s", #call, err_name(rc_), err_detail(err));                                   \
    } while (0)

void world_pause(void)
{
    (void)poll(NULL, 0, 5);
}

/* ---- hub --------------------------------------------------------------------------------- */

static uint32_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(address.sin_port);
}

static const char *below(const struct world *world, const char *name, char path[WORLD_PATH_BYTES])
{
    (void)snprintf(path, WORLD_PATH_BYTES, "%s/%s", world->dir, name);
    return path;
}

uint32_t world_add_key(struct world *world, unsigned scopes, const char *address, char *secret)
{
    struct account_key *key = calloc(1, sizeof *key);
    uint32_t id;
    char name[32];
    assert_non_null(key);
    (void)snprintf(name, sizeof name, "key-%u", ++world->keys);
    key->tenant = world->tenant;
    key->name = name;
    key->scopes = scopes;
    if (address != NULL)
        MUST(ip_prefix_parse(slice_of(address), &key->addresses[key->address_count++]));
    MUST(account_key_add(world->account, key, NULL, secret, &id, err));
    free(key);
    return id;
}

void world_make(struct world *world)
{
    char path[WORLD_PATH_BYTES];
    *world = (struct world){.max_sessions = 100, .window = 8, .journal_bytes = 256 << 20};
    (void)snprintf(world->dir, sizeof world->dir, "/tmp/wire-test-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    MUST(account_open(&world->account, below(world, "account", path), err));
    MUST(account_tenant_add(world->account, "acme", &world->tenant, err));
    world->key_id = world_add_key(world, SCOPE_INGEST, NULL, world->api_key);
    assert_int_equal(mkdir(below(world, "state", path), 0700), 0);
    world->port = free_port();
    (void)snprintf(world->endpoint, sizeof world->endpoint, "tcp://127.0.0.1:%u", world->port);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void world_remove(struct world *world)
{
    world_stop_hub(world);
    account_close(&world->account);
    assert_int_equal(nftw(world->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void world_start_hub(struct world *world)
{
    char journal[WORLD_PATH_BYTES], key[WORLD_PATH_BYTES], account[WORLD_PATH_BYTES], state[WORLD_PATH_BYTES];
    struct journal_options options = {.dir = below(world, "journal", journal),
                                      .max_bytes = world->journal_bytes,
                                      .segment_bytes = 1 << 20,
                                      .keep_unretired = true};
    struct receive_options receive = {.listen = world->endpoint,
                                      .key_file = below(world, "hub.key", key),
                                      .account_path = below(world, "account", account),
                                      .state_dir = below(world, "state", state),
                                      .window = world->window,
                                      .max_sessions = world->max_sessions};
    MUST(journal_open(&world->journal, &options, err));
    struct err err = {0}; /* libzmq gives a port back a moment after its socket is closed */
    int rc = ERR_BUSY;
    WORLD_WAIT((rc = receive_start(&world->receive, &receive, world->journal, &err)) != ERR_BUSY);
    if (rc != 0)
        fail_msg("hub does not start: %s", err_detail(&err));
    receive_public_key(world->receive, world->server_key);
}

void world_stop_hub(struct world *world)
{
    receive_stop(&world->receive);
    journal_close(&world->journal);
}

struct receive_stats world_stats(struct world *world)
{
    struct receive_stats stats;
    receive_get_stats(world->receive, &stats);
    return stats;
}

/* ---- edges ------------------------------------------------------------------------------- */

void world_edge_init(struct world_edge *edge, struct world *world, const char *name)
{
    *edge = (struct world_edge){.world = world};
    (void)snprintf(edge->name, sizeof edge->name, "%s", name);
    (void)snprintf(edge->spool_dir, sizeof edge->spool_dir, "%s/%s.spool", world->dir, name);
    (void)snprintf(edge->key_file, sizeof edge->key_file, "%s/%s.key", world->dir, name);
    memcpy(edge->api_key, world->api_key, sizeof edge->api_key);
    memcpy(edge->server_key, world->server_key, sizeof edge->server_key);
    memcpy(edge->endpoint, world->endpoint, sizeof edge->endpoint);
}

struct uplink_options world_edge_options(const struct world_edge *edge, const char *id)
{
    return (struct uplink_options){.server = edge->endpoint,
                                   .server_key = edge->server_key,
                                   .key_file = edge->key_file,
                                   .api_key = edge->api_key,
                                   .edge_id = id,
                                   .keepalive_us = US_PER_SECOND / 2};
}

void world_edge_open(struct world_edge *edge)
{
    struct spool_options options = {
        .journal = {.dir = edge->spool_dir, .max_bytes = 256 << 20, .segment_bytes = 1 << 20},
        .ring_dir = "/dev/shm",
        .ring_bytes = 4 << 20,
        .sync = SPOOL_SYNC_INTERVAL,
        .sync_interval_us = 20000};
    MUST(spool_open(&edge->spool, &options, err));
}

void world_edge_start(struct world_edge *edge, const char *id)
{
    struct uplink_options options = world_edge_options(edge, id);
    MUST(uplink_start(&edge->uplink, &options, edge->spool, err));
}

void world_edge_stop(struct world_edge *edge, int64_t drain_us)
{
    uplink_stop(&edge->uplink, drain_us);
}

void world_edge_close(struct world_edge *edge)
{
    uplink_stop(&edge->uplink, 0);
    if (edge->spool != NULL)
        MUST(spool_close(&edge->spool, 30 * US_PER_SECOND, err));
}

void world_edge_keep(struct world_edge *edge, uint32_t first, uint32_t count)
{
    char text[128];
    for (uint32_t i = first; i < first + count; i++) {
        int n = snprintf(text, sizeof text, "request=smtpd_access_policy\nnumber=%u\n\n", i);
        int rc = ERR_FULL;
        WORLD_WAIT((rc = spool_append(edge->spool, RECORD_POLICY, clock_real_us(),
                                      (struct slice){text, (size_t)n}, NULL)) != ERR_FULL);
        assert_int_equal(rc, 0);
    }
}

struct uplink_stats world_edge_stats(struct world_edge *edge)
{
    struct uplink_stats stats;
    uplink_get_stats(edge->uplink, &stats);
    return stats;
}

void world_edge_wait_acked(struct world_edge *edge, uint64_t records)
{
    WORLD_WAIT(world_edge_stats(edge).records_acked >= records);
}

void world_edge_wait_refused(struct world_edge *edge, const char *code)
{
    WORLD_WAIT(strncmp(world_edge_stats(edge).refusal, code, strlen(code)) == 0);
}

/* ---- what arrived ------------------------------------------------------------------------ */

static uint64_t count_batch(struct batch_reader *reader, const struct commit *commit, uint8_t *counts)
{
    struct batch_record record;
    uint64_t records = 0;
    MUST(batch_reader_open(reader, commit->body, commit->first_seq, commit->count, commit->hash, err));
    for (; batch_reader_next(reader, &record); records++) {
        unsigned number;
        char text[128];
        MUST(slice_to_string(record.payload, text, sizeof text));
        assert_int_equal(sscanf(text, "request=smtpd_access_policy\nnumber=%u", &number), 1);
        assert_true(number < WORLD_RECORDS);
        counts[number]++;
    }
    return records;
}

uint64_t world_count(struct world *world, uint8_t counts[WORLD_RECORDS])
{
    char path[WORLD_PATH_BYTES];
    struct journal_reader *reader;
    struct journal_record record;
    struct batch_reader *bodies;
    struct commit commit;
    uint64_t records = 0;
    int rc;
    assert_null(world->receive);
    memset(counts, 0, WORLD_RECORDS);
    MUST(batch_reader_create(&bodies));
    MUST(journal_reader_open(&reader, NULL, below(world, "journal", path), (struct journal_pos){0}, err));
    while ((rc = journal_reader_next(reader, &record, NULL)) == 0) {
        assert_int_equal(record.kind, COMMIT_BATCH);
        MUST(commit_decode(record.payload, &commit));
        assert_int_equal(commit.tenant, world->tenant);
        assert_int_equal(commit.hub_ts, record.ts_us);
        assert_true(ip_is_loopback(&commit.peer));
        records += count_batch(bodies, &commit, counts);
    }
    assert_int_equal(rc, ERR_END);
    journal_reader_close(&reader);
    batch_reader_destroy(&bodies);
    return records;
}

void world_expect_once(struct world *world, uint32_t first, uint32_t last)
{
    uint8_t *counts = malloc(WORLD_RECORDS);
    assert_non_null(counts);
    world_stop_hub(world);
    uint64_t records = world_count(world, counts);
    for (uint32_t i = first; i <= last; i++)
        if (counts[i] != 1)
            fail_msg("record %u arrived %u times", i, counts[i]);
    assert_int_equal(records, last - first + 1);
    free(counts);
}

/* ---- a peer of our own ------------------------------------------------------------------- */

struct world_peer *world_connect(struct world *world)
{
    struct world_peer *peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    link_init(&peer->link);
    assert_int_equal(zmq_curve_keypair(peer->keys.public_key, peer->keys.secret_key), 0);
    MUST(link_open(&peer->link, &peer->keys, world->server_key, world->endpoint, err));
    WORLD_WAIT(link_event(&peer->link) == CURVE_READY);
    return peer;
}

void world_disconnect(struct world_peer **peer)
{
    link_fini(&(*peer)->link);
    free(*peer);
    *peer = NULL;
}

void world_send(struct world_peer *peer, const void *bytes, size_t n)
{
    assert_int_equal(zmq_send(peer->link.socket, bytes, n, 0), n);
}

void world_say(struct world_peer *peer, const struct frame *frame)
{
    MUST(link_send(&peer->link, frame));
}

const struct frame *world_hear(struct world_peer *peer)
{
    zmq_pollitem_t item = {peer->link.socket, 0, ZMQ_POLLIN, 0};
    assert_int_equal(zmq_poll(&item, 1, 60000), 1);
    assert_int_equal(link_receive(&peer->link), 0);
    return &peer->link.in;
}

const struct frame *world_greet(struct world_peer *peer, const char *edge, const char *api_key)
{
    struct frame *frame = calloc(1, sizeof *frame);
    assert_non_null(frame);
    frame->type = FRAME_HELLO;
    frame->hello.greeting = ++peer->greeting;
    frame->hello.api_key = slice_of(api_key);
    frame->hello.edge = slice_of(edge);
    frame->hello.clock_us = clock_real_us();
    frame->hello.present.b[0] = 1;
    frame->hello.epochs[0] = frame->hello.present;
    frame->hello.epoch_count = 1;
    world_say(peer, frame);
    free(frame);
    return world_hear(peer);
}
