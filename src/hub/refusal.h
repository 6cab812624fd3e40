/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal: the log line of a refused peer, one stable form that packaging/fail2ban reads:
 *   warning: peer refused address=203.0.113.7 code=key edge=mx1 reason="the API key is not known"
 * Each address (each /64 of IPv6) gets its first REFUSAL_BURST lines at once, then one each REFUSAL_REPEAT_US
 * with repeats=N for those in between, until it was quiet for REFUSAL_QUIET_US: no loop of one peer fills a
 * disk, and every address is named. A refused handshake (knocks.h) is one of them, code=limit. Ordinary
 * refusals (no-session, resync) are no warnings. One thread.
 */
#ifndef HUB_REFUSAL_H
#define HUB_REFUSAL_H

#include "base/clock.h"
#include "wire/frame.h"

enum { REFUSAL_BURST = 5, REFUSAL_SLOTS = 4096, REFUSAL_LINE_BYTES = 512 };
#define REFUSAL_QUIET_US  (60 * US_PER_SECOND)
#define REFUSAL_REPEAT_US (10 * US_PER_SECOND)

struct refusal_log;
MUST_CHECK int refusal_log_create(struct refusal_log **out);
void refusal_log_destroy(struct refusal_log **log);

/* Formats the line into line[REFUSAL_LINE_BYTES] and returns true when it is to be written now. edge may be
 * empty. now_us is monotonic. Pure but for the counts. */
bool refusal_log_line(struct refusal_log *log, const struct ip *address, enum refusal code, struct slice edge,
                      const char *reason, int64_t now_us, char *line);

#endif
