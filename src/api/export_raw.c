/* SPDX-License-Identifier: Apache-2.0
 *
 * export_raw: GET /api/v1/export?format=raw: the requests as Postfix sent them, from the hub's journal, a
 * JSON object a line, the bytes in base64 (RFC 4648, 4). Cursors and what they promise are those of the other
 * formats (export.c); what the journal no longer has is a line too.
 */
#include "base/clock.h"
#include "call.h"

#include <sodium.h>

enum {
    PAGE_ROWS = 5000,
    PAGE_BYTES = 4 * 1024 * 1024, /* a page ends with the record that goes over it */
    BUFFER_BYTES = 16 * 1024 * 1024,
    FOLLOW_MS = 500,
};

struct export_raw {
    struct api_call *call;
    struct buf page; /* when it is streamed */
    struct buf *out;
    struct raw_page asked;
    bool follow, marks;
    uint64_t left, rows; /* records that are still wanted; of the page */
};

static int64_t bounded(int64_t ts)
{
    return ts < 0 ? 0 : ts > EVENT_TS_MAX ? EVENT_TS_MAX : ts;
}

static int add_base64(struct buf *out, struct slice bytes)
{
    size_t n = sodium_base64_encoded_len(bytes.n, sodium_base64_VARIANT_ORIGINAL);
    int rc = buf_reserve(out, n);
    if (rc != 0)
        return rc;
    (void)sodium_bin2base64(out->p + out->n, n, (const unsigned char *)bytes.p, bytes.n,
                            sodium_base64_VARIANT_ORIGINAL);
    out->n += n - 1; /* without its NUL */
    return 0;
}

static int take_record(void *arg, const struct raw_record *record)
{
    struct export_raw *export = arg;
    char epoch[2 * JOURNAL_EPOCH_BYTES + 1], edge_time[CLOCK_TEXT_BYTES], hub_time[CLOCK_TEXT_BYTES];
    text_to_hex(record->epoch.b, sizeof record->epoch.b, epoch);
    clock_format(bounded(record->edge_ts), edge_time);
    clock_format(bounded(record->hub_ts), hub_time);
    int rc =
        buf_addf(export->out,
                 "{\"tenant\":%u,\"edge\":\"%.*s\",\"epoch\":\"%s\",\"seq\":%llu,\"edge_ts\":\"%s\","
                 "\"hub_ts\":\"%s\",\"request\":\"",
                 record->tenant, (int)record->edge.n, record->edge.p /* an edge id has nothing to escape */,
                 epoch, (unsigned long long)record->seq, edge_time, hub_time);
    if (rc == 0)
        rc = add_base64(export->out, record->request);
    if (rc == 0)
        rc = buf_add(export->out, "\"}\n", 3);
    export->rows += rc == 0;
    return rc != 0 ? rc : export->out->n >= PAGE_BYTES;
}

static int take_gap(void *arg, int64_t from_us, int64_t to_us)
{
    struct export_raw *export = arg;
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    clock_format(from_us, from);
    clock_format(bounded(to_us), to);
    int rc = buf_addf(export->out, "{\"gap\":{");
    if (rc == 0 && from_us != 0)
        rc = buf_addf(export->out, "\"from\":\"%s\",", from);
    return rc != 0 ? rc : buf_addf(export->out, "\"to\":\"%s\"}}\n", to);
}

/* One page, with the cursor behind it. */
static int take_page(struct export_raw *export)
{
    struct api_call *call = export->call;
    char text[RAW_PLACE_BYTES];
    export->rows = 0;
    export->asked.limit = export->left < PAGE_ROWS ? export->left : PAGE_ROWS;
    int rc = call->context->raw(call->context->arg, call->context->account, &export->asked, &call->err);
    export->left -= export->rows;
    if (rc == 0 && export->marks && (export->rows > 0 || export->asked.more)) {
        raw_place_write(&export->asked.place, text);
        rc = buf_addf(export->out, "{\"cursor\":\"%s\"}\n", text);
    }
    if (rc != 0 || call->request->stream == NULL || export->page.n == 0)
        return rc;
    rc = call_send(call, export->page.p, export->page.n);
    buf_clear(&export->page);
    return rc;
}

