/* SPDX-License-Identifier: Apache-2.0
 *
 * intake_impl: what the files of the intake share. Not for others.
 */
#ifndef HUB_INTAKE_IMPL_H
#define HUB_INTAKE_IMPL_H

#include "account/account.h"
#include "base/clock.h"
#include "base/log.h"
#include "intake.h"
#include "knocks.h"
#include "refusal.h"

#include <pthread.h>

enum { INTAKE_PATH_BYTES = 4096 };

/* An ack that waits for the fdatasync. Edges live as long as the intake. */
struct intake_ack {
    struct route route;
    uint32_t greeting;
    struct epochs_batch batch;
    uint64_t seq; /* of its journal record; 0: the batch was known, this is but another ack */
    size_t bytes; /* of its body */
    struct edge *edge;
    struct strand *strand; /* gets a verdict instead of an answer; NULL: an edge's, or forgotten */
    bool of_strand;
};

/* The owner's thread holds the lock while it changes anything, but never while it waits for the disk: others
 * may ask for figures at any time. */
struct intake {
    pthread_mutex_t lock;
    struct journal *journal;       /* borrowed; written here only */
    struct journal_reader *behind; /* follows the journal, to know where a snapshot ends */
    struct journal_pos pos;        /* of behind */
    struct account *account;
    struct edges *edges;
    struct sessions *sessions;
    struct batch_reader *reader;
    struct refusal_log *refusal_log;
    struct knocks *knocks;
    struct buf answers; /* struct route, u32 length, frame; again and again */
    size_t answered;    /* bytes of it that were taken */
    struct buf commit;
    struct intake_ack acks[INTAKE_ROUND];
    size_t ack_count, staged_batches, staged_bytes; /* they stay until an fdatasync works */
    struct frame frame;                             /* the one in hand; large */
    struct receive_stats stats;
    char snapshot_path[INTAKE_PATH_BYTES];
    int64_t latest_us; /* hub_ts of the last batch */
    uint32_t window;
    bool journal_broken, snapshot_broken, account_broken;
    bool dirty;                                     /* the snapshot is behind */
    int64_t sync_again_us;                          /* monotonic: not before, once it has failed */
    int64_t snapshot_us, generation_us, recheck_us; /* monotonic, of the last time */
    uint64_t generation;                            /* of the control data, as last read */
    uint64_t check_round;                           /* sessions with an older one are to be checked again */
    uint64_t ticked_round;                          /* all sessions have been looked at in this round */
    int64_t ticked_us;
};

void intake_queue(struct intake *intake, const struct route *route, const struct frame *frame);
void intake_refuse(struct intake *intake, const struct peer *peer, uint32_t greeting, enum refusal code,
                   struct slice edge, const char *reason);
void intake_expel(struct intake *intake, struct session *session, uint32_t greeting, enum refusal code,
                  const char *reason);

/* Appends a batch to the journal; the lock is let go meanwhile. commit->hub_ts is set here. */
MUST_CHECK int intake_append(struct intake *intake, struct commit *commit, uint64_t *seq, struct err *err);
/* It failed: says so, and gives up what the disk took (nothing of it was acked). */
void intake_append_failed(struct intake *intake, const struct err *err);
void intake_forked(struct intake *intake, uint32_t tenant, const char *edge,
                   const struct epochs_batch *batch); /* counts and audits */

/* strand.c */
void intake_strand_committed(struct intake *intake, struct intake_ack *ack);
void intake_strand_lost(struct intake *intake, struct intake_ack *ack);

/* greet.c */
void intake_greet(struct intake *intake, const struct peer *peer, const struct frame_hello *hello);
/* For a HELLO while nothing can be journalled: nobody is welcomed. */
void intake_put_off(struct intake *intake, const struct peer *peer, const struct frame_hello *hello);
/* Is the session's key still good for it? Otherwise it is refused and ends. */
void intake_recheck(struct intake *intake, struct session *session);

/* upkeep.c */
MUST_CHECK int intake_restore(struct intake *intake, struct err *err);
void intake_save(struct intake *intake);

#endif
