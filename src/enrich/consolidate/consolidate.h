/* SPDX-License-Identifier: Apache-2.0
 *
 * consolidate: what an event means within its message. Sets first_of_message, retry_of, recipients, and the
 * direction of DATA and END-OF-MESSAGE events (the direction of the message's recipients; absent when they
 * differ).
 *
 *   stage                              | first_of_message                     | recipients
 *   CONNECT HELO EHLO VRFY ETRN OTHER  | no                                   | 0
 *   MAIL                               | if none before                       | 0
 *   RCPT                               | if none before                       | 1, a retry 0
 *   DATA                               | if none before                       | 0
 *   END-OF-MESSAGE                     | if none before                       | recipient_count (at least 1
 * with a |                                      | recipient) if no RCPT was heard, else 0 A retry repeats
 * message_id, stage and recipient (for END-OF-MESSAGE and DATA: message_id and stage) from the same edge;
 * retry_of is the seq of the first one (of whichever epoch: an edge that restarted in between is still the
 * same edge).
 *
 * State: a bounded table of messages by message_id (the least recently seen go first when it is full or idle
 * for CONSOLIDATE_IDLE_US of hub time). It is a function of the events fed in order, so the loader rebuilds
 * it at start by feeding the journal's last stretch again. One thread.
 */
#ifndef ENRICH_CONSOLIDATE_H
#define ENRICH_CONSOLIDATE_H

#include "event/event.h"

#define CONSOLIDATE_IDLE_US (INT64_C(3600) * 1000000)

struct consolidate;
MUST_CHECK int consolidate_create(struct consolidate **out, size_t max_messages);
void consolidate_destroy(struct consolidate **consolidate);
/* After rules_classify. Never fails: without memory it forgets the oldest. */
void consolidate_event(struct consolidate *consolidate, struct event *event);
size_t consolidate_messages(const struct consolidate *consolidate); /* in the table now */

#endif
