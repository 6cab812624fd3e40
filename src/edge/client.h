/* SPDX-License-Identifier: Apache-2.0
 *
 * client: one connection from Postfix, a small state table (client.c), and what all clients of a listener
 * share. Private to listener.c and client.c. Loop thread.
 */
#ifndef EDGE_CLIENT_H
#define EDGE_CLIENT_H

#include "base/throttle.h"
#include "listener.h"
#include "loop/conn.h"

enum {
    CLIENT_READ_BYTES = 64 * 1024,
    CLIENT_OWED_MAX = 1024, /* answers that one connection may wait for */
};

enum client_state {
    CLIENT_IDLE,    /* between requests: holds no memory but its own struct */
    CLIENT_HALF,    /* holds part of a request */
    CLIENT_LEAVING, /* the peer has sent all it will; answers are still owed */
    CLIENT_CLOSED,  /* detached; the close callback frees it */
    CLIENT_STATES,
};

/* Clients in order of their age, and in order of their deadlines while answers are owed. */
struct client_link {
    struct client *prev, *next;
};

struct client {
    struct conn conn; /* first */
    struct clients *clients;
    struct client_link age, wait;
    enum client_state state;
    uint32_t owed;         /* answers that wait for a sync */
    uint64_t owed_seq;     /* the last request among them */
    int64_t owed_since_us; /* the first */
    int64_t last_us;       /* last sign of life */
    int64_t half_since_us;
    size_t seen; /* policy_frame's memory */
    struct buf half;
};

struct client_list {
    struct client *first, *last;
};

/* Shared by all clients of a listener. */
struct clients {
    struct listener_options options;
    struct listener_stats stats;
    struct client_list age, wait;
    bool turn_begun; /* the two clocks were read in this turn of the loop */
    int64_t turn_us, turn_real_us;
    uint32_t turn_answers; /* sent in this turn; their duration is taken at its end */
    struct throttle garbage_log, refused_log, full_log, lost_log;
    void (*wait_began)(struct clients *clients); /* the waiting list is no longer empty */
    void (*gone)(struct clients *clients);       /* a client was freed */
    char bytes[CLIENT_READ_BYTES];               /* every read goes here first */
};

/* Accepts what waits at the acceptor and reads from it; it frees itself in the end. */
void client_accept(struct clients *clients, struct acceptor *acceptor);
/* At the end of each turn of the loop. */
void client_turn_ended(struct clients *clients);
/* Sends what is owed. */
void client_pay(struct client *client, bool synced);
/* Its half request is too old. */
void client_give_up(struct client *client);
void client_close(struct client *client);

#endif
