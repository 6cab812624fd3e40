/* SPDX-License-Identifier: Apache-2.0
 *
 * knocks: how many connections an address may open before it says who it is. ZeroMQ can't end one peer's
 * connection, so a stranger who shakes hands and then keeps silent would hold it; but it asks before each
 * handshake is done. An address (a /64 of IPv6) has KNOCKS_BURST of them, and one more each KNOCKS_AGAIN_US;
 * a HELLO with a known API key gives it all of them back, so that edges behind one address cost it nothing.
 * One slot an address's hash: a collision gives the slot to the newcomer, which errs towards letting in. One
 * thread.
 */
#ifndef HUB_KNOCKS_H
#define HUB_KNOCKS_H

#include "base/clock.h"
#include "base/ip.h"

enum { KNOCKS_BURST = 64, KNOCKS_SLOTS = 4096 };
#define KNOCKS_AGAIN_US (30 * US_PER_SECOND)

struct knocks;
MUST_CHECK int knocks_create(struct knocks **out);
void knocks_destroy(struct knocks **knocks);

/* May it come in? Counts it when it may. now_us is monotonic. */
bool knocks_admit(struct knocks *knocks, const struct ip *address, int64_t now_us);
/* It said who it is. */
void knocks_forgive(struct knocks *knocks, const struct ip *address);

#endif
