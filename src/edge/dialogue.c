/* SPDX-License-Identifier: Apache-2.0
 *
 * dialogue: the uplink's words: greets, ships, listens. The table of refusals (wire/refusals.def) says what
 * follows each.
 */
#include "uplink_impl.h"

#include <stdio.h>

enum {
    ANSWER_US = 10 * 1000 * 1000,       /* HELLO and STATUS are answered by then */
    ACK_US = 60 * 1000 * 1000,          /* a batch is acked by then; a hub's disk may be slow */
    FILL_US = 20 * 1000,                /* a batch that is not full waits so long for more */
    SHORT_SESSION_US = 5 * 1000 * 1000, /* refused so soon, the next greeting is not at once */
};

/* ---- clock ----------------------------------------------------------------------------------- */

static int64_t step_base_us(void)
{
    return clock_real_us() - clock_monotonic_us();
}

/* The hub read its clock somewhere within the round trip; a shorter one tells better. */
static void measure(struct offset *offset, int64_t asked_us, int64_t now_us, int64_t hub_us)
{
    enum { STALE_US = 300 * 1000 * 1000 };
    int64_t round_trip_us = now_us - asked_us, estimate;
    bool stale = !offset->known || now_us - offset->measured_us > STALE_US;
    if (!stale && round_trip_us > 2 * offset->round_trip_us)
        return;
    if (__builtin_sub_overflow(clock_real_us() - round_trip_us / 2, hub_us, &estimate))
        return;
    *offset = (struct offset){true, estimate, step_base_us(), round_trip_us, now_us};
}

int64_t uplink_offset_us(const struct uplink *u)
{
    return u->offset.known ? u->offset.offset_us + (step_base_us() - u->offset.step_base_us) : 0;
}

/* ---- speaking -------------------------------------------------------------------------------- */

static void fill_figures(struct uplink *u, struct frame_figures *figures)
{
    struct spool_stats spool;
    int64_t oldest_ts = outbox_oldest_ts(u->outbox), lag_us = clock_real_us() - oldest_ts;
    spool_get_stats(u->spool, &spool);
    *figures = (struct frame_figures){
        .depth = spool.journal.depth,
        .spool_bytes = spool.journal.bytes,
        .dropped = spool.journal.dropped,
        .quarantined = spool.journal.quarantined,
        .answered_unwritten = spool.unwritten,
        .lost = spool.lost_ring_full,
        .lag_us = oldest_ts != 0 && lag_us > 0 ? (uint64_t)lag_us : 0,
        .answers = atomic_load(&u->answers),
        .latency_p99_us = atomic_load(&u->latency_p99_us),
    };
}

static void say(struct uplink *u, int64_t now_us)
{
    if (link_send(&u->link, &u->out) != 0)
        uplink_lose(u, now_us, "the connection takes nothing");
}

void uplink_greet(struct uplink *u, int64_t now_us)
{
    struct frame_hello *hello = &u->out.hello;
    u->out.type = FRAME_HELLO;
    hello->greeting = ++u->greeting;
    hello->flags = 0;
    hello->api_key = slice_of(u->api_key);
    hello->edge = slice_of(u->edge_id);
    hello->host = slice_of(u->host);
    hello->software = SLICE("policy-proxy " VERSION);
    hello->clock_us = clock_real_us();
    fill_figures(u, &hello->figures);
    hello->epoch_count = outbox_epochs(u->outbox, hello->epochs);
    hello->present = hello->epochs[0];
    u->state = UPLINK_GREETING;
    u->deadline_us = now_us + ANSWER_US;
    u->asked_us = now_us;
    say(u, now_us);
}

static void say_status(struct uplink *u, int64_t now_us)
{
    u->out.type = FRAME_STATUS;
    u->out.status = (struct frame_status){.greeting = u->greeting, .clock_us = clock_real_us()};
    fill_figures(u, &u->out.status.figures);
    u->asked_us = now_us;
    u->status_at_us = now_us + u->keepalive_us;
    say(u, now_us);
}

