/* SPDX-License-Identifier: Apache-2.0
 *
 * audience: see audience.h. A slot belongs to its channel, to the publisher (who detaches it), or to the loop
 * (as the spare one). A channel that is left while the publisher holds it is freed by him.
 */
#include "audience.h"

#include "base/clock.h"
#include "live_text.h"
#include "query/match.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct channel {
    struct subscription subscription;
    unsigned listeners;
    bool held;         /* by the publisher */
    struct slot *slot; /* NULL: the publisher has it */
    struct slot *spare;
    uint64_t turn; /* of slots */
};

struct audience {
    pthread_mutex_t lock; /* of channels, and of a channel's listeners, held and slot */
    struct channel *channels[AUDIENCE_CHANNELS];
    atomic_size_t count;
    uint64_t random; /* the publisher's */
};

int audience_create(struct audience **out)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_NO_MEMORY;
    (void)pthread_mutex_init(&(*out)->lock, NULL);
    (*out)->random = (uint64_t)clock_real_us();
    return 0;
}

void audience_destroy(struct audience **audience)
{
    if (*audience != NULL)
        (void)pthread_mutex_destroy(&(*audience)->lock);
    free(*audience);
    *audience = NULL;
}

static void lock(struct audience *audience)
{
    (void)pthread_mutex_lock(&audience->lock);
}

static void unlock(struct audience *audience)
{
    (void)pthread_mutex_unlock(&audience->lock);
}

/* ---- slots --------------------------------------------------------------------------------------- */

static void clear_slot(struct slot *slot)
{
    tally_clear(&slot->tally);
    for (size_t i = 0; i < slot->event_count; i++)
        buf_fini(&slot->events[i].json);
    slot->event_count = 0;
}

static void free_slot(struct slot *slot)
{
    if (slot != NULL)
        clear_slot(slot);
    free(slot);
}

/* Whole events only: a rate below four a second leaves some slots without. */
static size_t quota_of(const struct channel *channel, uint64_t turn)
{
    uint64_t rate = channel->subscription.rate;
    return (size_t)(rate * (turn + 1) / AUDIENCE_SLOTS_PER_SECOND - rate * turn / AUDIENCE_SLOTS_PER_SECOND);
}

/* ---- the loop's side ----------------------------------------------------------------------------- */

static void free_channel(struct channel *channel)
{
    subscription_fini(&channel->subscription);
    free_slot(channel->slot);
    free_slot(channel->spare);
    free(channel);
}

static struct channel *make_channel(struct subscription *taken)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL)
        return NULL;
    channel->subscription = *taken;
    *taken = (struct subscription){.rate = 0};
    channel->slot = calloc(1, sizeof *channel->slot);
    channel->spare = calloc(1, sizeof *channel->spare);
    if (channel->slot != NULL && channel->spare != NULL) {
        channel->slot->quota = quota_of(channel, 0);
        return channel;
    }
    free_channel(channel);
    return NULL;
}

static struct channel *find(struct audience *audience, const struct subscription *wanted, size_t *of_tenant)
{
    *of_tenant = 0;
    for (size_t i = 0; i < audience->count; i++) {
        const struct subscription *own = &audience->channels[i]->subscription;
        if (subscription_equal(own, wanted))
            return audience->channels[i];
        *of_tenant += own->filter->tenant == wanted->filter->tenant;
    }
    return NULL;
}

/* Only the loop changes the list, so it reads it without the lock. */
int audience_join(struct audience *audience, struct subscription *taken, struct channel **out,
                  struct err *err)
{
    size_t of_tenant, count = audience->count;
    struct channel *channel = find(audience, taken, &of_tenant);
    int rc = 0;
    if (channel == NULL && (count == AUDIENCE_CHANNELS || of_tenant == AUDIENCE_OF_TENANT))
        rc = err_set(err, ERR_LIMIT, "too many different subscriptions at once: %d of a tenant, %d in all",
                     AUDIENCE_OF_TENANT, AUDIENCE_CHANNELS);
    else if (channel == NULL && (channel = make_channel(taken)) == NULL)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    subscription_fini(taken);
    if (rc != 0)
        return rc;
    lock(audience);
    if (channel->listeners++ == 0) {
        audience->channels[count] = channel;
        audience->count = count + 1;
    }
    unlock(audience);
    *out = channel;
    return 0;
}

