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
};

struct receive_stats {
    uint64_t sessions, hellos, refusals, batches, records, bytes, duplicates, forked, gaps, gap_records, acks;
};

/* Binds, starts the thread. The journal is the caller's; this thread is its only writer from here on until
 * stop. */
MUST_CHECK int receive_start(struct receive **out, const struct receive_options *options,
                             struct journal *journal, struct err *err);
void receive_stop(struct receive **receive);
void receive_get_stats(struct receive *receive, struct receive_stats *out);
/* JSON array of edges with id, tenant, host, version, last seen, epoch, last seq, gaps, drops, lag. Any
 * thread. */
MUST_CHECK int receive_edges(struct receive *receive, uint32_t tenant /* 0: all */, struct buf *json);
void receive_public_key(struct receive *receive, char z85[41]);

#endif
