/* SPDX-License-Identifier: Apache-2.0
 *
 * uplink: see uplink.h. This file: start and stop, the thread's loop, the connection and its back-off.
 * dialogue.c: what is said. outbox.c: what is sent. uplink_check.c: `policy-proxy check`.
 *
 *   state       | event                         | next
 *   (closed)    | retry_at                      | CONNECTING: looks up the name
 *   CONNECTING  | name known                    | CONNECTING to its first address
 *   CONNECTING  | handshake done                | GREETING (HELLO)
 *   GREETING    | WELCOME                       | READY
 *   READY       | REFUSE no-session, resync     | GREETING at once; closed when the session was short
 *   READY       | an epoch the hub did not name | GREETING
 *   not READY   | loss, deadline                | CONNECTING to the next address, when there is one
 *   any         | other REFUSE                  | closed, REFUSED, back-off
 *   any         | loss, silence, deadline       | closed, CONNECTING, back-off
 */
#include "uplink_impl.h"

#include "base/nice.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

enum {
    CONNECT_US = 10 * 1000 * 1000,
    BACKOFF_MIN_US = 100 * 1000,
    BACKOFF_MAX_US = 30 * 1000 * 1000,
    STEADY_US = 10 * 1000 * 1000, /* a session that lasted so long starts the back-off anew */
    RETIRE_US = 1000 * 1000,
    MAINTAIN_US = 1000 * 1000,
    PUBLISH_US = 200 * 1000,
    BYE_LINGER_MS = 500,
};

/* ---- connection ------------------------------------------------------------------------------ */

/* Somewhere in the upper half of the present back-off, so that edges do not return in step. */
static int64_t next_delay_us(struct uplink *u)
{
    int64_t delay_us = u->backoff_us / 2 + (int64_t)randombytes_uniform((uint32_t)u->backoff_us / 2 + 1);
    u->backoff_us = u->backoff_us > BACKOFF_MAX_US / 2 ? BACKOFF_MAX_US : 2 * u->backoff_us;
    return delay_us > BACKOFF_MIN_US ? delay_us : BACKOFF_MIN_US;
}

/* The whole round on one way failed, in a way that the other may not. */
static bool falls_back(const struct uplink *u, const char *why)
{
    return u->transport == UPLINK_AUTO && !u->by_https && u->state != UPLINK_READY && why != NULL;
}

static int64_t retry_at_us(struct uplink *u, int64_t now_us)
{
    int64_t asked_us = u->link.retry_after_s * US_PER_SECOND, delay_us = next_delay_us(u);
    return now_us + (asked_us > delay_us ? asked_us : delay_us);
}

static void forget_link(struct uplink *u)
{
    link_close(&u->link, 0);
    resolve_abandon(&u->resolve);
    probe_cancel(&u->probe);
    u->asked_us = 0;
    if (outbox_restart(u->outbox, NULL, 0, 1, NULL) != 0)
        log_debug("spool cannot be read again from the last ack");
}

void uplink_lose(struct uplink *u, int64_t now_us, const char *why)
{
    if (u->state == UPLINK_READY && now_us - u->ready_since_us > STEADY_US)
        u->backoff_us = BACKOFF_MIN_US;
    bool others = u->state != UPLINK_READY && why != NULL && u->tried < u->resolved.n;
    bool other_way = !others && falls_back(u, why);
    forget_link(u);
    u->state = UPLINK_CONNECTING;
    u->retry_at_us = others || other_way ? now_us : retry_at_us(u, now_us);
    if (!others) {
        u->tried = u->resolved.n = 0; /* the name may have moved */
        u->by_https = u->transport == UPLINK_HTTPS || other_way;
    }
    if (why == NULL || others)
        return;
    if (other_way) {
        log_debug("hub is not reached by ZeroMQ, HTTPS is tried server=%s [%s]", u->server, why);
        return;
    }
    if (!u->said_refused)
        log_warning(
            "hub is not reached, the spool keeps everything: `policy-proxy check` says more server=%s [%s]",
            u->server, why);
    u->said_refused = true;
    (void)snprintf(u->own.refusal, sizeof u->own.refusal, "%s", why);
}

