/* SPDX-License-Identifier: Apache-2.0
 *
 * strand: events of other programs at the intake (intake.h). Each source is an edge of its tenant, pinned to
 * no CURVE key: an id that a policy-proxy has can't be taken by a program, nor the other way round. What a
 * stream's standing (epochs.h) says is stored: `after` has to be where it stands, no stream of a source is
 * ever forgotten for another, and so a seq is stored at most once however it is sent again.
 */
#include "intake_impl.h"

#include <stdio.h>

/* Pinned in place of a CURVE key; no key has spaces. */
#define NO_CURVE_KEY "a program, by HTTP and without CURVE key"
_Static_assert(sizeof NO_CURVE_KEY == CURVE_Z85_BYTES, "as long as a key");

static void refuse(struct intake *in, struct strand *strand, enum refusal code, const char *reason)
{
    strand->verdict = STRAND_REFUSED;
    strand->code = code;
    (void)snprintf(strand->reason, sizeof strand->reason, "%s", reason);
    in->stats.strands_refused++;
}

/* NULL: refused. */
static struct edge *find_edge(struct intake *in, struct strand *strand)
{
    struct err err = {0};
    if (!edges_admit(in->edges, strand->tenant, slice_of(strand->source))) {
        refuse(in, strand, REFUSAL_LIMIT, "the tenant has 4096 edges and sources already: use one of them");
        return NULL;
    }
    int rc =
        account_edge_pin(in->account, strand->tenant, strand->source, NO_CURVE_KEY, clock_real_us(), &err);
    if (rc == ERR_DENIED)
        refuse(in, strand, REFUSAL_PINNED,
               "the tenant has a policy-proxy of this name: choose another source");
    else if (rc != 0)
        refuse(in, strand, REFUSAL_BUSY, err_detail(&err));
    struct edge *edge = rc == 0 ? edges_add(in->edges, strand->tenant, slice_of(strand->source)) : NULL;
    if (rc == 0 && edge == NULL)
        refuse(in, strand, REFUSAL_BUSY, "the hub has no room for another source");
    return edge;
}

static void note_source(struct edge *edge, const struct ip *address)
{
    edge->transport = EDGE_BY_LINES;
    edge->peer = *address;
    edge->seen_us = clock_real_us();
}

static void answer_later(struct intake *in, struct strand *strand, struct edge *edge, uint64_t seq,
                         size_t bytes)
{
    in->acks[in->ack_count++] = (struct intake_ack){.batch = strand->identity,
                                                    .seq = seq,
                                                    .bytes = bytes,
                                                    .edge = edge,
                                                    .strand = strand,
                                                    .of_strand = true};
}

static void take_new(struct intake *in, struct strand *strand, struct edge *edge, const struct ip *address)
{
    struct err err = {0};
    uint64_t seq = 0;
    struct commit commit = {.tenant = strand->tenant,
                            .edge = slice_of(edge->id),
                            .epoch = strand->identity.epoch,
                            .first_seq = strand->identity.first_seq,
                            .count = strand->identity.count,
                            .hash = strand->identity.hash,
                            .hub_ts = clock_real_us(),
                            .peer = *address,
                            .body = strand->body};
    int rc = epochs_reserve(&edge->epochs, &strand->identity.epoch);
    if (rc == 0)
        rc = intake_append(in, &commit, &seq, &err);
    if (rc != 0) {
        refuse(in, strand, REFUSAL_FULL, frame_refusal_text(REFUSAL_FULL));
        intake_append_failed(in, &err);
        return;
    }
    epochs_stage(&edge->epochs, &strand->identity);
    in->staged_batches++;
    in->staged_bytes += strand->body.n;
    answer_later(in, strand, edge, seq, strand->body.n);
}

static void refuse_order(struct intake *in, struct strand *strand)
{
    char reason[FRAME_REASON_BYTES + 1];
    (void)snprintf(reason, sizeof reason,
                   "the stream stands at %llu: that is what has to come before the next",
                   (unsigned long long)strand->stands_at);
    refuse(in, strand, REFUSAL_RESYNC, reason);
}

/* All of it is at or below where the stream stands. */
static void take_known(struct intake *in, struct strand *strand, struct edge *edge)
{
    if (epochs_judge(&edge->epochs, &strand->identity) == EPOCHS_FORKED) {
        intake_forked(in, strand->tenant, strand->source, &strand->identity);
        refuse(in, strand, REFUSAL_FORKED, "other events were stored under the same identity");
        return;
    }
    in->stats.duplicates++;
    answer_later(in, strand, edge, 0, 0);
}

static void judge(struct intake *in, struct strand *strand, struct edge *edge, const struct ip *address)
{
    const struct epochs_batch *identity = &strand->identity;
    bool known = epochs_knows(&edge->epochs, &identity->epoch);
    strand->stands_at = epochs_staged(&edge->epochs, &identity->epoch);
    uint64_t last = identity->first_seq + identity->count - 1;
    if (!known && epochs_full(&edge->epochs))
        refuse(in, strand, REFUSAL_LIMIT, "the source has 256 streams already: go on in one of them");
    else if (strand->stands_at == strand->after)
        take_new(in, strand, edge, address);
    else if (strand->stands_at >= last)
        take_known(in, strand, edge);
    else if (strand->stands_at >= identity->first_seq)
        strand->verdict = STRAND_PARTLY;
    else
        refuse_order(in, strand);
}

static void take(struct intake *in, const struct ip *address, struct strand *strand)
{
    struct err err = {0};
    const struct epochs_batch *identity = &strand->identity;
    if (in->ack_count == INTAKE_ROUND) { /* the fdatasync does not work */
        refuse(in, strand, REFUSAL_FULL, frame_refusal_text(REFUSAL_FULL));
        return;
    }
    int rc = batch_reader_open(in->reader, strand->body, identity->first_seq, identity->count, identity->hash,
                               &err);
    struct edge *edge = rc == 0 ? find_edge(in, strand) : NULL;
    if (rc != 0)
        refuse(in, strand, REFUSAL_BAD_FRAME, err_detail(&err));
    if (edge == NULL)
        return;
    note_source(edge, address);
    judge(in, strand, edge, address);
}

void intake_strand(struct intake *in, const struct ip *address, struct strand *strand)
{
    pthread_mutex_lock(&in->lock);
    strand->verdict = STRAND_WAITING;
    take(in, address, strand);
    pthread_mutex_unlock(&in->lock);
}

void intake_forget_strand(struct intake *in, const struct strand *strand)
{
    pthread_mutex_lock(&in->lock);
    for (size_t i = 0; i < in->ack_count; i++)
        if (in->acks[i].strand == strand)
            in->acks[i].strand = NULL;
    pthread_mutex_unlock(&in->lock);
}

void intake_strand_committed(struct intake *in, struct intake_ack *ack)
{
    if (ack->seq != 0)
        in->stats.strands++;
    if (ack->strand != NULL)
        ack->strand->verdict = ack->seq != 0 ? STRAND_ACCEPTED : STRAND_KNOWN;
}

void intake_strand_lost(struct intake *in, struct intake_ack *ack)
{
    if (ack->strand != NULL)
        refuse(in, ack->strand, REFUSAL_FULL, "the hub's disk lost it before it was durable: send it again");
}
