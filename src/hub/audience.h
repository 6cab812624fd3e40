/* SPDX-License-Identifier: Apache-2.0
 *
 * audience: what the loader's events become for those who look on. One channel for each different
 * subscription, however many share it. The loader's thread counts in a channel's slot and keeps a random
 * sample of the events in it, as JSON; the loop takes the slot four times a second and leaves an empty one.
 * Counts are exact; of events a slot holds no more than the subscription's rate.
 *
 * Publishing costs one look at an atomic number while nobody looks on, and never waits for anybody: the lock
 * is held for as long as it takes to pass a pointer.
 */
#ifndef HUB_AUDIENCE_H
#define HUB_AUDIENCE_H

#include "subscription.h"
#include "tally.h"

#include "base/buf.h"

enum {
    AUDIENCE_CHANNELS = 64, /* in all */
    AUDIENCE_OF_TENANT = 16,
    AUDIENCE_SLOTS_PER_SECOND = 4,
    AUDIENCE_SLOT_EVENTS = SUBSCRIPTION_RATE_MAX / AUDIENCE_SLOTS_PER_SECOND + 1,
    AUDIENCE_EVENT_BYTES = 8192, /* of an event's JSON; a longer one is not shown */
};
#define AUDIENCE_LATE_US (5 * INT64_C(1000000)) /* heard longer ago, an event is no news any more */

struct audience;
struct channel;

struct slot_event {
    uint64_t order; /* among those that matched */
    struct buf json;
};

struct slot {
    struct tally tally;
    size_t quota, event_count; /* of events */
    struct slot_event events[AUDIENCE_SLOT_EVENTS];
};

MUST_CHECK int audience_create(struct audience **out); /* ERR_NO_MEMORY */
void audience_destroy(struct audience **audience); /* nobody is left, and nobody publishes; safe on NULL */

/* Loop thread. The channel of that subscription, a new one if need be; takes the subscription, also when it
 * fails. ERR_LIMIT: too many different ones. ERR_NO_MEMORY. */
MUST_CHECK int audience_join(struct audience *audience, struct subscription *taken, struct channel **out,
                             struct err *err);
void audience_leave(struct audience *audience, struct channel **channel);

/* Loop thread. What was gathered since the last time, its events in order, lent until the next time. False:
 * the loader is just at it, the next time has it all. */
bool channel_take(struct audience *audience, struct channel *channel, const struct slot **out);
const struct subscription *channel_subscription(const struct channel *channel);

/* One thread at a time. Rows as they are when they are to be stored; now_us is real time. */
void audience_publish(struct audience *audience, const struct event *rows, size_t count, int64_t now_us);

#endif
