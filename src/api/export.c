/* SPDX-License-Identifier: Apache-2.0
 *
 * export: GET /api/v1/export: events in the order of their loading, from a cursor on, as NDJSON or CSV
 * (RFC 4180), streamed while there are any and with ?follow=1 on and on. After each page stands a line with
 * the cursor behind it: who keeps that with what he has kept of the rows gets every event once, however often
 * he is interrupted, also while events arrive and parts of the store are written anew.
 */
#include "export.h"
#include "cell.h"

#include "base/clock.h"
#include "query/derive.h"

#include <stdio.h>

enum {
    PAGE_ROWS = 5000,
    PAGE_BYTES = 16 * 1024 * 1024,
    FOLLOW_MS = 500,
    PARAMETER_BYTES = 8192,
};

static struct buf *out_of(struct export *export)
{
    return export->call->request->stream != NULL ? &export->page : export->call->reply;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

/* A cell that a spreadsheet would take for a formula gets an apostrophe in front. */
static bool is_formula(struct slice text)
{
    return text.n > 0 && memchr("=+-@\t\r", text.p[0], 6) != NULL;
}

static int write_quoted(struct buf *out, struct slice text)
{
    int rc = buf_addf(out, is_formula(text) ? "\"'" : "\"");
    for (size_t i = 0; rc == 0 && i < text.n; i++)
        rc = text.p[i] == '"' ? buf_add(out, "\"\"", 2) : buf_add(out, &text.p[i], 1);
    return rc != 0 ? rc : buf_add(out, "\"", 1);
}

static int write_csv_cell(struct buf *out, const struct cell *cell)
{
    if (cell->type == CELL_NULL)
        return 0;
    return cell->type == CELL_TEXT ? write_quoted(out, cell->text) : cell_write(out, cell);
}

static int write_csv(struct export *export, const struct event *event)
{
    const struct listing *listing = &export->listing;
    struct buf *out = out_of(export);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < listing->column_count; i++) {
        char text[QUERY_CELL_BYTES];
        struct query_value value;
        query_value_of(listing->query, event, listing->columns[i], &value);
        struct cell cell = query_cell(listing->columns[i], &value, text);
        rc = i > 0 ? buf_add(out, ",", 1) : 0;
        if (rc == 0)
            rc = write_csv_cell(out, &cell);
    }
    return rc != 0 ? rc : buf_add(out, "\r\n", 2);
}

static int write_header(struct export *export)
{
    const struct listing *listing = &export->listing;
    int rc = 0;
    for (size_t i = 0; rc == 0 && export->csv && i < listing->column_count; i++)
        rc = buf_addf(out_of(export), "%s%s", i > 0 ? "," : "", event_columns[listing->columns[i]].name);
    return rc != 0 || !export->csv ? rc : buf_add(out_of(export), "\r\n", 2);
}

/* ---- pages ----------------------------------------------------------------------------------- */

void export_took(struct export *export, const struct event *event)
{
    struct bookmark *bookmark = &export->bookmark;
    export->rows++;
    bookmark->key = scan_key(event, STORE_BY_LOADING);
    bookmark->key.edge = (struct slice){
        bookmark->edge, event->edge.n < sizeof bookmark->edge ? event->edge.n : sizeof bookmark->edge};
    memcpy(bookmark->edge, event->edge.p, bookmark->key.edge.n);
}

static int take_event(void *arg, const struct event *event)
{
    struct export *export = arg;
    const struct listing *listing = &export->listing;
    int rc = export->csv ? write_csv(export, event)
                         : cell_write_event(out_of(export), listing->query, event, listing->columns,
                                            listing->column_count, true);
    if (rc == 0 && !export->csv)
        rc = buf_add(out_of(export), "\n", 1);
    if (rc == 0)
        export_took(export, event);
    return rc;
}

static int write_mark(struct export *export)
{
    char text[BOOKMARK_BYTES];
    if (!export->marks)
        return 0;
    bookmark_write(&export->bookmark, text);
    return export->csv ? buf_addf(out_of(export), "# cursor %s\r\n", text)
                       : buf_addf(out_of(export), "{\"cursor\":\"%s\"}\n", text);
}

static int send_page(struct export *export)
{
    if (export->page.n == 0)
        return 0;
    int rc = call_send(export->call, export->page.p, export->page.n);
    buf_clear(&export->page);
    return rc;
}

int export_scan(struct export *export, uint32_t most, int (*row)(void *export, const struct event *event))
{
    struct bookmark before = export->bookmark;
    export->rows = 0;
    export->scan.limit = most;
    before.key.edge.p = before.edge;
    export->scan.after = before.key;
    int rc = store_scan(export->call->context->store, &export->scan, row, export, &export->call->err);
    export->scan.resumes = export->scan.resumes || (rc == 0 && export->rows > 0);
    return rc;
}

/* One page, with the cursor behind it. */
static int take_page(struct export *export)
{
    int rc = export_scan(export, export->left < PAGE_ROWS ? (uint32_t) export->left : PAGE_ROWS, take_event);
    if (rc == 0 && export->rows > 0) {
        export->left -= export->rows;
        rc = write_mark(export);
    }
    return rc != 0 ? rc : send_page(export);
}

