/* SPDX-License-Identifier: Apache-2.0
 *
 * live: see live.h. All of it on the loop, but for live_accept.
 */
#include "live.h"

#include "base/clock.h"
#include "live_text.h"
#include "loop/ticker.h"

#include <stddef.h>
#include <stdlib.h>

/* Those who share a channel. */
struct group {
    struct live *live;
    struct channel *channel;
    struct listener *members;
    struct group *prev, *next;
    struct buf text; /* of this tick's batch; empty: nobody needed it yet */
};

struct listener {
    struct live *live;
    uint32_t tenant;
    struct http_socket *socket;                 /* NULL until it is open */
    struct group *group;                        /* NULL until it has subscribed */
    struct listener *prev, *next;               /* in the live's list */
    struct listener *prev_member, *next_member; /* in the group's */
    struct tally *behind;                       /* owned: what it missed; NULL: nothing */
    int64_t opened_us, sent_us;                 /* monotonic */
    int64_t window_us;                          /* monotonic: begin of this window of subscriptions */
    struct live_pass *pass;                     /* owned */
    bool checked, closed;                       /* by a worker at this moment; meanwhile: its end came */
    bool may_stay;                              /* the worker's answer */
    unsigned subscriptions;                     /* in it */
};

/* Those who were there when it began. */
struct check {
    uv_work_t work;
    bool running;
    int64_t began_us; /* monotonic */
    struct listener **listeners;
    size_t count;
    bool (*may_stay)(void *arg, const struct live_pass *pass);
    void *arg;
    _Atomic bool
        worker_has_it; /* passes them to the worker and back: race detectors don't see libuv's locks */
};

struct counters {
    _Atomic uint64_t clients, batches, events, sampled, dropped, refused;
};

struct live {
    struct live_options options;
    struct audience *audience;
    uv_loop_t *loop;
    struct ticker *ticker;
    struct check check;
    struct listener *listeners;
    struct group *groups;
    bool stopped;
    struct counters counters;
};

/* ---- groups -------------------------------------------------------------------------------------- */

static struct group *group_of(struct live *live, struct channel *channel)
{
    struct group *group = live->groups;
    while (group != NULL && group->channel != channel)
        group = group->next;
    if (group != NULL || (group = calloc(1, sizeof *group)) == NULL)
        return group;
    group->live = live;
    group->channel = channel;
    buf_init(&group->text, LIVE_BATCH_BYTES);
    group->next = live->groups;
    if (group->next != NULL)
        group->next->prev = group;
    live->groups = group;
    return group;
}

static void free_group(struct group *group)
{
    struct live *live = group->live;
    if (group->prev != NULL)
        group->prev->next = group->next;
    else
        live->groups = group->next;
    if (group->next != NULL)
        group->next->prev = group->prev;
    buf_fini(&group->text);
    free(group);
}

static void leave_group(struct listener *listener)
{
    struct group *group = listener->group;
    free(listener->behind);
    listener->behind = NULL;
    listener->group = NULL;
    if (group == NULL)
        return;
    if (listener->prev_member != NULL)
        listener->prev_member->next_member = listener->next_member;
    else
        group->members = listener->next_member;
    if (listener->next_member != NULL)
        listener->next_member->prev_member = listener->prev_member;
    listener->prev_member = listener->next_member = NULL;
    struct channel *channel = group->channel;
    if (group->members == NULL)
        free_group(group);
    audience_leave(listener->live->audience, &channel);
}

static void join_group(struct listener *listener, struct group *group)
{
    listener->group = group;
    listener->next_member = group->members;
    if (group->members != NULL)
        group->members->prev_member = listener;
    group->members = listener;
}

/* ---- batches ------------------------------------------------------------------------------------- */

static int write_batch(const struct live *live, struct buf *out, const struct tally *tally,
                       const struct slot *slot)
{
    buf_clear(out);
    return live_text_batch(out, tally, slot, clock_real_us(), live->options.lag_us(live->options.arg));
}

static void send_batch(struct listener *listener, const struct buf *text, const struct tally *tally,
                       const struct slot *slot)
{
    struct counters *counters = &listener->live->counters;
    int rc = http_socket_send(listener->socket, buf_slice(text));
    if (rc != 0 && rc != ERR_CANCELLED) /* else it is being closed already */
        http_socket_close(listener->socket, HTTP_SOCKET_TRY_AGAIN, "the batch can't be sent");
    if (rc != 0)
        return;
    listener->sent_us = clock_monotonic_us();
    counters->batches++;
    counters->events += slot->event_count;
    counters->sampled += tally->matched - slot->event_count;
}

/* What it takes no more is counted for it. */
static void fall_behind(struct listener *listener, const struct slot *slot)
{
    listener->live->counters.dropped++;
    if (listener->behind == NULL)
        listener->behind = calloc(1, sizeof *listener->behind);
    if (listener->behind != NULL)
        tally_merge(listener->behind, &slot->tally);
    else
        http_socket_close(listener->socket, HTTP_SOCKET_TRY_AGAIN, "out of memory");
}

