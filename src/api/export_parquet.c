/* SPDX-License-Identifier: Apache-2.0
 *
 * export_parquet: GET /api/v1/export?format=parquet: one file of the next rows, as many as fit into its
 * bounds. It is whole before its first byte is sent, so that its cursor stands in a field of the reply's
 * head.
 */
#include "base/clock.h"
#include "export.h"
#include "query/derive.h"
#include "store/parquet.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    ROWS = 1000000,
    STREAM_BYTES = 192 * 1024 * 1024, /* of values in one file, before they are compressed */
    REPLY_BYTES = 24 * 1024 * 1024,   /* where the file has to fit into the reply's body */
    PIECE_BYTES = 64 * 1024,
    BUSY_RETRY_S = 10,
    NOTE_BYTES = 2048, /* the names of all columns */
};

struct filling {
    struct export *export;
    parquet_row row;
    void *row_arg;
    uint64_t rows, bytes, most_bytes;
};

/* About what the event takes: all its texts, and a few bytes for each other column. */
static uint64_t weight(const struct filling *f, const struct event *event)
{
    const struct listing *listing = &f->export->listing;
    uint64_t bytes = 16 * listing->column_count;
    for (size_t i = 0; i < listing->column_count; i++) {
        struct query_value value;
        query_value_of(listing->query, event, listing->columns[i], &value);
        if (!value.absent && event_columns[listing->columns[i]].type == TYPE_TEXT)
            bytes += value.text.n;
    }
    return bytes;
}

static int take_event(void *arg, const struct event *event)
{
    struct export *export = arg;
    struct filling *f = export->filling;
    int rc = f->row(f->row_arg, event);
    if (rc != 0)
        return rc;
    f->rows++;
    f->bytes += weight(f, event);
    export_took(export, event);
    return 0;
}

static int next_rows(void *arg, uint32_t most, parquet_row row, void *row_arg, struct err *err)
{
    struct filling *f = arg;
    uint64_t left = f->export->left < ROWS ? f->export->left : ROWS;
    (void)err; /* the call's own */
    if (f->rows >= left || f->bytes >= f->most_bytes)
        return 0;
    f->row = row;
    f->row_arg = row_arg;
    left -= f->rows;
    return export_scan(f->export, left < most ? (uint32_t)left : most, take_event);
}

static int write_fields(const struct filling *f)
{
    char text[BOOKMARK_BYTES];
    struct buf *fields = f->export->call->fields;
    int rc = buf_addf(fields, "Export-Rows: %llu\r\n", (unsigned long long)f->rows);
    if (rc != 0 || f->rows == 0)
        return rc;
    bookmark_write(&f->export->bookmark, text);
    return buf_addf(fields, "Export-Cursor: %s\r\n", text);
}

static int send_file(struct api_call *call, int fd)
{
    char piece[PIECE_BYTES];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(&call->err, errno, "reading the file");
        if (n == 0)
            return 0;
        int rc = call->request->stream != NULL ? call_send(call, piece, (size_t)n)
                                               : buf_add(call->reply, piece, (size_t)n);
        if (rc != 0)
            return rc;
    }
}

/* Few are written at once, and one tenant's leave a place to others: who asks with its key, not whom it asks
 * about. */
static int write_file(struct api_call *call, const struct parquet_source *source, int *fd)
{
    struct share *files = call->context->files;
    uint32_t tenant = call->request->caller.tenant;
    uint64_t bytes;
    int rc =
        share_take(files, tenant)
            ? 0
            : err_set(&call->err, ERR_BUSY,
                      "as many Parquet files are being written, for you or in all, as may be at once: try "
                      "again when one is done");
    if (rc == 0) {
        rc = parquet_write(source, fd, &bytes, &call->err);
        share_give(files, tenant);
    }
    if (rc == ERR_BUSY)
        call->retry_s = BUSY_RETRY_S;
    return rc;
}

/* What the file says of itself to whoever finds it later. */
struct notes {
    char tenant[ACCOUNT_NAME_BYTES], from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], columns[NOTE_BYTES];
    struct parquet_note list[6];
    size_t count;
};

static void add_note(struct notes *notes, const char *name, const char *value)
{
    notes->list[notes->count++] = (struct parquet_note){name, value};
}

static int write_notes(const struct export *export, struct notes *notes)
{
    const struct listing *listing = &export->listing;
    const struct query *query = listing->query;
    size_t n = 0;
    *notes = (struct notes){.count = 0};
    clock_format(query->from, notes->from);
    clock_format(query->to, notes->to);
    for (size_t i = 0; i < listing->column_count && n < sizeof notes->columns; i++)
        n += (size_t)snprintf(notes->columns + n, sizeof notes->columns - n, "%s%s", i > 0 ? "," : "",
                              event_columns[listing->columns[i]].name);
    assert(n < sizeof notes->columns);
    add_note(notes, "mail_analytics.version", VERSION);
    add_note(notes, "mail_analytics.from", notes->from);
    add_note(notes, "mail_analytics.to", notes->to);
    add_note(notes, "mail_analytics.time_zone", "UTC");
    add_note(notes, "mail_analytics.columns", notes->columns);
    if (query->scope != QUERY_SCOPE_TENANT)
        return 0;
    add_note(notes, "mail_analytics.tenant", notes->tenant);
    return account_tenant_name(export->call->context->account, query->tenant, notes->tenant,
                               &export->call->err);
}

int export_parquet(struct export *export)
{
    struct api_call *call = export->call;
    struct notes notes;
    struct filling filling = {.export = export,
                              .most_bytes = call->request->stream != NULL ? STREAM_BYTES : REPLY_BYTES};
    int rc = write_notes(export, &notes);
    if (rc != 0)
        return rc;
    const struct parquet_source source = {.dir = call->context->export_dir,
                                          .query = export->listing.query,
                                          .columns = export->listing.columns,
                                          .count = export->listing.column_count,
                                          .notes = notes.list,
                                          .note_count = notes.count,
                                          .next = next_rows,
                                          .arg = &filling};
    int fd;
    export->filling = &filling;
    rc = write_file(call, &source, &fd);
    if (rc != 0)
        return rc;
    call->type = "application/vnd.apache.parquet";
    rc = write_fields(&filling);
    if (rc == 0)
        rc = send_file(call, fd);
    (void)close(fd);
    return rc;
}
