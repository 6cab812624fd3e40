/* SPDX-License-Identifier: Apache-2.0
 *
 * scan: events themselves instead of figures, a page at a time: in the order of their time, or in that of
 * their loading, from a position on. Positions are what rows have, so they stay good while events arrive and
 * while the engine writes its files anew. Ordered by time, then (tenant, edge, epoch, seq): no two rows are
 * the same, and the order is that of every engine.
 *
 * Nothing is sorted that isn't needed: the store asks its engine for stretches of time, small ones first,
 * that grow until the page is full.
 */
#ifndef STORE_SCAN_H
#define STORE_SCAN_H

#include "query/query.h"

enum { STORE_SCAN_ROWS = 100000 }; /* of one page at most */

enum store_order {
    STORE_BY_TIME,   /* ts, within the question's range */
    STORE_BY_LOADING /* hub_ts, which only grows from one batch of the hub's journal to the next: what is
                        stored later comes later, so who goes on behind the last row misses nothing */
};

/* The place of a row: behind it another page goes on. */
struct store_key {
    int64_t at; /* ts or hub_ts */
    uint32_t tenant;
    struct slice edge;
    struct id128 epoch;
    uint64_t seq;
};

struct store_scan {
    const struct query *query; /* checked; its scope, range, filters, zone and time limit; the rest isn't
                                  looked at */
    enum store_order order;
    bool descending;
    bool messages;    /* by time only: the first event of each message that fits, see below */
    uint64_t columns; /* 1 << enum column: what rows have; those of struct store_key they always have */
    bool resumes;
    struct store_key after; /* with resumes */
    uint32_t limit;         /* rows, 1 to STORE_SCAN_ROWS */
    int64_t stretch_us;     /* where to begin with stretches; 0: find out. The store leaves what it came to */
    int64_t begin, end; /* the store's, for the engine: the stretch, half-open, of what it is ordered by */
};

#define STORE_SCAN_BIT(column) (UINT64_C(1) << (column))
_Static_assert(COLUMN_COUNT < 64, "a bit for each column");

/* A message is listed at its first event, when for each of the question's filters one of its events fits: the
 * first one where a filter names only what all events of a message share; else any within QUERY_MESSAGE_US of
 * the stretch. "ne" and "not" fit when none of them has what they name. */

/* The conditions of one such filter, apart: *part is the question for message ids of events that fit, *inside
 * says whether the message must be among them or must not. at: index of a filter of no group. For engines. */
void scan_part(const struct store_scan *scan, size_t at, struct query *part, bool *inside);
/* Whether that filter is to be asked of the first event itself. */
bool scan_is_of_message(const struct query *query, size_t at);

struct store;
struct store_engine;

/* As store_scan, for a checked scan. */
MUST_CHECK int scan_run(struct store *store, const struct store_engine *engine, struct store_scan *scan,
                        int (*row)(void *arg, const struct event *event), void *arg, struct err *err);
MUST_CHECK int scan_check(const struct store_scan *scan, struct err *err);

/* The key of a row in that order; its edge is the event's. */
struct store_key scan_key(const struct event *event, enum store_order order);

#endif