static void catch_up(struct listener *listener, const struct slot *slot)
{
    struct buf text;
    buf_init(&text, LIVE_BATCH_BYTES);
    tally_merge(listener->behind, &slot->tally);
    if (write_batch(listener->live, &text, listener->behind, slot) == 0)
        send_batch(listener, &text, listener->behind, slot);
    buf_fini(&text);
    free(listener->behind);
    listener->behind = NULL;
}

static void tell(struct listener *listener, const struct slot *slot)
{
    struct group *group = listener->group;
    bool news = slot->tally.matched + slot->tally.late > 0;
    if (http_socket_unsent(listener->socket) > LIVE_UNSENT_BYTES) {
        fall_behind(listener, slot);
    } else if (listener->behind != NULL) {
        catch_up(listener, slot);
    } else if (news || clock_monotonic_us() - listener->sent_us >= LIVE_QUIET_MS * 1000) {
        if (group->text.n > 0 || write_batch(listener->live, &group->text, &slot->tally, slot) == 0)
            send_batch(listener, &group->text, &slot->tally, slot);
    }
}

static void close_silent(struct live *live)
{
    int64_t now_us = clock_monotonic_us();
    for (struct listener *listener = live->listeners; listener != NULL; listener = listener->next)
        if (listener->group == NULL && now_us - listener->opened_us > LIVE_SUBSCRIBE_MS * 1000)
            http_socket_close(listener->socket, HTTP_SOCKET_POLICY, "no subscription came");
}

/* ---- who may stay -------------------------------------------------------------------------------- */

static void free_listener(struct listener *listener)
{
    listener->pass->destroy(listener->pass);
    free(listener);
}

/* Worker thread. */
static void check_all(uv_work_t *work)
{
    struct check *check = (struct check *)((char *)work - offsetof(struct check, work));
    for (size_t i = 0; check->worker_has_it && i < check->count; i++)
        check->listeners[i]->may_stay = check->may_stay(check->arg, check->listeners[i]->pass);
    check->worker_has_it = false;
}

static void checked(uv_work_t *work, int status)
{
    struct check *check = (struct check *)((char *)work - offsetof(struct check, work));
    for (size_t i = 0; !check->worker_has_it && i < check->count; i++) {
        struct listener *listener = check->listeners[i];
        listener->checked = false;
        if (listener->closed)
            free_listener(listener);
        else if (status == 0 && !listener->may_stay)
            http_socket_close(listener->socket, HTTP_SOCKET_POLICY, "the key or the session is over");
    }
    free(check->listeners);
    check->running = false;
}

static void begin_check(struct live *live)
{
    struct check *check = &live->check;
    size_t count = 0;
    for (const struct listener *listener = live->listeners; listener != NULL; listener = listener->next)
        count++;
    check->began_us = clock_monotonic_us();
    check->listeners = calloc(count + 1, sizeof *check->listeners);
    if (check->listeners == NULL)
        return;
    check->count = 0;
    for (struct listener *listener = live->listeners; listener != NULL; listener = listener->next) {
        listener->checked = listener->may_stay = true;
        check->listeners[check->count++] = listener;
    }
    check->running = true;
    check->worker_has_it = true;
    if (uv_queue_work(live->loop, &check->work, check_all, checked) != 0) {
        check->worker_has_it = false;
        checked(&check->work, UV_ENOMEM);
    }
}

static void tick(void *arg)
{
    struct live *live = arg;
    const struct slot *slot;
    for (struct group *group = live->groups; group != NULL; group = group->next) {
        if (!channel_take(live->audience, group->channel, &slot))
            continue;
        buf_clear(&group->text);
        for (struct listener *listener = group->members; listener != NULL; listener = listener->next_member)
            tell(listener, slot);
    }
    close_silent(live);
    if (!live->check.running && clock_monotonic_us() - live->check.began_us > LIVE_CHECK_MS * 1000)
        begin_check(live);
}

/* ---- a client's messages ------------------------------------------------------------------------- */

static void answer(struct listener *listener, int rc, const struct err *err)
{
    struct buf text;
    buf_init(&text, 2 * SUBSCRIPTION_BYTES);
    int written = rc != 0 ? live_text_error(&text, rc, err_detail(err))
                          : live_text_subscribed(&text, channel_subscription(listener->group->channel));
    if (written != 0 || http_socket_send(listener->socket, buf_slice(&text)) != 0)
        http_socket_close(listener->socket, HTTP_SOCKET_POLICY, "answers are not taken");
    buf_fini(&text);
}

static bool may_subscribe(struct listener *listener)
{
    int64_t now_us = clock_monotonic_us();
    if (now_us - listener->window_us > LIVE_SUBSCRIBE_MS * 1000) {
        listener->window_us = now_us;
        listener->subscriptions = 0;
    }
    return ++listener->subscriptions <= LIVE_SUBSCRIPTIONS;
}

