/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: one event of another program, as a line of JSON (RFC 8259; the body of a request is such lines,
 * each ended by LF), made into a policy request as Postfix would send it. Pure.
 *
 *   {"id": {"source": "mx7", "stream": "2026-11", "seq": 17}, "time": "2026-11-30T10:00:00.123Z",
 *    "protocol_state": "RCPT", "client_address": "203.0.113.7", "sender": "a@b.example", …}
 *
 * id: the identity that the program gives it. source: as an edge id; stream: any name, "" when left out; seq:
 * from 1, rising by 1; where numbers are left out, "after" says which one came before. time: RFC 3339. All
 * other members are attributes of the policy protocol (docs/reference/event.md), known to us or not: strings,
 * integers, or null for none; in their order. Nothing may hold a newline or NUL, a member stands once.
 */
#ifndef HUB_LINES_H
#define HUB_LINES_H

#include "base/buf.h"
#include "journal/journal.h"
#include "wire/batch.h"

enum {
    LINE_BYTES = 64 * 1024,
    LINE_STREAM_BYTES = 128,
    LINE_REASON_BYTES = 128,
    LINES_MAX = 20000, /* in one request */
};

struct line {
    char source[BATCH_EDGE_BYTES + 1];
    struct epoch epoch; /* of source and stream */
    uint64_t seq, after;
    int64_t ts_us;
};

/* Cuts the next line that isn't blank off *rest; *number counts all lines, blank ones too. False at the end.
 */
bool lines_next(struct slice *rest, size_t *number, struct slice *line);

/* Replaces what `request` holds. ERR_INVALID, ERR_LIMIT with a reason (LINE_REASON_BYTES) for people;
 * ERR_NO_MEMORY. request's limit is at least POLICY_REQUEST_BYTES. */
MUST_CHECK int line_parse(struct slice text, struct line *out, struct buf *request, char *reason);

#endif
