/* SPDX-License-Identifier: Apache-2.0
 *
 * intake: see intake.h. This file: opening, batches and their commit, housekeeping. greet.c: HELLO.
 */
#include "intake_impl.h"

#include <stdio.h>
enum { SYNC_AGAIN_US = 500 * 1000 };

/* ---- answers --------------------------------------------------------------------------------- */

/* An answer that cannot be queued is one that the peer misses: it asks again. */
void intake_queue(struct intake *in, const struct route *route, const struct frame *frame)
{
    size_t before = in->answers.n;
    uint32_t bytes = 0;
    int rc = buf_add(&in->answers, route, sizeof *route);
    if (rc == 0)
        rc = buf_add(&in->answers, &bytes, sizeof bytes);
    size_t start = in->answers.n;
    if (rc == 0)
        rc = frame_encode(frame, &in->answers);
    if (rc != 0) {
        in->answers.n = before;
        return;
    }
    bytes = (uint32_t)(in->answers.n - start);
    memcpy(in->answers.p + start - sizeof bytes, &bytes, sizeof bytes);
}

bool intake_answer(struct intake *in, struct route *route, struct slice *bytes)
{
    uint32_t n;
    if (in->answered == in->answers.n) {
        buf_clear(&in->answers);
        in->answered = 0;
        return false;
    }
    memcpy(route, in->answers.p + in->answered, sizeof *route);
    memcpy(&n, in->answers.p + in->answered + sizeof *route, sizeof n);
    in->answered += sizeof *route + sizeof n;
    *bytes = (struct slice){in->answers.p + in->answered, n};
    in->answered += n;
    return true;
}

void intake_refuse(struct intake *in, const struct peer *peer, uint32_t greeting, enum refusal code,
                   struct slice edge, const char *reason)
{
    char line[REFUSAL_LINE_BYTES];
    struct slice text = slice_of(reason);
    if (text.n > FRAME_REASON_BYTES)
        text.n = FRAME_REASON_BYTES;
    struct frame frame = {.type = FRAME_REFUSE, .refuse = {greeting, code, text}};
    in->stats.refusals++;
    intake_queue(in, &peer->route, &frame);
    if (refusal_log_line(in->refusal_log, &peer->address, code, edge, reason, clock_monotonic_us(), line))
        log_warning("%s", line);
}

bool intake_knock(struct intake *in, const struct ip *address)
{
    char line[REFUSAL_LINE_BYTES];
    int64_t now_us = clock_monotonic_us();
    if (knocks_admit(in->knocks, address, now_us))
        return true;
    pthread_mutex_lock(&in->lock);
    in->stats.handshakes_refused++;
    pthread_mutex_unlock(&in->lock);
    if (refusal_log_line(in->refusal_log, address, REFUSAL_LIMIT, SLICE(""),
                         "too many connections that do not greet with a known API key", now_us, line))
        log_warning("%s", line);
    return false;
}