/* The new one first, so that a channel that stays the same goes on. */
static int subscribe(struct listener *listener, struct slice text, struct err *err)
{
    struct live *live = listener->live;
    struct subscription subscription;
    struct channel *channel;
    int rc = subscription_parse(text, listener->tenant, &subscription, err);
    if (rc == 0)
        rc = audience_join(live->audience, &subscription, &channel, err);
    if (rc != 0)
        return rc;
    struct group *group = group_of(live, channel);
    if (group == NULL) {
        audience_leave(live->audience, &channel);
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    }
    if (group == listener->group) {
        audience_leave(live->audience, &channel);
        return 0;
    }
    leave_group(listener);
    join_group(listener, group);
    return 0;
}

static void on_text(void *owner, struct slice text)
{
    struct err err = {0};
    struct listener *listener = owner;
    if (may_subscribe(listener))
        answer(listener, subscribe(listener, text, &err), &err);
    else
        http_socket_close(listener->socket, HTTP_SOCKET_POLICY, "too many subscriptions");
}

/* ---- clients ------------------------------------------------------------------------------------- */

static bool is_one_too_many(const struct live *live, uint32_t tenant)
{
    unsigned same = 0;
    for (const struct listener *other = live->listeners; other != NULL; other = other->next)
        same += other->tenant == tenant;
    return same > (live->options.clients + LIVE_SHARE - 1) / LIVE_SHARE;
}

static void on_open(void *owner, struct http_socket *socket)
{
    struct listener *listener = owner;
    struct live *live = listener->live;
    listener->socket = socket;
    listener->opened_us = clock_monotonic_us();
    listener->next = live->listeners;
    if (listener->next != NULL)
        listener->next->prev = listener;
    live->listeners = listener;
    if (listener->next == NULL && !live->stopped)
        ticker_set(live->ticker, LIVE_TICK_MS, LIVE_TICK_MS);
    if (is_one_too_many(live, listener->tenant)) {
        live->counters.refused++;
        http_socket_close(socket, HTTP_SOCKET_TRY_AGAIN, "the tenant has too many live clients");
    }
}

static void on_closed(void *owner)
{
    struct listener *listener = owner;
    struct live *live = listener->live;
    if (listener->socket != NULL) {
        leave_group(listener);
        if (listener->prev != NULL)
            listener->prev->next = listener->next;
        else
            live->listeners = listener->next;
        if (listener->next != NULL)
            listener->next->prev = listener->prev;
        if (live->listeners == NULL && !live->stopped)
            ticker_stop(live->ticker);
    }
    live->counters.clients--;
    listener->closed = true;
    if (!listener->checked)
        free_listener(listener);
}

void live_accept(struct live *live, uint32_t tenant, struct live_pass *taken, struct http_reply *reply)
{
    static const struct http_socket_calls calls = {on_open, on_text, on_closed};
    struct listener *listener = calloc(1, sizeof *listener);
    if (live->counters.clients++ >= live->options.clients || listener == NULL) {
        live->counters.clients--;
        live->counters.refused++;
        taken->destroy(taken);
        free(listener);
        http_problem(reply, 503, "too many live clients are there: try again later");
        return;
    }
    listener->live = live;
    listener->tenant = tenant;
    listener->pass = taken;
    reply->status = 101;
    reply->socket = &calls;
    reply->socket_owner = listener;
}

/* ---- its life ------------------------------------------------------------------------------------ */

int live_create(struct live **out, uv_loop_t *loop, const struct live_options *options)
{
    struct live *live = calloc(1, sizeof *live);
    *out = live;
    if (live == NULL)
        return ERR_NO_MEMORY;
    live->loop = loop;
    live->options = *options;
    int rc = audience_create(&live->audience);
    if (rc == 0)
        rc = ticker_create(&live->ticker, loop, tick, live);
    if (rc != 0)
        live_destroy(out);
    return rc;
}

void live_stop(struct live *live)
{
    if (live == NULL)
        return;
    live->stopped = true;
    ticker_destroy(&live->ticker);
}

void live_destroy(struct live **live)
{
    struct live *self = *live;
    *live = NULL;
    if (self == NULL)
        return;
    live_stop(self);
    audience_destroy(&self->audience);
    free(self);
}

void live_check_with(struct live *live, bool (*may_stay)(void *arg, const struct live_pass *pass), void *arg)
{
    live->check.may_stay = may_stay;
    live->check.arg = arg;
}

struct audience *live_audience(struct live *live)
{
    return live->audience;
}

void live_get_stats(const struct live *live, struct live_stats *out)
{
    const struct counters *from = &live->counters;
    *out = (struct live_stats){.clients = from->clients,
                               .batches = from->batches,
                               .events = from->events,
                               .sampled = from->sampled,
                               .dropped = from->dropped,
                               .refused = from->refused};
}
