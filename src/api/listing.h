/* SPDX-License-Identifier: Apache-2.0
 *
 * listing: what a list of events or messages is asked for, from a query string:
 *   f=COLUMN:OPERATOR:VALUE   repeatable; "eq" of one column repeated: any of them; everything else: all
 *   where=JSON                an array of filters as a question has it, for what f can't say
 *   q=TEXT                    an address, domain, IP address, network, queue id, instance or message id,
 * known by its looks; else a part of a name or address from= to=                 as a question's (query.h);
 * to is now, from a day earlier tz= cols=A,B sort=time|-time limit= cursor= tenant= What is unknown, or there
 * twice, is refused. Pure; the tenant is the caller's to look at.
 */
#ifndef API_LISTING_H
#define API_LISTING_H

#include "bookmark.h"

enum { LISTING_LIMIT = 1000, LISTING_DEFAULT = 100, LISTING_FILTERS = 64 };

struct listing {
    struct query *query; /* owned; its scope is UNSET */
    enum column columns[COLUMN_COUNT];
    size_t column_count;
    bool descending;
    uint32_t limit;
    bool resumes; /* at bookmark.key; the question's range is the bookmark's */
    struct bookmark bookmark;
    uint64_t hash; /* of the question, for the next bookmark */
};

/* kind: the route, for bookmarks; columns: what cols may name, as "all" in its order, and the first `shown`
 * of them when it is missing. ERR_INVALID, ERR_LIMIT, ERR_NO_MEMORY. On success the caller owns *out:
 * listing_fini. */
struct listing_kind {
    const char *name;
    const enum column *columns;
    size_t column_count, shown;
};
MUST_CHECK int listing_parse(struct slice query_string, const struct listing_kind *kind, int64_t now_us,
                             struct listing *out, struct err *err);
void listing_fini(struct listing *listing); /* safe on zeroed memory */

#endif
