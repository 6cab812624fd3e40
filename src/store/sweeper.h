/* SPDX-License-Identifier: Apache-2.0
 *
 * sweeper: what the tests of what is erased and of what is too old share: a store whose roll-ups hold a name,
 * and short ways to take something out of it. Failures end the test.
 */
#ifndef STORE_SWEEPER_H
#define STORE_SWEEPER_H

#include "store/place.h"

#define DAY_US (24 * 3600 * US_PER_SECOND)
#define LATER  (FIXTURE_START_US + 365 * DAY_US)
#define CANARY "canary-7731@many.test"
#define ERASED                                                                                               \
    {                                                                                                        \
        .tenant = 1, .address = {CANARY, sizeof CANARY - 1}, .before_us = INT64_MAX / 2                      \
    }

/* Some whole messages of the first tenant are the canary's; the first half of all and the second in a part
 * each. */
void sweeper_fill(struct place *place, struct fixture *fixture);
void sweeper_roll(struct place *place);                                     /* all that there is */
void sweeper_rewrite(struct place *place, const struct store_rewrite *how); /* every part */
void sweeper_sweep(struct place *place, const struct store_rewrite *how);

/* How many files of the store whose names begin so have the canary somewhere. */
unsigned sweeper_canaries(const struct place *place, const char *prefix);
/* What a fast question about the first day says, with more members of it (",…"). */
uint64_t sweeper_first_day(struct place *place, uint32_t tenant, const char *more);

#endif