/* The next address of the round. */
static void connect_next(struct uplink *u, int64_t now_us)
{
    struct err err = {0};
    u->deadline_us = now_us + CONNECT_US;
    size_t i = u->tried++;
    int rc = !u->by_https ? link_open(&u->link, &u->keys, u->server_key, u->resolved.to[i].endpoint, &err)
                          : link_open_https(&u->link, &u->keys, u->server_key, u->api_key, &u->https,
                                            (const struct sockaddr *)&u->resolved.to[i].address,
                                            u->resolved.to[i].address_bytes, &err);
    if (rc != 0)
        uplink_lose(u, now_us, err_detail(&err));
}

/* What is at its end answers or not; until it is up there is nothing to ask. */
static void connect_through(struct uplink *u, int64_t now_us)
{
    struct err err = {0};
    if (!tunnel_is_up(u->tunnel))
        uplink_lose(u, now_us, tunnel_why(u->tunnel));
    else if (link_open(&u->link, &u->keys, u->server_key, tunnel_endpoint(u->tunnel), &err) != 0)
        uplink_lose(u, now_us, err_detail(&err));
}

/* A tunnel that has come up is used at once. */
static void look_after_tunnel(struct uplink *u, int64_t now_us)
{
    bool was_up = tunnel_is_up(u->tunnel), up = tunnel_step(u->tunnel, now_us);
    if (up && !was_up && !link_is_open(&u->link))
        u->retry_at_us = now_us;
}

static void connect_now(struct uplink *u, int64_t now_us)
{
    struct err err = {0};
    u->state = UPLINK_CONNECTING;
    u->deadline_us = now_us + CONNECT_US;
    if (u->tunnel != NULL)
        connect_through(u, now_us);
    else if (u->tried < u->resolved.n)
        connect_next(u, now_us);
    else if (resolve_start(&u->resolve, u->by_https ? u->https_to : u->server, wake_up, u->wake, &err) != 0)
        uplink_lose(u, now_us, err_detail(&err));
}

/* While the name is looked up. */
static void await_name(struct uplink *u, int64_t now_us)
{
    struct err err = {0};
    int rc = resolve_take(&u->resolve, &u->resolved, &err);
    u->tried = 0;
    if (rc == 0)
        connect_next(u, now_us);
    else if (rc != ERR_MORE)
        uplink_lose(u, now_us, err_detail(&err));
    else if (now_us >= u->deadline_us)
        uplink_lose(u, now_us, "the name service does not answer");
}

static const char *why_closed(const struct uplink *u)
{
    return u->by_https                     ? u->link.why
           : u->state != UPLINK_CONNECTING ? "the connection was closed"
           : u->link.connected             ? "the handshake fails: is server_key the hub's?"
                                           : "nothing answers at this address";
}

static void watch(struct uplink *u, int64_t now_us)
{
    enum curve_event event;
    while (link_is_open(&u->link) && (event = link_event(&u->link)) != CURVE_NONE) {
        if (event == CURVE_READY && u->state == UPLINK_CONNECTING)
            uplink_greet(u, now_us);
        else if (event == CURVE_HANDSHAKE_FAILED)
            uplink_lose(u, now_us, "the handshake fails: is server_key the hub's?");
        else if (event == CURVE_CLOSED)
            uplink_lose(u, now_us, why_closed(u));
    }
}

/* ---- the way back ---------------------------------------------------------------------------- */

/* Between two requests, so that none is sent twice for nothing. What is not acked by then goes again; the
 * WELCOME says what of it the hub has. */
static void go_back(struct uplink *u, int64_t now_us)
{
    struct link open = u->probe.link;
    u->probe.link = u->link;
    u->link = open;
    probe_cancel(&u->probe);
    if (outbox_restart(u->outbox, NULL, 0, 1, NULL) != 0)
        log_debug("spool cannot be read again from the last ack");
    u->by_https = false;
    u->own.returns++;
    log_info("hub is reached by ZeroMQ again server=%s", u->server);
    uplink_greet(u, now_us);
}

