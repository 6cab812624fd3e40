/* SPDX-License-Identifier: Apache-2.0
 *
 * events: GET /api/v1/events: one page of events, in the order of time. The list goes on behind `next`, the
 * bookmark of its last row, so that it stays the same list while events arrive.
 */
#include "cell.h"
#include "listing.h"
#include "pages.h"

#include "base/clock.h"

/* Shown when nothing else is asked for: what tells one event from another for a person. */
static const enum column shown[] = {
    COLUMN_ts,
    COLUMN_stage,
    COLUMN_direction,
    COLUMN_edge,
    COLUMN_client_address,
    COLUMN_sender,
    COLUMN_recipient,
    COLUMN_recipients,
    COLUMN_size,
    COLUMN_client_name,
    COLUMN_helo_name,
    COLUMN_sasl_username,
    COLUMN_encryption_protocol,
    COLUMN_queue_id,
    COLUMN_message_id,
};
enum { SHOWN = sizeof shown / sizeof *shown };

/* Those first, then all others. */
static void all_columns(enum column out[COLUMN_COUNT])
{
    size_t n = SHOWN;
    memcpy(out, shown, sizeof shown);
    for (unsigned column = 0; column < COLUMN_COUNT; column++) {
        bool is_shown = false;
        for (size_t i = 0; i < SHOWN; i++)
            is_shown = is_shown || shown[i] == column;
        if (!is_shown)
            out[n++] = column;
    }
}

static int write_event(struct page *page, const struct event *event)
{
    const struct listing *listing = page->listing;
    return cell_write_event(page->call->reply, listing->query, event, listing->columns, listing->column_count,
                            false);
}

static int take_event(void *arg, const struct event *event)
{
    struct page *page = arg;
    return page_take(page, event, write_event);
}

static int list(struct api_call *call, struct listing *listing)
{
    struct page page = {.call = call, .listing = listing};
    struct store_scan scan = page_scan(&page);
    for (size_t i = 0; i < listing->column_count; i++)
        scan.columns |= STORE_SCAN_BIT(listing->columns[i]);
    int rc = page_begin(&page);
    if (rc == 0)
        rc = store_scan(call->context->store, &scan, take_event, &page, &call->err);
    return page_end(&page, rc);
}

int events_list(struct api_call *call)
{
    enum column columns[COLUMN_COUNT];
    const struct listing_kind kind = {"events", columns, COLUMN_COUNT, SHOWN};
    struct listing listing;
    uint32_t tenant = 0;
    all_columns(columns);
    int rc = call_store(call);
    if (rc == 0)
        rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = listing_parse(call->query, &kind, clock_real_us(), &listing, &call->err);
    if (rc != 0)
        return rc;
    call_set_scope(call, tenant, listing.query);
    rc = list(call, &listing);
    listing_fini(&listing);
    return rc;
}
