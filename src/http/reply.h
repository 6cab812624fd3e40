/* SPDX-License-Identifier: Apache-2.0
 *
 * reply: the head of a reply, and what our own refusals look like. Pure but for the date, which is given.
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include "http.h"

enum { HTTP_REPLY_HEAD_BYTES = HTTP_FIELDS_BYTES + 1024, HTTP_DETAIL_BYTES = 512 };

struct http_reply_facts {
    int64_t now_us; /* real */
    const char *id;
    bool keep_alive;
    bool old;       /* an HTTP/1.0 client, which has to be told */
    bool head_only; /* HEAD */
    bool streamed;  /* in chunks, or to an old client until the end */
    bool secure;    /* by TLS */
};

/* Head and, for a problem's request id, the first bytes of the body: *skip bytes of reply->body are in it
 * already. */
MUST_CHECK int http_reply_head(const struct http_reply *reply, const struct http_reply_facts *facts,
                               struct buf *out, size_t *skip);

#endif
