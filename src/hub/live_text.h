/* SPDX-License-Identifier: Apache-2.0
 *
 * live_text: the messages of /api/v1/live, as docs/reference/live.md describes them. Pure.
 */
#ifndef HUB_LIVE_TEXT_H
#define HUB_LIVE_TEXT_H

#include "event/event.h"

#include "base/buf.h"

struct slot;
struct subscription;
struct tally;

/* One event as a JSON object: what a list shows of it, without what is absent. */
MUST_CHECK int live_text_event(struct buf *out, const struct event *event);

/* {"type":"batch", …}: the counts of tally, the events of the slot; lag_us: of the hub, 0: none. */
MUST_CHECK int live_text_batch(struct buf *out, const struct tally *tally, const struct slot *slot,
                               int64_t now_us, int64_t lag_us);
MUST_CHECK int live_text_subscribed(struct buf *out, const struct subscription *subscription);
MUST_CHECK int live_text_error(struct buf *out, int code, const char *detail);

#endif