static void look_back(struct uplink *u, int64_t now_us)
{
    if (u->transport != UPLINK_AUTO || !u->by_https || u->state != UPLINK_READY || !link_takes(&u->link))
        return;
    if (probe_step(&u->probe, &u->keys, u->server, u->server_key, wake_up, u->wake, now_us))
        go_back(u, now_us);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void retire(struct uplink *u, int64_t now_us)
{
    struct err err;
    u->retire_at_us = now_us + RETIRE_US;
    if (outbox_retire(u->outbox, &err) != 0)
        log_debug("spool position cannot be kept [%s]", err_detail(&err));
}

/* Background work of the journal while there is nothing to send and the answers leave time for it. True:
 * there is more of it. */
static bool maintain(struct uplink *u, int64_t now_us)
{
    struct err err;
    bool worked = false;
    if (now_us < u->maintain_at_us || spool_loaded(u->spool))
        return false;
    if (journal_maintain(spool_journal(u->spool), clock_real_us(), 0, &worked, &err) != 0)
        log_debug("spool cannot be tidied [%s]", err_detail(&err));
    u->maintain_at_us = worked ? now_us : now_us + MAINTAIN_US;
    return worked;
}

static void publish(struct uplink *u, int64_t now_us)
{
    int64_t oldest_ts = outbox_oldest_ts(u->outbox), lag_us = clock_real_us() - oldest_ts;
    u->publish_at_us = now_us + PUBLISH_US;
    u->own.state = u->state;
    u->own.by_https = u->by_https;
    u->own.in_flight = outbox_in_flight(u->outbox);
    u->own.unsendable = outbox_unsendable(u->outbox);
    u->own.lag_us = oldest_ts != 0 && lag_us > 0 ? lag_us : 0;
    u->own.clock_offset_us = uplink_offset_us(u);
    pthread_mutex_lock(&u->stats_lock);
    u->stats = u->own;
    pthread_mutex_unlock(&u->stats_lock);
}

static void step(struct uplink *u, int64_t now_us)
{
    if (u->tunnel != NULL)
        look_after_tunnel(u, now_us);
    if (u->resolve != NULL)
        await_name(u, now_us);
    else if (!link_is_open(&u->link) && now_us >= u->retry_at_us)
        connect_now(u, now_us);
    else if (link_is_open(&u->link) && u->state != UPLINK_READY && now_us >= u->deadline_us)
        uplink_lose(u, now_us, "the hub does not answer");
    look_back(u, now_us);
    if (u->state == UPLINK_READY)
        uplink_ship(u, now_us);
    if (now_us >= u->retire_at_us)
        retire(u, now_us);
}

/* When the loop has to look again although nothing happened. */
static int64_t wake_at_us(struct uplink *u, bool collecting)
{
    int64_t at = u->publish_at_us + 800 * 1000;
    if (u->resolve != NULL)
        return at;
    if (!link_is_open(&u->link) && u->retry_at_us < at)
        at = u->retry_at_us;
    if (collecting && uplink_ship_at_us(u) < at)
        at = uplink_ship_at_us(u);
    if (u->state == UPLINK_READY && u->status_at_us < at && link_takes(&u->link))
        at = u->status_at_us;
    return at;
}

static void wait(struct uplink *u, int64_t until_us)
{
    zmq_pollitem_t items[1 + 2 * LINK_POLLS] = {{NULL, wake_fd(u->wake), ZMQ_POLLIN, 0}};
    int n = 1;
    n += link_poll(&u->link, items + n);
    n += link_poll(&u->probe.link, items + n);
    int64_t wait_us = until_us - clock_monotonic_us();
    long timeout_ms = wait_us <= 0 ? 0 : (long)((wait_us + 999) / 1000);
    (void)zmq_poll(items, n, timeout_ms);
    wake_drain(u->wake);
}

/* After stop: until all that is synced is acked, or no hub takes it, or the time is over. */
static bool finished(struct uplink *u, int64_t now_us)
{
    if (!atomic_load(&u->stop))
        return false;
    if (now_us >= atomic_load(&u->drain_until_us) || !link_is_open(&u->link))
        return true;
    return u->state == UPLINK_READY && outbox_in_flight(u->outbox) == 0 &&
           outbox_fill(u->outbox, NULL) == ERR_END;
}

static void say_goodbye(struct uplink *u)
{
    if (u->state == UPLINK_READY) {
        u->out.type = FRAME_BYE;
        u->out.bye.greeting = u->greeting;
        if (!link_takes(&u->link) || link_send(&u->link, &u->out) != 0)
            log_debug("hub was not told goodbye");
    }
    link_close(&u->link, BYE_LINGER_MS);
}

static void *run(void *arg)
{
    struct uplink *u = arg;
    nice_lower(NICE_BACKGROUND); /* compressing must not take the processor from the answers */
    int64_t now_us = clock_monotonic_us();
    while (!finished(u, now_us)) {
        step(u, now_us);
        bool ready = u->state == UPLINK_READY && link_takes(&u->link);
        int rc = ready && outbox_in_flight(u->outbox) < u->window ? outbox_fill(u->outbox, NULL) : ERR_BUSY;
        bool idle = rc == ERR_END || !ready, more = rc == 0 || (idle && maintain(u, now_us));
        if (now_us >= u->publish_at_us)
            publish(u, now_us);
        wait(u, more ? now_us : wake_at_us(u, rc == ERR_MORE));
        now_us = clock_monotonic_us();
        watch(u, now_us);
        uplink_hear(u, now_us);
    }
    say_goodbye(u);
    tunnel_close(&u->tunnel); /* by the thread that made its child, which ends with it */
    retire(u, now_us);
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void destroy(struct uplink *u)
{
    resolve_abandon(&u->resolve);
    tunnel_close(&u->tunnel);
    wake_shut(&u->wake);
    outbox_close(&u->outbox);
    link_fini(&u->link);
    probe_fini(&u->probe);
    (void)pthread_mutex_destroy(&u->stats_lock);
    sodium_memzero(u, sizeof *u);
    free(u);
}

/* A spool's listener can't be taken back: the next uplink on the same spool finds its wake again. */
static int listen_to(struct uplink *u, struct spool *spool, struct err *err)
{
    struct epoch epoch;
    bool known;
    journal_epoch(spool_journal(spool), &epoch);
    int rc = wake_open(&u->wake, epoch.b, &known, err);
    if (rc == 0 && !known && (rc = spool_on_sync(spool, wake_up, u->wake)) != 0)
        (void)err_set(err, rc, "the spool has no room for another listener");
    return rc;
}

static int start_thread(struct uplink *u, struct err *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&u->thread, NULL, run, u);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return err_errno(err, failed, "the uplink's thread cannot be started");
    (void)pthread_setname_np(u->thread, "uplink");
    return 0;
}

int uplink_start(struct uplink **out, const struct uplink_options *options, struct spool *spool,
                 struct err *err)
{
    struct uplink *u = calloc(1, sizeof *u);
    if (u == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the uplink");
    u->spool = spool;
    u->backoff_us = BACKOFF_MIN_US;
    u->greeting = randombytes_random() >> 1; /* never that of an earlier process's late frames */
    link_init(&u->link);
    probe_init(&u->probe);
    (void)pthread_mutex_init(&u->stats_lock, NULL);
    (void)gethostname(u->host, sizeof u->host - 1);
    int rc = uplink_take_options(u, options, err);
    if (rc == 0)
        rc = curve_keys_load(&u->keys, options->key_file, err);
    if (rc == 0)
        rc = outbox_open(&u->outbox, spool, err);
    if (rc == 0)
        rc = listen_to(u, spool, err);
    if (rc == 0)
        rc = start_thread(u, err);
    if (rc != 0) {
        destroy(u);
        return rc;
    }
    *out = u;
    return 0;
}

void uplink_stop(struct uplink **uplink, int64_t drain_us)
{
    struct uplink *u = *uplink;
    if (u == NULL)
        return;
    atomic_store(&u->drain_until_us, clock_monotonic_us() + drain_us);
    atomic_store(&u->stop, true);
    wake_up(u->wake);
    (void)pthread_join(u->thread, NULL);
    destroy(u);
    *uplink = NULL;
}

void uplink_get_stats(struct uplink *uplink, struct uplink_stats *out)
{
    pthread_mutex_lock(&uplink->stats_lock);
    *out = uplink->stats;
    pthread_mutex_unlock(&uplink->stats_lock);
}

void uplink_tell_answers(struct uplink *uplink, uint64_t answers, uint64_t latency_p99_us)
{
    atomic_store(&uplink->answers, answers);
    atomic_store(&uplink->latency_p99_us, latency_p99_us);
}
