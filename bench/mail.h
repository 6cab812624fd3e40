/* SPDX-License-Identifier: Apache-2.0
 *
 * mail: made-up events, parsed and classified already, for what measures the store: 50 tenants, of which the
 * first has half of the messages, spread evenly over a number of days from FIXTURE_START_US on. Three events
 * a message (two recipients and END-OF-MESSAGE), unique message ids, instances and queue ids, 20,000 senders
 * and 50,000 recipients by Zipf's law. The same seed gives the same events.
 */
#ifndef BENCH_MAIL_H
#define BENCH_MAIL_H

#include "event/event.h"

enum { MAIL_TENANTS = 50, MAIL_CHUNK = 8192, MAIL_PER_MESSAGE = 3 };

struct mail;

/* rows: how many events the days will have. */
struct mail *mail_create(uint64_t seed, uint64_t rows, double days);
void mail_destroy(struct mail **mail);

/* The next events, whole messages, at most wanted and MAIL_CHUNK of them; lent until the next call. */
const struct event *mail_make(struct mail *mail, size_t wanted, size_t *count);

#endif
