/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: see pages.h.
 */
#include "pages.h"

enum { TAIL_BYTES = 4096 }; /* kept for what follows the rows */

struct store_scan page_scan(const struct page *page)
{
    const struct listing *listing = page->listing;
    return (struct store_scan){
        .query = listing->query,
        .descending = listing->descending,
        .limit = listing->limit + 1,
        .resumes = listing->resumes,
        .after = listing->bookmark.key,
    };
}

int page_begin(struct page *page)
{
    page->call->reply->limit -= TAIL_BYTES;
    return call_rows_begin(page->call);
}

int page_take(struct page *page, const struct event *event,
              int (*write)(struct page *page, const struct event *event))
{
    struct buf *out = page->call->reply;
    struct bookmark *next = &page->next;
    size_t before = out->n;
    page->more = page->rows == page->listing->limit;
    if (page->more)
        return 0; /* the scan ends here */
    int rc = call_row(page->call);
    if (rc == 0)
        rc = write(page, event);
    if (rc == ERR_LIMIT && page->rows > 0) {
        out->n = before; /* whole rows only */
        page->more = true;
        return ERR_END;
    }
    if (rc != 0)
        return rc;
    page->rows++;
    next->key = scan_key(event, STORE_BY_TIME);
    next->key.edge =
        (struct slice){next->edge, event->edge.n < sizeof next->edge ? event->edge.n : sizeof next->edge};
    memcpy(next->edge, event->edge.p, next->key.edge.n);
    return 0;
}

static int write_columns(struct page *page)
{
    const struct listing *listing = page->listing;
    struct buf *out = page->call->reply;
    int rc = listing->column_count > 0 ? buf_addf(out, "],\"columns\":[") : 0;
    for (size_t i = 0; rc == 0 && i < listing->column_count; i++)
        rc = buf_addf(out, "%s\"%s\"", i > 0 ? "," : "", event_columns[listing->columns[i]].name);
    return rc != 0 ? rc : buf_addf(out, "]");
}

int page_end(struct page *page, int rc)
{
    const struct listing *listing = page->listing;
    struct buf *out = page->call->reply;
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], next[BOOKMARK_BYTES];
    out->limit += TAIL_BYTES;
    if (rc != 0 && rc != ERR_END)
        return call_reply_failed(page->call, rc);
    clock_format(listing->query->from, from);
    clock_format(listing->query->to, to);
    page->next.question = listing->hash;
    page->next.from = listing->query->from;
    page->next.to = listing->query->to;
    rc = write_columns(page);
    if (rc == 0)
        rc = buf_addf(out, ",\"from\":\"%s\",\"to\":\"%s\",\"next\":", from, to);
    if (rc != 0 || !page->more)
        return rc != 0 ? rc : buf_addf(out, "null}");
    bookmark_write(&page->next, next);
    return buf_addf(out, "\"%s\"}", next);
}
