/* SPDX-License-Identifier: Apache-2.0
 *
 * post: what came by one HTTP request for the hub's journal, on its way to the receiving thread and back: an
 * edge's frames, or batches of other programs' events (strand). Whoever posts it owns it again when done() is
 * called, once, on the receiving thread: everything in it is answered then, by an fdatasync or a refusal, or
 * its time is over.
 */
#ifndef HUB_POST_H
#define HUB_POST_H

#include "intake.h"
#include "wire/parcel.h"

#include <pthread.h>

enum {
    POSTS = 256, /* on their way at once; beyond it ERR_BUSY */
    POST_STRANDS = 64,
};
#define POST_WAIT_US (20 * US_PER_SECOND) /* for a disk */

struct post {
    struct post *next;
    /* an edge's: */
    struct peer peer;
    struct slice frames; /* parcel_next takes them out */
    struct buf reply;    /* parcel_begin_reply was called: the answers */
    /* other programs': */
    struct strand *strands;
    size_t strand_count;

    int64_t until_us;          /* monotonic; set by posts_put */
    size_t expected, answered; /* frames that get an answer, and that got one */
    bool complete;             /* for its owner: all was dealt with in time */
    void (*done)(void *arg, struct post *post);
    void *arg;
};

struct posts {
    pthread_mutex_t lock;
    struct post *first, **last;
    size_t count; /* waiting and in hand */
    bool closed;
    int wake_fd;        /* the receiving thread's, borrowed */
    struct post *taken; /* in its hands */
};

void posts_init(struct posts *posts, int wake_fd);
void posts_fini(struct posts *posts);

/* Any thread. ERR_BUSY: too many, or a post of the same link is on its way; ERR_CANCELLED: the hub stops. */
MUST_CHECK int posts_put(struct posts *posts, struct post *post);

/* The receiving thread's: gives what came to the intake, between commits; true when there was something. */
bool posts_take(struct posts *posts, struct intake *intake);
/* An answer for a post's link. */
void posts_answer(struct posts *posts, const struct route *route, struct slice frame);
/* After a commit: ends those that have all their answers, or whose time is over. */
void posts_settle(struct posts *posts, struct intake *intake);
/* No more from now on; ends all. */
void posts_close(struct posts *posts, struct intake *intake);

#endif
