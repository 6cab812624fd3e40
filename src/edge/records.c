/* SPDX-License-Identifier: Apache-2.0
 *
 * records: a journal reader and a printer. See records.h.
 */
#include "records.h"

#include "base/clock.h"
#include "policy/policy.h"
#include "wire/batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 16 * POLICY_REQUEST_BYTES };

/* A JSON string (RFC 8259, 7). */
static int add_string(struct buf *out, struct slice s)
{
    char *clean = malloc(TEXT_ESCAPED_MAX(s.n) + 1);
    if (clean == NULL)
        return ERR_NO_MEMORY;
    size_t n = text_escape_invalid(s, clean);
    int rc = buf_add(out, "\"", 1);
    for (size_t i = 0; i < n && rc == 0; i++) {
        unsigned char c = (unsigned char)clean[i];
        if (c == '"' || c == '\\')
            rc = buf_addf(out, "\\%c", c);
        else if (c < 0x20)
            rc = buf_addf(out, "\\u%04x", c);
        else
            rc = buf_add(out, &clean[i], 1);
    }
    free(clean);
    return rc == 0 ? buf_add(out, "\"", 1) : rc;
}

static int add_pair(struct buf *out, bool *first, struct slice name, struct slice value)
{
    int rc = *first ? 0 : buf_add(out, ",", 1);
    *first = false;
    if (rc == 0)
        rc = add_string(out, name);
    if (rc == 0)
        rc = buf_add(out, ":", 1);
    return rc == 0 ? add_string(out, value) : rc;
}

static int add_attributes(struct buf *out, const struct policy_request *request)
{
    bool first = true;
    int rc = buf_add_slice(out, SLICE(",\"attributes\":{"));
    for (size_t i = 0; i < POLICY_ATTR_COUNT && rc == 0; i++)
        if (request->attr[i].p != NULL)
            rc = add_pair(out, &first, slice_of(policy_attr_name((enum policy_attr)i)), request->attr[i]);
    if (rc == 0)
        rc = buf_add_slice(out, SLICE("},\"others\":["));
    for (size_t i = 0; i < request->other_count && rc == 0; i++) {
        bool alone = true;
        rc = buf_add_slice(out, i == 0 ? SLICE("{") : SLICE(",{"));
        if (rc == 0)
            rc = add_pair(out, &alone, request->others[i].name, request->others[i].value);
        if (rc == 0)
            rc = buf_add(out, "}", 1);
    }
    return rc == 0 ? buf_add(out, "]", 1) : rc;
}

int records_to_json(const struct journal_record *record, struct buf *out)
{
    char epoch[2 * JOURNAL_EPOCH_BYTES + 1], ts[CLOCK_TEXT_BYTES];
    struct policy_request request;
    text_to_hex(record->epoch.b, sizeof record->epoch.b, epoch);
    clock_format(record->ts_us, ts);
    int rc = buf_addf(out, "{\"epoch\":\"%s\",\"seq\":%" PRIu64 ",\"ts\":\"%s\",\"kind\":%u", epoch,
                      record->seq, ts, record->kind);
    if (rc == 0 && record->kind == RECORD_POLICY && policy_parse(record->payload, &request, NULL) == 0)
        rc = add_attributes(out, &request);
    return rc == 0 ? buf_add(out, "}\n", 2) : rc;
}

static int print(const struct journal_record *record, bool json, struct buf *line)
{
    struct slice bytes = record->payload;
    int rc = 0;
    buf_clear(line);
    if (json) {
        rc = records_to_json(record, line);
        bytes = buf_slice(line);
    }
    if (rc == 0 && fwrite(bytes.p, 1, bytes.n, stdout) != bytes.n)
        rc = ERR_IO;
    return rc;
}

int records_print(const char *spool_dir, bool json, struct err *err)
{
    struct journal_reader *reader;
    struct journal_record record;
    struct buf line = {.limit = LINE_BYTES};
    int rc = journal_reader_open(&reader, NULL, spool_dir, (struct journal_pos){0, 0}, err);
    if (rc != 0)
        return rc;
    while ((rc = journal_reader_next(reader, &record, err)) == 0) {
        rc = print(&record, json, &line);
        if (rc != 0) {
            rc = err_set(err, rc, "spool %s: output failed: %s", spool_dir, err_text(rc));
            break;
        }
    }
    if (rc == ERR_END)
        rc = fflush(stdout) == 0 ? 0 : err_errno(err, errno, "output failed");
    if (journal_reader_skipped(reader) > 0)
        (void)fprintf(stderr, "policy-proxy: %" PRIu64 " damaged stretches were skipped\n",
                      journal_reader_skipped(reader));
    journal_reader_close(&reader);
    buf_fini(&line);
    return rc;
}
