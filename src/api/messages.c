/* SPDX-License-Identifier: Apache-2.0
 *
 * messages: GET /api/v1/messages, one row a message at the time of its first event, and
 * GET /api/v1/messages/{id}, all that is known of one. What a row shows is gathered from all events of its
 * message, whichever of them the filters met.
 */
#include "cell.h"
#include "message.h"
#include "pages.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    GATHER_ROWS = 20000,   /* events at once */
    MESSAGE_EVENTS = 10000 /* of one message that are shown */
};

/* ---- the events of some messages ------------------------------------------------------------- */

/* A question for all events of those messages around their time. */
static int ask_for(const struct query *like, const struct message *messages, size_t count, struct query *out)
{
    struct query_value *values = calloc(count, sizeof *values);
    if (values == NULL)
        return ERR_NO_MEMORY;
    *out = (struct query){.scope = like->scope,
                          .tenant = like->tenant,
                          .from = INT64_MAX,
                          .measure_count = 1,
                          .measures = {MEASURE_requests},
                          .limit = 1,
                          .timeout_us = like->timeout_us,
                          .cancelled = like->cancelled,
                          .filter_count = 1,
                          .filters = {{.column = COLUMN_message_id, .op = OP_IN, .value_count = count}},
                          .values = values,
                          .value_count = count};
    for (size_t i = 0; i < count; i++) {
        values[i].id = messages[i].id;
        out->from = messages[i].first_ts < out->from ? messages[i].first_ts : out->from;
        out->to = messages[i].last_ts > out->to ? messages[i].last_ts : out->to;
    }
    out->from = out->from > QUERY_MESSAGE_US ? out->from - QUERY_MESSAGE_US : 0;
    out->to = out->to < QUERY_LATEST_US - QUERY_MESSAGE_US ? out->to + QUERY_MESSAGE_US : QUERY_LATEST_US;
    return 0;
}

/* All rows of a scan, a bounded number at once. */
struct gathering {
    int (*take)(void *arg, const struct event *event);
    void *arg;
    uint32_t rows; /* of this turn */
    struct store_key last;
    char edge[EVENT_EDGE_BYTES];
};

static int gather_one(void *arg, const struct event *event)
{
    struct gathering *gathering = arg;
    gathering->rows++;
    gathering->last = scan_key(event, STORE_BY_TIME);
    gathering->last.edge.n = event->edge.n < sizeof gathering->edge ? event->edge.n : sizeof gathering->edge;
    memcpy(gathering->edge, event->edge.p, gathering->last.edge.n);
    return gathering->take(gathering->arg, event);
}

static int gather(struct api_call *call, const struct query *query, uint64_t columns,
                  int (*take)(void *arg, const struct event *event), void *arg)
{
    struct gathering gathering = {.take = take, .arg = arg};
    char edge[EVENT_EDGE_BYTES];
    struct store_scan scan = {
        .query = query, .columns = columns, .limit = GATHER_ROWS, .stretch_us = query->to - query->from};
    int rc;
    do {
        gathering.rows = 0;
        rc = store_scan(call->context->store, &scan, gather_one, &gathering, &call->err);
        scan.resumes = true;
        scan.after = gathering.last;
        memcpy(edge, gathering.edge, gathering.last.edge.n);
        scan.after.edge.p = edge;
        scan.stretch_us = query->to - query->from;
    } while (rc == 0 && gathering.rows == GATHER_ROWS);
    return rc;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct found {
    struct message *messages;     /* as they were found */
    const struct message **by_id; /* in the order of their ids */
    size_t count, room;
};

static int compare_ids(const void *a, const void *b)
{
    const struct message *const *x = a, *const *y = b;
    return memcmp((*x)->id.b, (*y)->id.b, sizeof(*x)->id.b);
}

static int take_first(void *arg, const struct event *first)
{
    struct found *found = arg;
    found->by_id[found->count] = &found->messages[found->count];
    message_init(&found->messages[found->count++], first);
    return 0;
}

static struct message *message_of(const struct found *found, const struct event *event)
{
    struct message wanted = {.id = event->message_id};
    const struct message *key = &wanted;
    const struct message **at = bsearch(&key, found->by_id, found->count, sizeof key, compare_ids);
    return at != NULL ? &found->messages[*at - found->messages] : NULL;
}

static int take_event(void *arg, const struct event *event)
{
    struct message *message = message_of(arg, event);
    return message != NULL ? message_take(message, event) : 0;
}

static int write_message(struct page *page, const struct event *listed)
{
    struct buf *out = page->call->reply;
    int rc = buf_addf(out, "{");
    if (rc == 0)
        rc = message_write(message_of(page->arg, listed), out);
    return rc != 0 ? rc : buf_addf(out, "}");
}

static int write_all(struct page *page, const struct found *found)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < found->count; i++) {
        const struct message *message = &found->messages[i];
        struct event listed = message->listed;
        listed.edge = message_edge(message);
        rc = page_take(page, &listed, write_message);
    }
    return rc;
}