/* Without a stream the reply is one page: who asked goes on with its cursor. */
static int run(struct export_raw *export)
{
    struct api_stream *stream = export->call->request->stream;
    int rc;
    do {
        rc = take_page(export);
        if (rc == 0 && !export->asked.more && export->follow)
            rc = stream->wait(stream, FOLLOW_MS);
    } while (rc == 0 && stream != NULL && export->left > 0 && (export->follow || export->asked.more));
    return rc;
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static int read_flag(struct slice value, bool *out)
{
    *out = slice_equal(value, SLICE("1"));
    return *out || slice_equal(value, SLICE("0")) ? 0 : ERR_INVALID;
}

static int read_parameter(struct export_raw *export, struct slice name, struct slice value)
{
    struct err *err = &export->call->err;
    if (slice_equal(name, SLICE("format")) || slice_equal(name, SLICE("tenant")))
        return 0;
    if (slice_equal(name, SLICE("limit")))
        return text_to_u64(value, UINT64_MAX, &export->left) == 0 && export->left > 0
                   ? 0
                   : err_set(err, ERR_INVALID, "?limit=: a whole number from 1");
    if (slice_equal(name, SLICE("follow")))
        return read_flag(value, &export->follow) == 0 ? 0 : err_set(err, ERR_INVALID, "?follow=: 1 or 0");
    if (slice_equal(name, SLICE("marks")))
        return read_flag(value, &export->marks) == 0 ? 0 : err_set(err, ERR_INVALID, "?marks=: 1 or 0");
    if (slice_equal(name, SLICE("cursor")))
        return raw_place_read(value, &export->asked.place) == 0
                   ? 0
                   : err_set(err, ERR_INVALID, "?cursor= is none of this format's: begin again without it");
    return err_set(
        err, ERR_INVALID,
        "?%.*s=: raw requests come as they are: besides tenant, only cursor, limit, marks and follow",
        (int)(name.n < 32 ? name.n : 32), name.p);
}

static int read_query(struct export_raw *export)
{
    struct slice all = export->call->query, pair;
    int rc = 0;
    while (rc == 0 && slice_split(&all, '&', &pair)) {
        struct slice value = pair, name = {NULL, 0};
        (void)slice_split(&value, '=', &name);
        rc = read_parameter(export, name, value);
    }
    if (rc == 0 && export->follow && export->call->request->stream == NULL)
        rc = err_set(&export->call->err, ERR_INVALID,
                     "?follow=: not on this way; ask again and again with the cursor");
    return rc;
}

/* Whose: what the cursor says has to agree. */
static int bind_tenant(struct export_raw *export, uint32_t tenant)
{
    struct raw_place *place = &export->asked.place;
    bool begins = place->pos.segment == 0;
    if (!begins && place->tenant != tenant)
        return err_set(&export->call->err, ERR_INVALID,
                       "?cursor= belongs to another question: begin again without it");
    place->tenant = tenant;
    return 0;
}

int export_raw(struct api_call *call)
{
    struct export_raw export = {.call = call,
                                .page = {.limit = BUFFER_BYTES},
                                .asked = {.place = {.gap = true}, .record = take_record, .gap = take_gap},
                                .marks = true,
                                .left = UINT64_MAX};
    uint32_t tenant = 0;
    export.asked.arg = &export;
    export.out = call->request->stream != NULL ? &export.page : call->reply;
    if (call->context->raw == NULL)
        return err_set(&call->err, ERR_UNAVAILABLE,
                       "no hub is running: start it with `mail-analytics serve`");
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = read_query(&export);
    if (rc == 0)
        rc = bind_tenant(&export, tenant);
    if (rc != 0)
        return rc;
    call->type = "application/x-ndjson";
    rc = run(&export);
    buf_fini(&export.page);
    return call_reply_failed(call, rc);
}