void audience_leave(struct audience *audience, struct channel **channel)
{
    struct channel *self = *channel;
    *channel = NULL;
    lock(audience);
    bool last = --self->listeners == 0, held = self->held;
    for (size_t i = 0; last && i < audience->count; i++)
        if (audience->channels[i] == self) {
            audience->channels[i] = audience->channels[audience->count - 1];
            audience->count--;
        }
    unlock(audience);
    if (last && !held)
        free_channel(self);
}

static int compare_events(const void *a, const void *b)
{
    uint64_t x = ((const struct slot_event *)a)->order, y = ((const struct slot_event *)b)->order;
    return x < y ? -1 : x > y;
}

bool channel_take(struct audience *audience, struct channel *channel, const struct slot **out)
{
    clear_slot(channel->spare);
    channel->spare->quota = quota_of(channel, channel->turn + 1);
    lock(audience);
    struct slot *slot = channel->slot;
    if (slot != NULL) {
        channel->slot = channel->spare;
        channel->spare = slot;
    }
    unlock(audience);
    if (slot == NULL)
        return false;
    channel->turn++;
    qsort(slot->events, slot->event_count, sizeof *slot->events, compare_events);
    *out = slot;
    return true;
}

const struct subscription *channel_subscription(const struct channel *channel)
{
    return &channel->subscription;
}

/* ---- the publisher's side ------------------------------------------------------------------------ */

static uint64_t random_below(struct audience *audience, uint64_t bound)
{
    uint64_t x = audience->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % bound;
}

/* Each of those that matched is in the sample with the same chance (algorithm R). */
static void keep(struct audience *audience, struct slot *slot, const struct event *event)
{
    uint64_t order = slot->tally.matched;
    struct slot_event *place = NULL;
    if (slot->event_count < slot->quota) {
        place = &slot->events[slot->event_count];
    } else {
        uint64_t i = random_below(audience, order);
        if (i >= slot->quota)
            return;
        place = &slot->events[i];
    }
    struct buf json;
    buf_init(&json, AUDIENCE_EVENT_BYTES);
    if (live_text_event(&json, event) != 0) {
        buf_fini(&json);
        return;
    }
    if (slot->event_count < slot->quota)
        slot->event_count++;
    else
        buf_fini(&place->json);
    *place = (struct slot_event){order, json};
}

/* An edge's clock may be ahead a little. */
static int64_t second_of(const struct event *event, int64_t now_us)
{
    return (event->ts < now_us ? event->ts : now_us) / US_PER_SECOND;
}

static void gather(struct audience *audience, const struct channel *channel, struct slot *slot,
                   const struct event *rows, size_t count, int64_t now_us)
{
    const struct query *filter = channel->subscription.filter;
    for (size_t i = 0; i < count; i++) {
        const struct event *event = &rows[i];
        if (event->tenant != filter->tenant && filter->scope != QUERY_SCOPE_ALL)
            continue;
        int64_t age_us = now_us - event->ts;
        if (age_us > slot->tally.lag_us)
            slot->tally.lag_us = age_us;
        if (age_us > AUDIENCE_LATE_US) {
            slot->tally.late++;
        } else if (query_match(filter, event)) {
            tally_add(&slot->tally, event, second_of(event, now_us));
            if (slot->quota > 0)
                keep(audience, slot, event);
        }
    }
}

static size_t hold_all(struct audience *audience, struct channel *held[AUDIENCE_CHANNELS])
{
    lock(audience);
    size_t count = audience->count;
    for (size_t i = 0; i < count; i++) {
        held[i] = audience->channels[i];
        held[i]->held = true;
    }
    unlock(audience);
    return count;
}

static struct slot *detach(struct audience *audience, struct channel *channel)
{
    lock(audience);
    struct slot *slot = channel->slot;
    channel->slot = NULL;
    unlock(audience);
    return slot;
}

static void give_back(struct audience *audience, struct channel *channel, struct slot *slot)
{
    lock(audience);
    channel->slot = slot;
    channel->held = false;
    bool left = channel->listeners == 0;
    unlock(audience);
    if (left)
        free_channel(channel);
}

void audience_publish(struct audience *audience, const struct event *rows, size_t count, int64_t now_us)
{
    struct channel *held[AUDIENCE_CHANNELS];
    if (count == 0 || atomic_load_explicit(&audience->count, memory_order_relaxed) == 0)
        return;
    size_t channels = hold_all(audience, held);
    for (size_t i = 0; i < channels; i++) {
        struct slot *slot = detach(audience, held[i]);
        gather(audience, held[i], slot, rows, count, now_us);
        give_back(audience, held[i], slot);
    }
}