static int fill(struct page *page, struct found *found)
{
    struct api_call *call = page->call;
    struct query query;
    struct store_scan scan = page_scan(page);
    scan.messages = true;
    scan.columns = STORE_SCAN_BIT(COLUMN_message_id);
    int rc = store_scan(call->context->store, &scan, take_first, found, &call->err);
    if (rc != 0 || found->count == 0)
        return rc;
    qsort(found->by_id, found->count, sizeof *found->by_id, compare_ids);
    rc = ask_for(page->listing->query, found->messages, found->count, &query);
    if (rc != 0)
        return err_set(&call->err, rc, "out of memory");
    rc = gather(call, &query, message_columns(), take_event, found);
    free(query.values);
    return rc != 0 ? rc : write_all(page, found);
}

static int list(struct api_call *call, const struct listing *listing)
{
    struct found found = {.room = listing->limit + 1};
    struct page page = {.call = call, .listing = listing, .arg = &found};
    found.messages = calloc(found.room, sizeof *found.messages);
    found.by_id = calloc(found.room, sizeof *found.by_id);
    int rc = found.messages == NULL || found.by_id == NULL
                 ? err_set(&call->err, ERR_NO_MEMORY, "out of memory")
                 : 0;
    if (rc == 0)
        rc = page_begin(&page);
    if (rc == 0)
        rc = page_end(&page, fill(&page, &found));
    for (size_t i = 0; i < found.count; i++)
        message_fini(&found.messages[i]);
    free(found.messages);
    free(found.by_id);
    return rc;
}

