/* SPDX-License-Identifier: Apache-2.0
 *
 * receive: the hub's ear. One thread owns the ROUTER sockets, the ZAP handler, the sessions and the hub's
 * journal (as its writer). A batch is acked only after the fdatasync that covers it. What each edge has
 * delivered (per epoch: last seq, hashes of the latest batches, gaps) is rebuilt at start from a snapshot
 * file and the journal behind it.
 */
#ifndef HUB_RECEIVE_H
#define HUB_RECEIVE_H

#include "base/buf.h"
#include "journal/journal.h"

struct receive;

struct receive_options {
    const char *listen;       /* ZeroMQ endpoint, tcp://0.0.0.0:4000 */
    const char *listen_local; /* tcp://127.0.0.1:4001, or empty */
    const char
        *key_file; /* CURVE secret, made at first start (0600); the public key goes to key_file + ".pub" */
    const char *account_path; /* opened by the thread itself */
    const char *state_dir;    /* snapshot of the epochs */
    uint32_t window;          /* credit: batches in flight for each edge */
    uint32_t max_sessions;
    uint64_t
        journal_max_bytes; /* beyond it nothing is taken or acked (REFUSE full); 0: no bound of its own */
};

struct receive_stats {
    uint64_t sessions; /* now */
    uint64_t hellos, welcomes, refusals, bad_frames, batches, records, bytes, duplicates, forked, gaps,
        gap_records, acks;
    uint64_t strands, strands_refused; /* batches of other programs' events; the former are among batches */
    uint64_t handshakes_refused;       /* of addresses that had too many without a known API key (knocks.h) */
    uint64_t journal_errors;           /* appends or fdatasyncs that failed; nothing of them was acked */
};

/* Binds, starts the thread. The journal (to be opened with keep_unretired: a full one is not acked for) is
 * the caller's; this thread is its only writer from here on until stop. ERR_BUSY (address in use),
 * ERR_CONFIG, and what account_open and the key file answer. One at a time in a process. */
MUST_CHECK int receive_start(struct receive **out, const struct receive_options *options,
                             struct journal *journal, struct err *err);
/* Takes no more, makes durable and acks what it has, saves its snapshot, ends the thread. Nulls *receive. */
void receive_stop(struct receive **receive);
/* Seals the segment of the journal that is being written; what is appended from now on goes to another. Then
 * the snapshot is saved, if that can be done. Waits for the thread. Any other thread, while it runs; one call
 * at a time. Errors as journal_rotate; ERR_CANCELLED. */
MUST_CHECK int receive_rotate(struct receive *receive, struct err *err);
void receive_get_stats(struct receive *receive, struct receive_stats *out);
/* JSON array of the last minutes of one edge, the oldest first: time, what came in that minute (records,
 * gap_records, dropped, answers) and how it was last (depth, lag_us, latency_p99_us). Any thread.
 * ERR_NOT_FOUND, ERR_LIMIT. */
MUST_CHECK int receive_edge_history(struct receive *receive, uint32_t tenant, const char *id,
                                    struct buf *json);
/* Is there a record of the tenant's in the journal, or was there ever one? Any thread. */
bool receive_heard(struct receive *receive, uint32_t tenant);
/* JSON array of edges: id, tenant, connected (it has a session and was heard within the last minute),
 * gone_since (else: when it was last heard), run_twice, host, version, address, transport, last_seen,
 * clock_offset_us, epoch (hexadecimal or null), last_seq, records, gaps, gap_records, and the figures that
 * the edge sent (wire/frame.h: depth, spool_bytes, dropped, …, lag_us) with as_of, when it sent them. Times
 * are RFC 3339 or null; the figures are null when there are none since the hub's start. Appends to json. Any
 * thread. ERR_LIMIT. */
MUST_CHECK int receive_edges(struct receive *receive, uint32_t tenant /* 0: all */, struct buf *json);
void receive_public_key(struct receive *receive, char z85[41]);

/* What came by HTTP (post.h). Any thread; post->done is called on the receiving thread, once, unless this
 * fails. ERR_BUSY, ERR_CANCELLED. */
struct post;
MUST_CHECK int receive_post(struct receive *receive, struct post *post);
/* What this hub's CURVE key shares with an edge's (wire/parcel.h). ERR_INVALID. */
struct parcel_secret;
MUST_CHECK int receive_share(const struct receive *receive, const char *edge_key_z85,
                             struct parcel_secret *out);

#endif
