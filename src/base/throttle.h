/* SPDX-License-Identifier: Apache-2.0
 *
 * throttle: lets one log line of a kind through in each interval and counts the others, so that a peer can't
 * fill a disk by misbehaving quickly. Zero-initialised. Pure; one thread.
 */
#ifndef BASE_THROTTLE_H
#define BASE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

enum { THROTTLE_INTERVAL_US = 10 * 1000 * 1000 };

struct throttle {
    int64_t next_us;
    uint64_t held; /* since the last one let through */
};

/* True: say it, and that *held others like it were not said before. now_us is monotonic. */
static inline bool throttle_pass(struct throttle *throttle, int64_t now_us, uint64_t *held)
{
    if (now_us < throttle->next_us) {
        throttle->held++;
        return false;
    }
    *held = throttle->held;
    throttle->held = 0;
    throttle->next_us = now_us + THROTTLE_INTERVAL_US;
    return true;
}

#endif
