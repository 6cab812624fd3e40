/* SPDX-License-Identifier: Apache-2.0
 *
 * outbox: the spool as batches. Reads the journal in order behind what the hub has acked, fills batches of
 * one epoch with consecutive seqs, remembers what is in flight, and moves the acked position. No sockets. One
 * thread.
 */
#ifndef EDGE_OUTBOX_H
#define EDGE_OUTBOX_H

#include "journal/spool.h"
#include "wire/frame.h"

enum { OUTBOX_WINDOW = 64 /* batches in flight at most, whatever the hub grants */ };

struct outbox;

MUST_CHECK int outbox_open(struct outbox **out, struct spool *spool, struct err *err);
void outbox_close(struct outbox **outbox);

/* The epochs to name in HELLO: the present one and that of the oldest record not acked. */
uint16_t outbox_epochs(struct outbox *outbox, struct epoch *epochs);

/* Begins anew behind the last ack: nothing is in flight. progress (may be empty) is what the hub has. */
MUST_CHECK int outbox_restart(struct outbox *outbox, const struct frame_progress *progress, uint16_t count,
                              uint32_t batch_records, struct err *err);

/* The hub has records of the present epoch that no uplink of this process ever sent. */
bool outbox_disowns(const struct outbox *outbox, const struct frame_progress *progress, uint16_t count);
/* All of the present epoch that is not acked goes out under a new random one, with seqs from 1; outbox_fill
 * stores that name before the first of it is sent. Then restart. */
void outbox_rename(struct outbox *outbox);

/* Collects what is there. 0: a batch is full; ERR_MORE: there is some, more may come; ERR_END: nothing;
 * ERR_CONFLICT: the next epoch is one of which the hub has not said how far it is: greet; ERR_BUSY: likewise,
 * but first let come back what is in flight; ERR_IO. */
MUST_CHECK int outbox_fill(struct outbox *outbox, struct err *err);
int64_t outbox_waiting_since_us(const struct outbox *outbox); /* monotonic: first record collected */

/* Closes what was collected (outbox_fill: 0 or ERR_MORE) and counts it as in flight. Fills epoch, first_seq,
 * count, hash and body (valid until the next call). */
MUST_CHECK int outbox_take(struct outbox *outbox, struct frame_batch *batch);

/* Returns the number of records that became acked; 0 for an ack that fits nothing in flight. */
uint64_t outbox_ack(struct outbox *outbox, const struct frame_progress *progress);

size_t outbox_in_flight(const struct outbox *outbox);
int64_t outbox_sent_us(const struct outbox *outbox);   /* monotonic, the oldest in flight; 0: none */
int64_t outbox_oldest_ts(const struct outbox *outbox); /* ts of the oldest record not acked; 0: none */
uint64_t outbox_unsendable(const struct outbox *outbox);

/* Tells the journal what was acked. Cheap when nothing was. */
MUST_CHECK int outbox_retire(struct outbox *outbox, struct err *err);

#endif
