/* SPDX-License-Identifier: Apache-2.0
 *
 * intake: what the hub does with each frame, apart from any socket. Frames come in with the peer's address
 * and CURVE key, answers wait in a queue. Batches are appended to the journal as they come; intake_commit
 * makes all of them durable with one fdatasync and only then queues their acks.
 *
 *   frame    checks, in this order                                     answer
 *   HELLO    codec, API key (scope, address), edge pin, room           WELCOME; a session, unless it is a
 * probe BATCH    codec, session, greeting, body, journal, what is known    ACK after the fdatasync STATUS
 * codec, session, greeting                                  SEEN BYE      codec, session, greeting none; the
 * session ends Anything else, and any check that fails: REFUSE, a counter, the refusal log. A batch is known
 * by whom it came from through its session, never through its bytes. Strands come from other programs, by
 * HTTP (ingest.h), without a session: their tenant is that of the API key that the request had.
 */
#ifndef HUB_INTAKE_H
#define HUB_INTAKE_H

#include "receive.h"
#include "session.h"

enum {
    INTAKE_ROUND = 64,                    /* batches covered by one fdatasync at most */
    INTAKE_SILENT_US = 300 * 1000 * 1000, /* a session that sends nothing for so long ends */
    INTAKE_SNAPSHOT_US = 60 * 1000 * 1000,
    INTAKE_RECHECK_US = 60 * 1000 * 1000, /* API keys also expire by time */
};

struct intake;

struct peer {
    struct route route;
    struct ip address;
    char curve_key[CURVE_Z85_BYTES];
    struct slice api_key; /* that the request came with, by HTTPS: HELLO has to have the same; p NULL: none */
};

/* Events of another program (no edge), consecutive in one of its streams: a batch whose seqs are the
 * program's own and whose epoch is a hash of the stream's name. `after` is the seq that comes before the
 * first: it has to be where the stream stands, so that a seq at or below that is known to be stored (or to be
 * none), and what is sent again in other portions is stored once. */
enum strand_verdict {
    STRAND_WAITING,
    STRAND_ACCEPTED, /* durable */
    STRAND_KNOWN,    /* durable before */
    STRAND_PARTLY,   /* known up to stands_at: send what is behind it as a strand of its own */
    STRAND_REFUSED   /* code, reason */
};

struct strand {
    uint32_t tenant;
    char source[BATCH_EDGE_BYTES + 1]; /* the edge that the events are shown under */
    uint64_t after;
    struct epochs_batch identity;
    struct slice body; /* batch.h */
    /* the answer: */
    enum strand_verdict verdict;
    uint64_t stands_at;
    enum refusal code;
    char reason[FRAME_REASON_BYTES + 1];
};

/* Loads the snapshot from options->state_dir and replays the journal behind it. Errors as account_open,
 * journal_reader_open. All functions are for one thread, the two
 * at the end for any. */
MUST_CHECK int intake_open(struct intake **out, const struct receive_options *options,
                           struct journal *journal, struct err *err);
/* Commits, saves the snapshot, frees. Answers not taken by then are lost. */
void intake_close(struct intake **intake);

/* May this address shake hands once more? Refusals are counted and logged. */
bool intake_knock(struct intake *intake, const struct ip *address);
void intake_frame(struct intake *intake, const struct peer *peer, struct slice bytes);
/* Judges it now, answers at once or with the commit that covers it: it stays where it is until it has a
 * verdict or is forgotten. */
void intake_strand(struct intake *intake, const struct ip *address, struct strand *strand);
void intake_forget_strand(struct intake *intake, const struct strand *strand);
bool intake_waits(const struct intake *intake); /* something waits for a commit */
bool intake_full(const struct intake *intake);  /* INTAKE_ROUND batches wait: commit before the next frame */
void intake_commit(struct intake *intake);      /* nothing to do when nothing waits */
/* Commits, then seals the journal's segment, and saves the snapshot. As journal_rotate; ERR_IO also while the
 * commit doesn't work. */
MUST_CHECK int intake_rotate(struct intake *intake, struct err *err);
/* Looks after sessions and snapshot; true: call again soon, there is more. */
bool intake_tick(struct intake *intake);

/* Takes the next answer; bytes are valid until the next call of any function here. False: none. */
bool intake_answer(struct intake *intake, struct route *route, struct slice *bytes);

/* Any thread; never waits for a disk. */
void intake_get_stats(struct intake *intake, struct receive_stats *out);
bool intake_heard(struct intake *intake, uint32_t tenant);
MUST_CHECK int intake_edges(struct intake *intake, uint32_t tenant, struct buf *json);
MUST_CHECK int intake_edge_history(struct intake *in, uint32_t tenant, struct slice id, struct buf *json);

#endif
