/* SPDX-License-Identifier: Apache-2.0
 *
 * history: how one edge was doing in each of the last HISTORY_MINUTES minutes in which it said so. Counters
 * are what came in that minute, the others as last said in it. Kept in the snapshot of edges.h. One thread.
 */
#ifndef HUB_HISTORY_H
#define HUB_HISTORY_H

#include "wire/bytes.h"

enum { HISTORY_MINUTES = 120 };

/* What is counted in a minute, and what is as it is. 32 bits hold each; more is shown as that much. */
#define HISTORY_COUNTERS(X) X(records) X(gap_records) X(dropped) X(answers)
#define HISTORY_LEVELS(X)   X(depth) X(lag_us) X(latency_p99_us)

struct history_figures {
#define X(name) uint64_t name;
    HISTORY_COUNTERS(X)
    HISTORY_LEVELS(X)
#undef X
};

struct history_minute {
    uint32_t minute; /* since 1970 */
#define X(name) uint32_t name;
    HISTORY_COUNTERS(X)
    HISTORY_LEVELS(X)
#undef X
};

struct history; /* NULL: nothing yet */

/* Counters of figures never fall but when the edge begins anew. Without memory nothing is noted. */
void history_note(struct history **history, const struct history_figures *figures, int64_t now_us);
void history_destroy(struct history **history); /* nulls it; safe on NULL */

/* The i-th, the oldest first; false: there are no more. */
bool history_get(const struct history *history, size_t i, struct history_minute *out);

void history_encode(const struct history *history, struct bytes_writer *w);
/* ERR_CORRUPT, ERR_NO_MEMORY. */
MUST_CHECK int history_decode(struct history **history, struct bytes_reader *r);

#endif
