/* SPDX-License-Identifier: Apache-2.0
 *
 * event_batch: the inside of a batch, for this room only. rows and text are allocated once and never move, so
 * that slices stay valid until the batch is cleared.
 */
#ifndef EVENT_EVENT_BATCH_H
#define EVENT_EVENT_BATCH_H

#include "event.h"

struct event_batch {
    struct event *rows;
    size_t count, max_rows;
    char *text;
    size_t text_bytes, max_text_bytes;
    size_t text_before_last; /* text_bytes before the last row was made */
};

/* Room for n more bytes of text; NULL when there is none. Taken by event_batch_text_take. */
char *event_batch_text_room(struct event_batch *batch, size_t n);
struct slice event_batch_text_take(struct event_batch *batch, size_t n);

#endif
