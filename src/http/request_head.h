/* SPDX-License-Identifier: Apache-2.0
 *
 * request_head: the head of one HTTP/1.x request, request line and fields, as RFC 9112 writes it and no
 * laxer: lines end with CR LF, a name ends at its colon, no line goes on in the next, no control characters,
 * one Content-Length or one "Transfer-Encoding: chunked" but not both. Where two readers could disagree about
 * where a request ends, it is refused. Pure.
 */
#ifndef HTTP_REQUEST_HEAD_H
#define HTTP_REQUEST_HEAD_H

#include "base/text.h"

enum {
    HTTP_LINE_BYTES = 8192,  /* the request line; beyond it 414 */
    HTTP_HEAD_BYTES = 16384, /* the whole head; beyond it 431 */
    HTTP_FIELDS = 100,       /* likewise */
    HTTP_METHOD_BYTES = 16,
};

struct http_field {
    struct slice name, value; /* value without the spaces around it */
};

enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED };

/* All slices point into the bytes that were parsed. */
struct http_head {
    struct slice method;
    struct slice target;      /* path with its query, of an absolute form too */
    struct slice path, query; /* still percent-encoded; query without '?' */
    int minor;                /* of HTTP/1.x: 0 or 1 */
    bool keep_alive, expects_continue;
    enum http_framing framing;
    uint64_t content_length; /* HTTP_LENGTH */
    size_t field_count;
    struct http_field fields[HTTP_FIELDS];
};

/* The bytes up to the end of the head, empty line included; 0: more are needed. *scanned (0 at first)
 * remembers what was looked at. Bare LFs count, so that what holds them is refused without delay. */
size_t http_head_end(struct slice bytes, size_t *scanned);

/* head: as long as http_head_end says. 0, or the status to refuse it with (400, 414, 417, 431, 501, 505) and
 * why. */
MUST_CHECK int http_head_parse(struct slice head, struct http_head *out, const char **why);

/* The first field of that name (any case); p is NULL without one. */
struct slice http_head_field(const struct http_head *head, const char *name);

#endif