int messages_list(struct api_call *call)
{
    static const struct listing_kind kind = {"messages", NULL, 0, 0};
    struct listing listing;
    uint32_t tenant = 0;
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

/* ---- one message ----------------------------------------------------------------------------- */

/* One recipient as its events tell, the first of them and how often it was asked for. */
struct detail {
    struct api_call *call;
    const struct query *query;
    struct message message;
    struct buf events, recipients;
    uint64_t shown;
    bool is_made;
};

static int take_last(void *arg, const struct event *event)
{
    struct detail *detail = arg;
    message_init(&detail->message, event);
    detail->is_made = true;
    return 0;
}

static int write_recipient(struct detail *detail, const struct event *event)
{
    static const enum column columns[] = {COLUMN_recipient, COLUMN_direction, COLUMN_stage,   COLUMN_ts,
                                          COLUMN_seq,       COLUMN_retry_of,  COLUMN_queue_id};
    int rc = detail->recipients.n > 0 ? buf_add(&detail->recipients, ",", 1) : 0;
    return rc != 0 ? rc
                   : cell_write_event(&detail->recipients, detail->query, event, columns,
                                      sizeof columns / sizeof *columns, true);
}

/* Every column that it has, and how far behind the first it came. */
static int write_event(struct detail *detail, const struct event *event)
{
    enum column columns[COLUMN_COUNT];
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        columns[i] = i;
    int rc = buf_addf(&detail->events, "%s{\"after_us\":%lld,\"event\":", detail->events.n > 0 ? "," : "",
                      (long long)(event->ts - detail->message.first_ts));
    if (rc == 0)
        rc = cell_write_event(&detail->events, detail->query, event, columns, COLUMN_COUNT, true);
    return rc != 0 ? rc : buf_addf(&detail->events, "}");
}

static int take_detail(void *arg, const struct event *event)
{
    struct detail *detail = arg;
    if (detail->message.events == 0) { /* the first of them all begins it anew */
        message_fini(&detail->message);
        message_init(&detail->message, event);
    }
    int rc = message_take(&detail->message, event);
    if (rc != 0 || ++detail->shown > MESSAGE_EVENTS)
        return rc;
    rc = write_event(detail, event);
    return rc != 0 || event->stage != STAGE_RCPT ? rc : write_recipient(detail, event);
}

/* Its last event, wherever in time it is; then all around it. */
static int find(struct detail *detail, const char *id, struct query *query)
{
    struct api_call *call = detail->call;
    struct query_value value = {0};
    struct query around;
    struct store_scan scan = {
        .query = query, .descending = true, .limit = 1, .columns = STORE_SCAN_BIT(COLUMN_message_id)};
    if (text_from_hex(slice_of(id), value.id.b, sizeof value.id.b) != 0)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no message '%.40s'", id);
    query->filters[query->filter_count++] =
        (struct query_filter){.column = COLUMN_message_id, .op = OP_EQ, .value_count = 1};
    query->values = &value;
    query->value_count = 1;
    int rc = store_scan(call->context->store, &scan, take_last, detail, &call->err);
    query->values = NULL;
    if (rc == 0 && !detail->is_made)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no message '%.40s'", id);
    if (rc == 0 && (rc = ask_for(query, &detail->message, 1, &around)) != 0)
        return err_set(&call->err, rc, "out of memory");
    if (rc != 0)
        return rc;
    detail->query = &around;
    rc = gather(call, &around, ~UINT64_C(0) >> (64 - COLUMN_COUNT), take_detail, detail);
    detail->query = query;
    free(around.values);
    return rc;
}

static int write_detail(struct detail *detail)
{
    struct buf *out = detail->call->reply;
    int rc = buf_addf(out, "{");
    if (rc == 0)
        rc = message_write(&detail->message, out);
    if (rc == 0)
        rc = buf_addf(out, ",\"recipient_events\":[");
    if (rc == 0)
        rc = buf_add_slice(out, buf_slice(&detail->recipients));
    if (rc == 0)
        rc = buf_addf(out, "],\"timeline\":[");
    if (rc == 0)
        rc = buf_add_slice(out, buf_slice(&detail->events));
    return rc != 0 ? rc
                   : buf_addf(out, "],\"truncated\":%s}", detail->shown > MESSAGE_EVENTS ? "true" : "false");
}

int messages_get(struct api_call *call)
{
    struct detail detail = {
        .call = call, .events = {.limit = call->reply->limit}, .recipients = {.limit = call->reply->limit}};
    struct query *query = NULL;
    uint32_t tenant = 0;
    int rc = call_store(call);
    if (rc == 0)
        rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = query_parse(SLICE("{\"measures\":[\"requests\"],\"from\":\"1970-01-01\",\"to\":\"now+1d\"}"),
                         clock_real_us(), &query, &call->err);
    if (rc != 0)
        return rc;
    call_set_scope(call, tenant, query);
    rc = find(&detail, call->name, query);
    if (rc == 0)
        rc = write_detail(&detail);
    message_fini(&detail.message);
    buf_fini(&detail.events);
    buf_fini(&detail.recipients);
    query_destroy(&query);
    return call_reply_failed(call, rc);
}