static void say_batch(struct uplink *u, int64_t now_us)
{
    struct frame_batch *batch = &u->out.batch;
    u->out.type = FRAME_BATCH;
    if (outbox_take(u->outbox, batch) != 0) {
        uplink_lose(u, now_us, "no memory to compress a batch");
        return;
    }
    batch->greeting = u->greeting;
    batch->clock_us = clock_real_us();
    batch->clock_offset_us = uplink_offset_us(u);
    u->own.batches_sent++;
    u->own.records_sent += batch->count;
    u->own.bytes_sent += batch->body.n;
    say(u, now_us);
}

int64_t uplink_ship_at_us(const struct uplink *u)
{
    return outbox_waiting_since_us(u->outbox) + FILL_US;
}

static void reading_failed(struct uplink *u, const struct err *err)
{
    if (!u->reading_failed)
        log_error("spool cannot be read or nothing of it be sent: look after its disk [%s]", err_detail(err));
    u->reading_failed = true;
}

/* One batch when there is one to go. False: no more at present. */
static bool ship_one(struct uplink *u, int64_t now_us)
{
    struct err err = {0};
    int rc = outbox_fill(u->outbox, &err);
    if (rc == 0 || (rc == ERR_MORE && (now_us >= uplink_ship_at_us(u) || atomic_load(&u->stop)))) {
        u->reading_failed = false;
        say_batch(u, now_us);
        return true;
    }
    if (rc == ERR_CONFLICT)
        uplink_greet(u, now_us);
    else if (rc != ERR_MORE && rc != ERR_END && rc != ERR_BUSY)
        reading_failed(u, &err);
    return false;
}

void uplink_ship(struct uplink *u, int64_t now_us)
{
    int64_t sent_us = outbox_sent_us(u->outbox);
    if ((sent_us != 0 && now_us - sent_us > ACK_US) ||
        (u->asked_us != 0 && now_us - u->asked_us > ANSWER_US)) {
        uplink_lose(u, now_us, "the hub does not answer");
        return;
    }
    while (u->state == UPLINK_READY && link_takes(&u->link) && outbox_in_flight(u->outbox) < u->window &&
           ship_one(u, now_us))
        ;
    if (u->state == UPLINK_READY && link_takes(&u->link) && now_us >= u->status_at_us)
        say_status(u, now_us);
}

/* ---- listening ------------------------------------------------------------------------------- */

/* The hub has records of this process's epoch that this process never sent: another one with the same memory
 * did. What is still to go takes a new name, or the hub's word would stand for records that it can't have. */
static void begin_anew(struct uplink *u, int64_t now_us)
{
    log_error("hub has records of this epoch that were not sent from here: this machine was set back to a "
              "snapshot, or runs twice; what is unsent goes out under a new epoch edge=%s",
              u->edge_id);
    outbox_rename(u->outbox);
    if (outbox_restart(u->outbox, NULL, 0, 1, NULL) == 0)
        uplink_greet(u, now_us);
    else
        uplink_lose(u, now_us, "the spool cannot be read");
}

/* Over HTTPS in UPLINK_AUTO it fell back. */
static void note_way(struct uplink *u, int64_t now_us)
{
    enum { LASTED_US = 60 * 1000 * 1000 };
    if (u->transport != UPLINK_AUTO)
        return;
    if (u->by_https) {
        if (!u->fell_back) {
            u->own.fallbacks++;
            log_warning(
                "hub is reached by HTTPS only: open the port of ZeroMQ in the firewalls between, it costs "
                "less server=%s",
                u->server);
        }
        probe_begin(&u->probe, now_us, u->zmq_since_us != 0 && now_us - u->zmq_since_us > LASTED_US);
        u->zmq_since_us = 0;
    } else {
        u->zmq_since_us = now_us;
    }
    u->fell_back = u->by_https;
}

