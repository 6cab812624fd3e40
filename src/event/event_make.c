/* SPDX-License-Identifier: Apache-2.0
 *
 * event_make: a request becomes an event. Every attribute has a column of its own name or is named here; what
 * its column can't hold goes to `extra` as it was.
 */
#include "event_batch.h"
#include "extra.h"

/* The two attributes without a column of their name: `request` is the same for all, protocol_state is
 * `stage`. */
enum { COLUMN_request = COLUMN_COUNT, COLUMN_protocol_state = COLUMN_COUNT };

static const uint8_t attr_columns[POLICY_ATTR_COUNT] = {
#define ATTRIBUTE(name, since, doc) [POLICY_ATTR_##name] = COLUMN_##name,
#include "policy/attributes.def"
#undef ATTRIBUTE
};

/* A request on its way into a row. */
struct making {
    struct event_batch *batch;
    struct event *event;
    const struct event_origin *origin;
    const struct policy_request *request;
    struct extra *extra;
};

static void to_extra(struct making *m, enum policy_attr attr)
{
    extra_add(m->extra, slice_of(policy_attr_name(attr)), m->request->attr[attr]);
}

/* False: the column can't hold it. */
static bool put_number(void *field, enum column_type type, struct slice value)
{
    uint64_t number, max = type == TYPE_U16 ? UINT16_MAX : type == TYPE_U32 ? UINT32_MAX : UINT64_MAX;
    if (text_to_u64(value, max, &number) != 0)
        return false;
    if (type == TYPE_U16)
        *(event_u16 *)field = (event_u16)number;
    else if (type == TYPE_U32)
        *(event_u32 *)field = (event_u32)number;
    else
        *(event_u64 *)field = number;
    return true;
}

/* False: not an address, one that stands for absence, or written in another way than we would. */
static bool put_address(struct ip *field, struct slice value)
{
    static const struct ip zero;
    char text[IP_TEXT_BYTES];
    struct ip ip;
    if (ip_parse(value, &ip) != 0 || ip_compare(&ip, &zero) == 0)
        return false;
    *field = ip;
    ip_format(&ip, text);
    return slice_equal(value, slice_of(text));
}

static int put_attr(struct making *m, enum policy_attr attr)
{
    struct slice value = m->request->attr[attr];
    const struct column_info *column = &event_columns[attr_columns[attr]];
    void *field = (char *)m->event + column->offset;
    bool held = true;
    switch (column->type) {
    case TYPE_TEXT:
        return event_batch_text(m->batch, value, field, &m->event->text_escaped);
    case TYPE_IP:
        held = put_address(field, value);
        break;
    default:
        held = put_number(field, column->type, value);
        break;
    }
    if (!held)
        to_extra(m, attr);
    return 0;
}

static int put_attrs(struct making *m)
{
    for (enum policy_attr attr = 0; attr < POLICY_ATTR_COUNT; attr++)
        if (m->request->attr[attr].n > 0 && attr_columns[attr] != COLUMN_COUNT) {
            int rc = put_attr(m, attr);
            if (rc != 0)
                return rc;
        }
    return 0;
}

static bool has_upper(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    return false;
}

/* What follows the last '@' of an address already in the batch, in lower case; most need no copy. */
static int put_domain(struct event_batch *batch, struct slice address, struct slice *out)
{
    const char *at = address.n > 0 ? memrchr(address.p, '@', address.n) : NULL;
    if (at == NULL || at + 1 == address.p + address.n)
        return 0;
    struct slice domain = {at + 1, (size_t)(address.p + address.n - at - 1)};
    if (has_upper(domain)) {
        char *room = event_batch_text_room(batch, domain.n);
        if (room == NULL)
            return ERR_LIMIT;
        text_lower(domain, room);
        domain = event_batch_text_take(batch, domain.n);
    }
    *out = domain;
    return 0;
}