/* For a peer with a session, which ends with it. */
void intake_expel(struct intake *in, struct session *session, uint32_t greeting, enum refusal code,
                  const char *reason)
{
    struct peer peer = {.route = session->route, .address = session->peer};
    intake_refuse(in, &peer, greeting, code, slice_of(session->edge->id), reason);
    sessions_close(in->sessions, session);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* The session that a frame belongs to, or a refusal. */
static struct session *session_of(struct intake *in, const struct peer *peer, uint32_t greeting)
{
    struct session *session = sessions_find(in->sessions, &peer->route);
    if (session != NULL && session->greeting == greeting) {
        session->heard_us = clock_monotonic_us();
        session->edge->seen_us = clock_real_us();
        return session;
    }
    intake_refuse(in, peer, greeting, REFUSAL_NO_SESSION, SLICE(""), "no session: greet first");
    return NULL;
}

/* seq: of the journal record, 0 when there was none to write. */
static void ack_later(struct intake *in, const struct session *session, const struct epochs_batch *batch,
                      uint64_t seq, size_t bytes)
{
    in->acks[in->ack_count++] = (struct intake_ack){.route = session->route,
                                                    .greeting = session->greeting,
                                                    .batch = *batch,
                                                    .seq = seq,
                                                    .bytes = bytes,
                                                    .edge = session->edge};
}

/* The edge measured its offset over a round trip; that a frame can't arrive before it was made bounds it. */
static int64_t clock_offset(const struct frame_batch *batch, int64_t now_us)
{
    int64_t lowest;
    if (__builtin_sub_overflow(batch->clock_us, now_us, &lowest))
        return batch->clock_offset_us;
    return batch->clock_offset_us > lowest ? batch->clock_offset_us : lowest;
}

int intake_append(struct intake *in, struct commit *commit, uint64_t *seq, struct err *err)
{
    buf_clear(&in->commit);
    if (commit->hub_ts <=
        in->latest_us) /* readers go by it: what comes later is later, whatever the clock says */
        commit->hub_ts = in->latest_us + 1;
    in->latest_us = commit->hub_ts;
    int rc = commit_encode(commit, &in->commit);
    if (rc != 0)
        return err_set(err, rc, "a batch cannot be encoded: %s", err_text(rc));
    pthread_mutex_unlock(&in->lock);
    rc = journal_append(in->journal, COMMIT_BATCH, commit->hub_ts, buf_slice(&in->commit), seq, err);
    pthread_mutex_lock(&in->lock);
    return rc;
}

static int append(struct intake *in, const struct session *session, const struct frame_batch *batch,
                  uint64_t *seq, struct err *err)
{
    int64_t now_us = clock_real_us();
    struct commit commit = {.tenant = session->tenant,
                            .edge = slice_of(session->edge->id),
                            .epoch = batch->epoch,
                            .first_seq = batch->first_seq,
                            .count = batch->count,
                            .hash = batch->hash,
                            .hub_ts = now_us,
                            .clock_offset_us = clock_offset(batch, now_us),
                            .peer = session->peer,
                            .body = batch->body};
    session->edge->clock_offset_us = commit.clock_offset_us;
    return intake_append(in, &commit, seq, err);
}

static void journal_failed(struct intake *in, const struct err *err)
{
    in->stats.journal_errors++;
    if (!in->journal_broken)
        log_error("journal cannot be written, nothing is acked, edges keep their spools: make room or repair "
                  "the disk [%s]",
                  err_detail(err));
    in->journal_broken = true;
}

/* ---- what a failed disk took -----------------------------------------------------------------
 * Its edges were not acked and have it still: they are told to greet, and go on from what is here.
 */

static bool is_lost(const struct intake_ack *ack, uint64_t first_lost)
{
    if (ack->seq != 0)
        return ack->seq >= first_lost;
    return epochs_judge(&ack->edge->epochs, &ack->batch) != EPOCHS_KNOWN; /* it came twice and is lost */
}

static void send_back(struct intake *in, const struct intake_ack *ack)
{
    struct session *session = sessions_find(in->sessions, &ack->route);
    if (session != NULL && session->greeting == ack->greeting)
        intake_expel(in, session, ack->greeting, REFUSAL_RESYNC,
                     "the hub's disk lost what was not acked yet: greet anew");
}

/* After a failure of the journal. What is left is staged anew; what is not gets no ack. */
static void give_up_lost(struct intake *in)
{
    uint64_t first, last;
    size_t kept = 0, lost = 0;
    if (!journal_take_lost(in->journal, &first, &last))
        return;
    in->staged_batches = in->staged_bytes = 0;
    for (size_t i = 0; i < in->ack_count; i++)
        epochs_unstage(&in->acks[i].edge->epochs);
    for (size_t i = 0; i < in->ack_count; i++) {
        const struct intake_ack ack = in->acks[i];
        if (is_lost(&ack, first)) {
            if (ack.of_strand)
                intake_strand_lost(in, &in->acks[i]);
            else
                send_back(in, &ack);
            lost += ack.seq != 0;
            continue;
        }
        if (ack.seq != 0) {
            epochs_stage(&ack.edge->epochs, &ack.batch);
            in->staged_batches++;
            in->staged_bytes += ack.bytes;
        }
        in->acks[kept++] = ack;
    }
    in->ack_count = kept;
    log_warning("journal's disk lost %zu batches that were not acked, their edges send them again: check it",
                lost);
}

void intake_append_failed(struct intake *in, const struct err *err)
{
    journal_failed(in, err);
    give_up_lost(in);
}

static void take_new(struct intake *in, struct session *session, const struct frame_batch *batch,
                     const struct epochs_batch *identity)
{
    struct err err = {0};
    uint64_t seq = 0;
    int rc = epochs_reserve(&session->edge->epochs, &batch->epoch);
    if (rc == 0)
        rc = append(in, session, batch, &seq, &err);
    if (rc != 0) {
        intake_expel(in, session, batch->greeting, REFUSAL_FULL, frame_refusal_text(REFUSAL_FULL));
        intake_append_failed(in, &err);
        return;
    }
    epochs_stage(&session->edge->epochs, identity);
    in->staged_batches++;
    in->staged_bytes += batch->body.n;
    ack_later(in, session, identity, seq, batch->body.n);
}

void intake_forked(struct intake *in, uint32_t tenant, const char *edge, const struct epochs_batch *batch)
{
    char epoch[2 * JOURNAL_EPOCH_BYTES + 1], detail[256];
    struct err err;
    text_to_hex(batch->epoch.b, sizeof batch->epoch.b, epoch);
    (void)snprintf(detail, sizeof detail, "epoch=%s first_seq=%llu count=%u", epoch,
                   (unsigned long long)batch->first_seq, batch->count);
    in->stats.forked++;
    if (account_audit(in->account, tenant, edge, "wire.forked", detail, &err) != 0)
        log_warning("audit line cannot be written: look after the control data [%s]", err_detail(&err));
}

static void forked(struct intake *in, struct session *session, const struct epochs_batch *batch,
                   uint32_t greeting)
{
    intake_forked(in, session->tenant, session->edge->id, batch);
    intake_expel(in, session, greeting, REFUSAL_FORKED,
                 "other records were stored under the same identity: a copied spool, or tampering");
}

static void take_batch(struct intake *in, const struct peer *peer, const struct frame_batch *batch)
{
    struct err err = {0};
    struct session *session = session_of(in, peer, batch->greeting);
    if (session == NULL)
        return;
    if (in->ack_count == INTAKE_ROUND) { /* the fdatasync does not work */
        intake_expel(in, session, batch->greeting, REFUSAL_FULL, frame_refusal_text(REFUSAL_FULL));
        return;
    }
    int rc = batch_reader_open(in->reader, batch->body, batch->first_seq, batch->count, batch->hash, &err);
    if (rc != 0) {
        in->stats.bad_frames++;
        intake_expel(in, session, batch->greeting, rc == ERR_LIMIT ? REFUSAL_LIMIT : REFUSAL_BAD_FRAME,
                     err_detail(&err));
        return;
    }
    struct epochs_batch identity = {batch->epoch, batch->first_seq, batch->count, batch->hash};
    switch (epochs_judge(&session->edge->epochs, &identity)) {
    case EPOCHS_NEW:
        take_new(in, session, batch, &identity);
        break;
    case EPOCHS_KNOWN:
        in->stats.duplicates++;
        ack_later(in, session, &identity, 0, 0);
        break;
    case EPOCHS_PARTIAL:
        intake_expel(in, session, batch->greeting, REFUSAL_RESYNC, "part of the batch is stored: greet anew");
        break;
    case EPOCHS_FORKED:
        forked(in, session, &identity, batch->greeting);
        break;
    }
}

static void take_status(struct intake *in, const struct peer *peer, const struct frame_status *status)
{
    struct session *session = session_of(in, peer, status->greeting);
    if (session == NULL)
        return;
    session->edge->figures = status->figures;
    session->edge->figures_us = session->edge->seen_us;
    edges_note(session->edge, session->edge->seen_us);
    struct frame frame = {.type = FRAME_SEEN, .seen = {status->greeting, clock_real_us()}};
    intake_queue(in, &peer->route, &frame);
}

static void say_bye(struct intake *in, const struct peer *peer, uint32_t greeting)
{
    struct session *session = sessions_find(in->sessions, &peer->route);
    if (session == NULL || session->greeting != greeting)
        return;
    session->edge->seen_us = clock_real_us();
    sessions_close(in->sessions, session);
}

static void take_garbage(struct intake *in, const struct peer *peer, int rc)
{
    struct session *session = sessions_find(in->sessions, &peer->route);
    enum refusal code = rc == ERR_VERSION ? REFUSAL_VERSION
                        : rc == ERR_LIMIT ? REFUSAL_LIMIT
                                          : REFUSAL_BAD_FRAME;
    in->stats.bad_frames++;
    intake_refuse(in, peer, 0, code, SLICE(""),
                  rc == ERR_VERSION ? "another protocol version is spoken here" : "malformed frame");
    if (session != NULL)
        sessions_close(in->sessions, session);
}

/* ---- commit ----------------------------------------------------------------------------------
 * What the journal took it keeps, even when its fdatasync fails (journal.h), unless it says otherwise
 * (give_up_lost): it will be durable under the same seq once the disk works again. So what is staged stays
 * staged, its acks wait, and nobody is welcomed meanwhile: an edge that sent the same again would have it
 * stored twice.
 */

bool intake_waits(const struct intake *in)
{
    return in->ack_count > 0;
}

bool intake_full(const struct intake *in)
{
    return in->ack_count == INTAKE_ROUND;
}

static void ack_all(struct intake *in)
{
    for (size_t i = 0; i < in->ack_count; i++) {
        struct intake_ack *ack = &in->acks[i];
        if (ack->of_strand) {
            intake_strand_committed(in, ack);
            continue;
        }
        const struct frame_progress progress = {ack->batch.epoch,
                                                ack->batch.first_seq + ack->batch.count - 1};
        struct frame frame = {.type = FRAME_ACK, .ack = {ack->greeting, progress}};
        intake_queue(in, &ack->route, &frame);
    }
    in->stats.acks += in->ack_count;
}

static void count_confirmed(struct intake *in)
{
    for (size_t i = 0; i < in->ack_count; i++) {
        struct epochs *epochs = &in->acks[i].edge->epochs;
        in->stats.gaps += epochs->staged_gaps;
        in->stats.gap_records += epochs->staged_gap_records;
        in->stats.records += epochs->staged_records;
        epochs_confirm(epochs);
    }
}

static int sync_journal(struct intake *in, struct err *err)
{
    if (in->staged_batches == 0)
        return 0;
    pthread_mutex_unlock(&in->lock);
    int rc = journal_sync(in->journal, err);
    pthread_mutex_lock(&in->lock);
    return rc;
}

static int commit(struct intake *in)
{
    struct err err = {0};
    if (in->ack_count == 0)
        return 0;
    if (in->sync_again_us != 0 && clock_monotonic_us() < in->sync_again_us)
        return ERR_IO;
    int rc = sync_journal(in, &err);
    if (rc != 0) {
        journal_failed(in, &err);
        give_up_lost(in);
        in->sync_again_us = clock_monotonic_us() + SYNC_AGAIN_US;
        return rc;
    }
    in->sync_again_us = 0;
    if (in->journal_broken && in->staged_batches > 0) {
        log_info("journal can be written again");
        in->journal_broken = false;
    }
    in->stats.bytes += in->staged_bytes;
    in->stats.batches += in->staged_batches;
    in->dirty |= in->staged_batches > 0;
    count_confirmed(in);
    ack_all(in);
    in->ack_count = in->staged_batches = in->staged_bytes = 0;
    return 0;
}

void intake_commit(struct intake *in)
{
    pthread_mutex_lock(&in->lock);
    (void)commit(in); /* what failed is told and tried again */
    pthread_mutex_unlock(&in->lock);
}

int intake_rotate(struct intake *in, struct err *err)
{
    pthread_mutex_lock(&in->lock);
    int rc = commit(in);
    pthread_mutex_unlock(&in->lock); /* nobody else appends */
    rc = rc != 0 ? err_set(err, rc, "the journal can't be written at present: try again")
                 : journal_rotate(in->journal, err);
    if (rc == 0)
        intake_save(in);
    return rc;
}

/* ---- the ways in ----------------------------------------------------------------------------- */

static void take(struct intake *in, const struct peer *peer, struct slice bytes)
{
    int rc = frame_decode(bytes, &in->frame);
    enum frame_type type = rc == 0 ? in->frame.type : 0;
    switch (type) {
    case FRAME_HELLO:
        if (commit(in) == 0) /* WELCOME says what is durable */
            intake_greet(in, peer, &in->frame.hello);
        else
            intake_put_off(in, peer, &in->frame.hello);
        break;
    case FRAME_BATCH:
        take_batch(in, peer, &in->frame.batch);
        break;
    case FRAME_STATUS:
        take_status(in, peer, &in->frame.status);
        break;
    case FRAME_BYE:
        say_bye(in, peer, in->frame.bye.greeting);
        break;
    default:
        take_garbage(in, peer, rc);
    }
}

void intake_frame(struct intake *in, const struct peer *peer, struct slice bytes)
{
    pthread_mutex_lock(&in->lock);
    take(in, peer, bytes);
    pthread_mutex_unlock(&in->lock);
}

void intake_get_stats(struct intake *in, struct receive_stats *out)
{
    pthread_mutex_lock(&in->lock);
    *out = in->stats;
    out->sessions = sessions_count(in->sessions);
    pthread_mutex_unlock(&in->lock);
}

int intake_edge_history(struct intake *in, uint32_t tenant, struct slice id, struct buf *json)
{
    pthread_mutex_lock(&in->lock);
    int rc = edges_history_json(in->edges, tenant, id, json);
    pthread_mutex_unlock(&in->lock);
    return rc;
}

bool intake_heard(struct intake *in, uint32_t tenant)
{
    pthread_mutex_lock(&in->lock);
    bool heard = edges_heard(in->edges, tenant);
    pthread_mutex_unlock(&in->lock);
    return heard;
}

int intake_edges(struct intake *in, uint32_t tenant, struct buf *json)
{
    pthread_mutex_lock(&in->lock);
    int rc = edges_json(in->edges, tenant, clock_real_us(), json);
    pthread_mutex_unlock(&in->lock);
    return rc;
}