static void welcomed(struct uplink *u, int64_t now_us, const struct frame_welcome *welcome)
{
    struct err err;
    uint32_t records = welcome->batch_records;
    measure(&u->offset, u->asked_us, now_us, welcome->clock_us);
    u->asked_us = 0;
    if (outbox_disowns(u->outbox, welcome->progress, welcome->progress_count)) {
        begin_anew(u, now_us);
        return;
    }
    u->window = welcome->window < 1 ? 1 : welcome->window > OUTBOX_WINDOW ? OUTBOX_WINDOW : welcome->window;
    if (outbox_restart(u->outbox, welcome->progress, welcome->progress_count, records > 0 ? records : 1,
                       &err) != 0)
        reading_failed(u, &err);
    u->state = UPLINK_READY;
    u->ready_since_us = now_us;
    u->status_at_us = now_us + u->keepalive_us;
    u->own.refusal[0] = '\0';
    u->own.connects++;
    note_way(u, now_us);
    if (u->said_refused)
        log_info("hub welcomes this edge server=%s", u->server);
    u->said_refused = false;
}

/* Nothing is wrong with this edge: it greets on the same connection, unless that did not last either. */
static void greet_again(struct uplink *u, int64_t now_us)
{
    bool lasted = now_us - u->ready_since_us >= SHORT_SESSION_US;
    if (lasted && outbox_restart(u->outbox, NULL, 0, 1, NULL) == 0)
        uplink_greet(u, now_us);
    else
        uplink_lose(u, now_us, NULL);
}

static void refused(struct uplink *u, int64_t now_us, const struct frame_refuse *refuse)
{
    char reason[FRAME_REASON_BYTES + 1];
    if (slice_to_string(refuse->reason, reason, sizeof reason) != 0)
        reason[0] = '\0';
    u->own.refusals++;
    (void)snprintf(u->own.refusal, sizeof u->own.refusal, "%s: %s", frame_refusal_name(refuse->code), reason);
    if (frame_refusal_greets_now(refuse->code) && u->state == UPLINK_READY) {
        greet_again(u, now_us);
        return;
    }
    if (!u->said_refused)
        log_warning("hub refuses this edge: %s code=%s reason=\"%s\"", frame_refusal_text(refuse->code),
                    frame_refusal_name(refuse->code), reason);
    u->said_refused = true;
    uplink_lose(u, now_us, NULL);
    u->state = UPLINK_REFUSED;
}

static void acked(struct uplink *u, const struct frame_ack *ack)
{
    uint64_t records = outbox_ack(u->outbox, &ack->progress);
    u->own.acks += records > 0;
    u->own.records_acked += records;
}

static void hear(struct uplink *u, int64_t now_us)
{
    const struct frame *frame = &u->link.in;
    bool ready = u->state == UPLINK_READY;
    switch (frame->type) {
    case FRAME_WELCOME:
        if (u->state == UPLINK_GREETING && frame->welcome.greeting == u->greeting)
            welcomed(u, now_us, &frame->welcome);
        break;
    case FRAME_REFUSE: /* greeting 0: the hub could not read what it answers */
        if ((ready || u->state == UPLINK_GREETING) &&
            (frame->refuse.greeting == u->greeting || frame->refuse.greeting == 0))
            refused(u, now_us, &frame->refuse);
        break;
    case FRAME_ACK:
        if (ready && frame->ack.greeting == u->greeting)
            acked(u, &frame->ack);
        break;
    case FRAME_SEEN:
        if (ready && frame->seen.greeting == u->greeting && u->asked_us != 0) {
            measure(&u->offset, u->asked_us, now_us, frame->seen.clock_us);
            u->asked_us = 0;
        }
        break;
    default: /* the edge's own frames: not from a hub */
        break;
    }
}

void uplink_hear(struct uplink *u, int64_t now_us)
{
    int rc;
    while (link_is_open(&u->link) && (rc = link_receive(&u->link)) != ERR_END)
        if (rc == 0)
            hear(u, now_us);
}
