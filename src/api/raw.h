/* SPDX-License-Identifier: Apache-2.0
 *
 * raw: the records of the hub's journal as they were sent, page by page: what a reader is told, and the place
 * where it goes on, as the opaque text that clients hand back. A place gives no right: the tenant in it is
 * compared with the caller's, and all else only says where to look. Everything in it is checked, whoever
 * wrote it. Pure.
 */
#ifndef API_RAW_H
#define API_RAW_H

#include "event/event.h"
#include "journal/journal.h"

/* All zero but for gap: before everything. */
struct raw_place {
    uint32_t tenant;        /* whose records; 0: everybody's */
    struct journal_pos pos; /* of the journal's record that is read next */
    uint32_t skip;          /* records in that one that were read */
    struct epoch epoch;     /* stands for that of pos's segment; zero: not known */
    uint64_t seq;           /* of the journal's record before pos in that epoch; 0: none */
    int64_t hub_ts;         /* of the last record that was told, to EVENT_TS_MAX; 0: none was */
    bool gap;               /* something may be missing behind that, and this was not told yet */
};

enum { RAW_PLACE_BYTES = 160 }; /* as text, with its NUL */
void raw_place_write(const struct raw_place *place, char out[RAW_PLACE_BYTES]);
MUST_CHECK int raw_place_read(struct slice text, struct raw_place *out); /* ERR_INVALID */

/* One request of Postfix. Slices are valid during the call that tells it. */
struct raw_record {
    uint32_t tenant;
    struct slice edge;
    struct epoch epoch; /* of the edge, as seq */
    uint64_t seq;
    int64_t edge_ts; /* by the edge's clock, as it was */
    int64_t hub_ts;
    struct slice request; /* the bytes, with the empty line */
};

struct raw_page {
    struct raw_place place; /* from where on; then: behind what was told */
    uint64_t limit;         /* records at most */
    /* 0: go on; 1: enough; else ends the page with that code. */
    int (*record)(void *arg, const struct raw_record *record);
    /* What was received behind from_us (0: ever) and before to_us is not all there. 0, or ends the page. */
    int (*gap)(void *arg, int64_t from_us, int64_t to_us);
    void *arg;
    bool more; /* out: it ended before the journal did */
};

#endif
