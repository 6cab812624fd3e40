/* SPDX-License-Identifier: Apache-2.0
 *
 * attempts: who may try a password now. The first ATTEMPTS_FREE failures of an account name, known or not,
 * and of a client's address (ip_site) cost nothing; each further one doubles the time until the next try, up
 * to a bound: a minute for a name, so that nobody is locked out by strangers, a quarter of an hour for an
 * address, eight seconds for one of loopback, behind which a proxy's many clients are. An hour without a
 * failure forgets. The tables have a fixed size; what was tried longest ago makes room. Any thread.
 */
#ifndef API_ATTEMPTS_H
#define API_ATTEMPTS_H

#include "base/ip.h"

enum { ATTEMPTS_FREE = 3, ATTEMPTS_PLACES = 4096 };
#define ATTEMPTS_NAME_US     (INT64_C(60) * 1000000)
#define ATTEMPTS_ADDRESS_US  (INT64_C(900) * 1000000)
#define ATTEMPTS_LOOPBACK_US (INT64_C(8) * 1000000)

struct attempts;

/* Who tries; name: as it was typed, its case doesn't matter. */
struct attempt {
    struct slice name;
    const struct ip *from;
    int64_t now_us; /* monotonic */
};

MUST_CHECK int attempts_create(struct attempts **out, struct err *err); /* ERR_NO_MEMORY */
void attempts_destroy(struct attempts **attempts);                      /* safe on NULL */

/* 0: it may be tried, and is counted as failed until attempts_end says otherwise. Else how long to wait. */
int64_t attempts_begin(struct attempts *attempts, const struct attempt *attempt);

enum attempt_end { ATTEMPT_GOOD /* forgets the name's failures */, ATTEMPT_UNTRIED };
void attempts_end(struct attempts *attempts, const struct attempt *attempt, enum attempt_end end);

#endif
