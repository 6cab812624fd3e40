/* SPDX-License-Identifier: Apache-2.0
 *
 * tally: live events counted by the second in which they were heard, and by direction. What comes late to a
 * second is added to it, so each tally is what there is more of since the one before. Plain data. Pure.
 */
#ifndef HUB_TALLY_H
#define HUB_TALLY_H

#include "event/event.h"

enum { TALLY_SECONDS = 64 /* beyond it what is new is counted in the last one */ };

struct tally_counts {
    uint64_t requests, messages, recipients;
};

struct tally_second {
    int64_t second; /* Unix */
    struct tally_counts of[DIRECTION_COUNT];
};

struct tally {
    uint64_t matched; /* events in it */
    uint64_t late;    /* events of the tenant that are not: they were heard too long ago */
    int64_t lag_us;   /* the age that the oldest of either had */
    size_t second_count;
    struct tally_second seconds[TALLY_SECONDS]; /* as they came up */
};

/* A message counts with its first event, recipients as the event's column says. */
void tally_add(struct tally *tally, const struct event *event, int64_t second);
void tally_merge(struct tally *into, const struct tally *more);
void tally_clear(struct tally *tally);
struct tally_counts tally_sum(const struct tally_second *second); /* of all directions */

#endif
