/* SPDX-License-Identifier: Apache-2.0
 *
 * consolidate: what an event means within its message. Sets first_of_message, retry_of, recipients, and the
 * direction of DATA and END-OF-MESSAGE events that name no recipient (the direction of the message's RCPTs;
 * absent when they differ). The whole table, row by row: docs/reference/classification.md.
 *
 * Postfix (seen with 3.7) gives `instance` once MAIL FROM was accepted and takes it away at RSET and at the
 * end of the message, so each message of a session has its own; at CONNECT, HELO, EHLO, MAIL, ETRN, and at
 * VRFY between messages, it is empty. A MAIL without instance is therefore no message's first event, or each
 * message would count twice; RCPT, DATA and END-OF-MESSAGE without one (other software) are a message each.
 *
 * A retry repeats message_id, stage and, at RCPT, the recipient, from the same edge; retry_of is the seq of
 * the first one, of whichever epoch. A client that names a recipient twice in one message looks the same:
 * both events are kept, the second is marked.
 *
 * State: a bounded table of messages, about 64 bytes each, and 32 for each different request (four a message
 * on average). The least recently seen go first when either is full, or once idle for CONSOLIDATE_IDLE_US of
 * hub time. It is a function of the events fed in order, so the loader rebuilds it at start by feeding the
 * journal's last stretch again. An event fed a second time (same epoch and seq, after a rewind) is answered
 * as the first time. One thread.
 */
#ifndef ENRICH_CONSOLIDATE_H
#define ENRICH_CONSOLIDATE_H

#include "event/event.h"

#define CONSOLIDATE_IDLE_US (INT64_C(3600) * 1000000)
enum { CONSOLIDATE_MESSAGES = 16 * 1024 * 1024 };

struct consolidate;
/* ERR_LIMIT (0 or over CONSOLIDATE_MESSAGES), ERR_NO_MEMORY. */
MUST_CHECK int consolidate_create(struct consolidate **out, size_t max_messages);
void consolidate_destroy(struct consolidate **consolidate);
/* After rules_classify. Never fails: without memory it forgets the oldest. */
void consolidate_event(struct consolidate *consolidate, struct event *event);
size_t consolidate_messages(const struct consolidate *consolidate); /* in the table now */

#endif
