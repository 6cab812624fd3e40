/* SPDX-License-Identifier: Apache-2.0
 *
 * world: for the tests of the wire: a real hub (journal, receiver, control data) and real edges (spool,
 * uplink) below one directory, on a free loopback port, and a raw DEALER for what no edge would send.
 * *_test.c only; every failure ends the test.
 */
#ifndef HUB_WORLD_H
#define HUB_WORLD_H

#include "account/account.h"
#include "edge/link.h"
#include "edge/uplink.h"
#include "receive.h"

enum { WORLD_PATH_BYTES = 256, WORLD_RECORDS = 200000 };

struct world {
    char dir[WORLD_PATH_BYTES / 2], endpoint[64], server_key[CURVE_Z85_BYTES];
    char api_key[ACCOUNT_KEY_TEXT_BYTES];
    uint32_t tenant, key_id, keys, port;
    struct account *account;
    struct journal *journal;
    struct receive *receive;
    uint32_t max_sessions, window;
    uint64_t journal_bytes;
};

void world_make(struct world *world);
void world_remove(struct world *world);
void world_start_hub(struct world *world);
void world_stop_hub(struct world *world);
struct receive_stats world_stats(struct world *world);

/* Makes an API key of that tenant. address may be NULL: from anywhere. */
uint32_t world_add_key(struct world *world, unsigned scopes, const char *address, char *secret);

struct world_edge {
    struct world *world;
    char name[32], spool_dir[WORLD_PATH_BYTES], key_file[WORLD_PATH_BYTES];
    char api_key[ACCOUNT_KEY_TEXT_BYTES], server_key[CURVE_Z85_BYTES], endpoint[64];
    struct spool *spool;
    struct uplink *uplink;
};

/* name is directory and edge id; nothing runs yet. */
void world_edge_init(struct world_edge *edge, struct world *world, const char *name);
struct uplink_options world_edge_options(const struct world_edge *edge, const char *edge_id);
void world_edge_open(struct world_edge *edge);                  /* the spool */
void world_edge_start(struct world_edge *edge, const char *id); /* the uplink */
void world_edge_stop(struct world_edge *edge, int64_t drain_us);
void world_edge_close(struct world_edge *edge);
void world_edge_keep(struct world_edge *edge, uint32_t first, uint32_t count); /* records of those numbers */
struct uplink_stats world_edge_stats(struct world_edge *edge);
void world_edge_wait_acked(struct world_edge *edge, uint64_t records); /* since the uplink's start */
void world_edge_wait_refused(struct world_edge *edge, const char *code);

/* What the hub's journal holds: counts[number] for each record; returns how many there are in all. The hub is
 * stopped. */
uint64_t world_count(struct world *world, uint8_t counts[WORLD_RECORDS]);
/* Ends the test unless the numbers first to last are there once each, and nothing else is. */
void world_expect_once(struct world *world, uint32_t first, uint32_t last);

/* A peer of our own: connected, not greeted. */
struct world_peer {
    struct link link;
    struct curve_keys keys;
    uint32_t greeting;
};
struct world_peer *world_connect(struct world *world);
void world_disconnect(struct world_peer **peer);
void world_send(struct world_peer *peer, const void *bytes, size_t n);
void world_say(struct world_peer *peer, const struct frame *frame);
const struct frame *world_hear(struct world_peer *peer); /* the next frame */
/* Greets as edge with key; returns the answer. */
const struct frame *world_greet(struct world_peer *peer, const char *edge, const char *api_key);

/* Waits for a condition, for a minute at most. */
#define WORLD_WAIT(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = clock_monotonic_us() + 60 * US_PER_SECOND;                                          \
        while (!(condition)) {                                                                               \
            if (clock_monotonic_us() > until_)                                                               \
                fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition);                    \
            world_pause();                                                                                   \
        }                                                                                                    \
    } while (0)
void world_pause(void);

#endif
