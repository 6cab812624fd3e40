/* SPDX-License-Identifier: Apache-2.0
 *
 * recount: answers a question the slow and plain way, over an array of events. What every engine is held
 * against. Knows no SQL; follows docs/reference/query.md. For a question with a zone the caller sets TZ
 * (setenv, tzset) to the same. For tests only, on one thread.
 */
#ifndef STORE_RECOUNT_H
#define STORE_RECOUNT_H

#include "query/derive.h"

struct recount_row {
    char *key; /* as fixture_row writes time and dimensions; "" without them */
    uint64_t measures[MEASURE_COUNT];
    void *messages, *distinct[MEASURE_COUNT]; /* sets */
};

struct recount {
    const struct query *query;
    const struct event *events;
    size_t event_count;
    void *groups; /* of struct recount_row, by key */
    void *sizes;  /* of messages */
    size_t rows;
    struct recount_row total; /* of all groups as one, counted as they are */
    int64_t *buckets;         /* where they begin */
    size_t bucket_count;
};

void recount_init(struct recount *recount, const struct query *query, const struct event *events,
                  size_t count);
void recount_fini(struct recount *recount);
/* The row of that key, or NULL. */
const struct recount_row *recount_find(const struct recount *recount, const char *key);

/* The cell an event has in a column. */
struct cell recount_cell(const struct query *query, const struct event *event, enum column column,
                         char text[QUERY_CELL_BYTES]);

#endif
