/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: what lists of events and of messages share: one page of a listing as
 * {"rows":[…],"columns":[…],"from":…,"to":…,"next":…}. Within the api room only.
 */
#ifndef API_PAGES_H
#define API_PAGES_H

#include "call.h"
#include "listing.h"

struct page {
    struct api_call *call;
    const struct listing *listing;
    void *arg; /* of whoever writes its rows */
    uint32_t rows;
    bool more;            /* there is a row behind the last one written */
    struct bookmark next; /* of that one */
};

/* A scan for the page, one row longer than it. */
struct store_scan page_scan(const struct page *page);

MUST_CHECK int page_begin(struct page *page);
/* One more row, written by write; it is left for the next page when this one is full, in rows or bytes. 0, or
 * what ends the scan: ERR_END when the page is full. */
MUST_CHECK int page_take(struct page *page, const struct event *event,
                         int (*write)(struct page *page, const struct event *event));
/* rc: of the scan; returns what the handler does. */
MUST_CHECK int page_end(struct page *page, int rc);

#endif
