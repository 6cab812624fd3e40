/* SPDX-License-Identifier: Apache-2.0
 *
 * tally: see tally.h.
 */
#include "tally.h"

static struct tally_second *second_of(struct tally *tally, int64_t second)
{
    size_t count = tally->second_count;
    for (size_t i = count; i-- > 0;) /* mostly the last one */
        if (tally->seconds[i].second == second)
            return &tally->seconds[i];
    if (count == TALLY_SECONDS)
        return &tally->seconds[count - 1];
    tally->seconds[count] = (struct tally_second){.second = second};
    tally->second_count++;
    return &tally->seconds[count];
}

static void add(struct tally_counts *to, const struct tally_counts *more)
{
    to->requests += more->requests;
    to->messages += more->messages;
    to->recipients += more->recipients;
}

void tally_add(struct tally *tally, const struct event *event, int64_t second)
{
    struct tally_counts one = {1, event->first_of_message, event->recipients};
    add(&second_of(tally, second)->of[event->direction], &one);
    tally->matched++;
}

void tally_merge(struct tally *into, const struct tally *more)
{
    into->matched += more->matched;
    into->late += more->late;
    into->lag_us = more->lag_us > into->lag_us ? more->lag_us : into->lag_us;
    for (size_t i = 0; i < more->second_count; i++) {
        struct tally_second *second = second_of(into, more->seconds[i].second);
        for (size_t d = 0; d < DIRECTION_COUNT; d++)
            add(&second->of[d], &more->seconds[i].of[d]);
    }
}

void tally_clear(struct tally *tally)
{
    tally->matched = tally->late = 0;
    tally->lag_us = 0;
    tally->second_count = 0;
}

struct tally_counts tally_sum(const struct tally_second *second)
{
    struct tally_counts sum = {0, 0, 0};
    for (size_t d = 0; d < DIRECTION_COUNT; d++)
        add(&sum, &second->of[d]);
    return sum;
}