static void put_stage(struct making *m)
{
    enum stage stage = STAGE_OTHER;
    struct slice state = m->request->attr[POLICY_ATTR_protocol_state];
    if (state.n > 0 && event_stage_parse(state, &stage) != 0)
        to_extra(m, POLICY_ATTR_protocol_state);
    m->event->stage = (event_stage)stage;
}

static int64_t bounded_ts(int64_t ts)
{
    return ts < 0 ? 0 : ts > EVENT_TS_MAX ? EVENT_TS_MAX : ts;
}

static void put_times(struct event *event, const struct event_origin *origin)
{
    int64_t offset = origin->clock_offset_us, ts = origin->edge_ts;
    bool sane = ts >= 0 && ts <= EVENT_TS_MAX;
    event->edge_ts = bounded_ts(ts);
    event->hub_ts = bounded_ts(origin->hub_ts);
    event->ts_corrected = !sane || offset > EVENT_CLOCK_US || offset < -EVENT_CLOCK_US;
    if (event->ts_corrected && (!sane || __builtin_sub_overflow(ts, offset, &ts)))
        ts = event->hub_ts; /* an edge that sends such clocks is not worth arithmetic */
    event->ts = bounded_ts(ts);
}

/* All rows of a batch of one edge share one copy of its id. */
static int put_edge(struct making *m)
{
    size_t before = m->batch->count;
    if (before > 0 && slice_equal(m->batch->rows[before - 1].edge, m->origin->edge)) {
        m->event->edge = m->batch->rows[before - 1].edge;
        return 0;
    }
    return event_batch_text(m->batch, m->origin->edge, &m->event->edge, &m->event->text_escaped);
}

static int put_identity(struct making *m)
{
    struct event *event = m->event;
    event->tenant = m->origin->tenant;
    event->epoch = m->origin->epoch;
    event->seq = m->origin->seq;
    event->message_id = event_message_id(m->origin, m->request->attr[POLICY_ATTR_instance]);
    put_times(event, m->origin);
    put_stage(m);
    return put_edge(m);
}

static int put_extra(struct making *m)
{
    const struct policy_request *request = m->request;
    struct slice kind = request->attr[POLICY_ATTR_request];
    if (kind.n > 0 && !slice_equal(kind, SLICE("smtpd_access_policy")))
        to_extra(m, POLICY_ATTR_request);
    for (size_t i = 0; i < request->other_count; i++)
        if (!slice_equal(request->others[i].value, SLICE("smtpd_access_policy")) ||
            !slice_equal(request->others[i].name, SLICE("request")))
            extra_add(m->extra, request->others[i].name, request->others[i].value);
    if (m->extra->count == 0)
        return 0;
    char *room = event_batch_text_room(m->batch, EVENT_EXTRA_BYTES);
    if (room == NULL)
        return ERR_LIMIT;
    size_t n = extra_write(m->extra, room, &m->event->text_escaped);
    m->event->extra = event_batch_text_take(m->batch, n);
    return 0;
}

int event_from_request(struct event_batch *batch, const struct event_origin *origin,
                       const struct policy_request *request, struct event **out)
{
    if (batch->count == batch->max_rows)
        return ERR_LIMIT;
    size_t text_before = batch->text_bytes;
    struct extra extra;
    extra.count = 0; /* its pairs are only touched when there are any */
    struct making m = {batch, &batch->rows[batch->count], origin, request, &extra};
    memset(m.event, 0, sizeof *m.event);
    int rc = put_identity(&m);
    if (rc == 0)
        rc = put_attrs(&m);
    if (rc == 0)
        rc = put_domain(batch, m.event->sender, &m.event->sender_domain);
    if (rc == 0)
        rc = put_domain(batch, m.event->recipient, &m.event->recipient_domain);
    if (rc == 0)
        rc = put_extra(&m);
    if (rc != 0) {
        batch->text_bytes = text_before;
        return rc;
    }
    batch->text_before_last = text_before;
    batch->count++;
    *out = m.event;
    return 0;
}
