/* SPDX-License-Identifier: Apache-2.0
 *
 * message: what the events of one message tell together. Events are taken in the order of their time. Pure.
 */
#ifndef API_MESSAGE_H
#define API_MESSAGE_H

#include "base/buf.h"
#include "query/query.h"

/* Texts are in the struct's own buf, so that a page of messages is as large as what it shows. */
struct message {
    struct id128 id;
    uint32_t tenant;
    struct event listed; /* the event it was made of: its place in a list, without texts */
    int64_t first_ts, last_ts;
    uint64_t events, recipients, size; /* size 0: no END-OF-MESSAGE said one */
    unsigned directions, stages;       /* 1 << enum */
    struct ip client_address;
    bool tls;
    struct buf texts;
    struct message_text {
        size_t at, n;
    } edge, sender, recipient, queue_id, client_name, helo_name, sasl_username;
};

enum { MESSAGE_TEXT_BYTES = 64 * 1024 }; /* of one message; what is beyond is left out */

/* The columns of events that message_take looks at: 1 << enum column. */
uint64_t message_columns(void);

void message_init(struct message *message, const struct event *first);
void message_fini(struct message *message);
/* ERR_NO_MEMORY. */
MUST_CHECK int message_take(struct message *message, const struct event *event);

struct slice message_edge(const struct message *message);

/* The members of a JSON object, without its braces. */
MUST_CHECK int message_write(const struct message *message, struct buf *out);

#endif