static int run(struct export *export)
{
    struct api_stream *stream = export->call->request->stream;
    int rc = export->listing.resumes ? 0 : write_header(export);
    do {
        rc = rc != 0 ? rc : take_page(export);
        if (rc == 0 && export->rows == 0 && export->follow)
            rc = stream->wait(stream, FOLLOW_MS);
    } while (rc == 0 && export->left > 0 && (export->follow || export->rows == PAGE_ROWS));
    return rc != 0 ? rc : send_page(export);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

/* Takes the parameters that lists don't have out of the query string; what is left is a list's. */
static int read_own(struct export *export, struct slice name, struct slice value, bool *own)
{
    struct err *err = &export->call->err;
    bool yes = slice_equal(value, SLICE("1")), no = slice_equal(value, SLICE("0"));
    *own = true;
    if (slice_equal(name, SLICE("format"))) {
        export->csv = slice_equal(value, SLICE("csv"));
        export->parquet = slice_equal(value, SLICE("parquet"));
        return export->csv || export->parquet || slice_equal(value, SLICE("ndjson"))
                   ? 0
                   : err_set(err, ERR_INVALID, "?format=: ndjson, csv, parquet or raw");
    }
    if (slice_equal(name, SLICE("limit")))
        return text_to_u64(value, UINT64_MAX, &export->left) == 0 && export->left > 0
                   ? 0
                   : err_set(err, ERR_INVALID, "?limit=: a whole number from 1");
    if (slice_equal(name, SLICE("follow"))) {
        export->follow = yes;
        return yes || no ? 0 : err_set(err, ERR_INVALID, "?follow=: 1 or 0");
    }
    if (slice_equal(name, SLICE("marks"))) {
        export->marks = yes;
        return yes || no ? 0 : err_set(err, ERR_INVALID, "?marks=: 1 or 0");
    }
    *own = false;
    return slice_equal(name, SLICE("sort"))
               ? err_set(err, ERR_INVALID, "?sort=: an export comes in the order of loading")
               : 0;
}

static int read_query(struct export *export, struct buf *rest)
{
    struct slice all = export->call->query, pair;
    bool has_from = false, has_to = false, has_marks = false;
    int rc = 0;
    while (rc == 0 && slice_split(&all, '&', &pair)) {
        struct slice value = pair, name = {NULL, 0};
        bool own = false;
        (void)slice_split(&value, '=', &name);
        has_from = has_from || slice_equal(name, SLICE("from"));
        has_to = has_to || slice_equal(name, SLICE("to"));
        has_marks = has_marks || slice_equal(name, SLICE("marks"));
        rc = read_own(export, name, value, &own);
        if (rc == 0 && !own)
            rc = buf_addf(rest, "%.*s&", (int)pair.n, pair.p);
    }
    if (!has_marks)
        export->marks = !export->csv;
    if (rc == 0)
        rc = buf_addf(rest, "sort=time&%s%s", has_from ? "" : "from=1970-01-01&",
                      has_to ? "" : "to=9999-12-31");
    return rc;
}

static int open_export(struct export *export, uint32_t tenant)
{
    struct api_call *call = export->call;
    enum column columns[COLUMN_COUNT];
    const struct listing_kind kind = {"export", columns, COLUMN_COUNT, COLUMN_COUNT};
    struct buf rest = {.limit = PARAMETER_BYTES};
    for (unsigned i = 0; i < COLUMN_COUNT; i++)
        columns[i] = i;
    int rc = read_query(export, &rest);
    if (rc == 0 && export->follow && call->request->stream == NULL)
        rc = err_set(&call->err, ERR_INVALID,
                     "?follow=: not on this way; ask again and again with the cursor");
    if (rc == 0 && export->parquet && export->follow)
        rc = err_set(&call->err, ERR_INVALID,
                     "?follow=: a Parquet file has an end; ask for the next one with the cursor");
    if (rc == 0)
        rc = listing_parse(buf_slice(&rest), &kind, clock_real_us(), &export->listing, &call->err);
    buf_fini(&rest);
    if (rc != 0)
        return rc;
    call_set_scope(call, tenant, export->listing.query);
    export->scan = (struct store_scan){
        .query = export->listing.query, .order = STORE_BY_LOADING, .resumes = export->listing.resumes};
    for (size_t i = 0; i < export->listing.column_count; i++)
        export->scan.columns |= STORE_SCAN_BIT(export->listing.columns[i]);
    export->bookmark = export->listing.bookmark;
    export->bookmark.key.edge.p = export->bookmark.edge;
    export->bookmark.question = export->listing.hash;
    export->bookmark.from = export->listing.query->from;
    export->bookmark.to = export->listing.query->to;
    return 0;
}

static bool is_raw(const struct api_call *call)
{
    struct slice all = call->query, pair;
    while (slice_split(&all, '&', &pair))
        if (slice_equal(pair, SLICE("format=raw")))
            return true;
    return false;
}

int export_get(struct api_call *call)
{
    if (is_raw(call))
        return export_raw(call);
    struct export export = {.call = call, .left = UINT64_MAX, .page = {.limit = PAGE_BYTES}};
    uint32_t tenant = 0;
    int rc = call_store(call);
    if (rc == 0)
        rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = open_export(&export, tenant);
    if (rc != 0)
        return rc;
    if (!export.parquet)
        call->type = export.csv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson";
    rc = export.parquet ? export_parquet(&export) : run(&export);
    buf_fini(&export.page);
    listing_fini(&export.listing);
    return call_reply_failed(call, rc);
}
