/* SPDX-License-Identifier: Apache-2.0
 *
 * visit: one HTTP/1.1 request and its answer on a connection of its own (head.h says how little of HTTP that
 * is). The request is read within limits and handed to the owner whole; the owner answers it once, at once or
 * later; then goodbye. What never becomes a request is refused here. Bounds: `max` visits are served at once,
 * VISITS_REFUSED more are told 503 at a time, others are closed at once; request_ms for the request to
 * arrive, reply_ms for the answer to be read, then VISIT_LINGER_MS for the client to leave (a socket closed
 * on unread bytes takes the answer with it). Loop thread.
 */
#ifndef LOOP_VISIT_H
#define LOOP_VISIT_H

#include "acceptor.h"
#include "head.h"

enum { VISITS_REFUSED = 16, VISIT_LINGER_MS = 2000 };

struct visits; /* a listening socket and who visits it */
struct visit;

struct visit_reply {
    int status;
    const char *type;  /* of the body */
    struct buf fields; /* more fields, each "Name: value\r\n" */
    bool head_only;    /* it was a HEAD: the body is counted and not sent */
    struct buf body;
};

struct visits_options {
    uint32_t max;
    size_t body_bytes; /* of a request, at most */
    uint64_t request_ms, reply_ms;
    /* The request is here. From now on the owner owes one visit_answer; until then the visit lives. */
    void (*asked)(void *arg, struct visit *visit);
    /* The answer that is owed will reach nobody: the client ended the connection or its sending half, or
     * visits_close was called. It is owed all the same. At most once; may be NULL. */
    void (*gone)(void *arg, struct visit *visit);
    /* Fills the reply to what never was a request. rc: ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED,
     * ERR_UNAVAILABLE (one visit too many). */
    void (*refused)(void *arg, int rc, const char *why, struct visit_reply *reply);
    void *arg;
};

/* Listens at the endpoint. Errors as endpoint_listen and acceptor_open. */
MUST_CHECK int visits_open(struct visits **out, uv_loop_t *loop, const struct endpoint *endpoint,
                           const struct visits_options *options, struct err *err);
/* Accepts no more and ends every visit (`gone` for those who are owed an answer). Nulls *visits; the memory
 * goes with the last visit. Safe on NULL. */
void visits_close(struct visits **visits);
const struct endpoint *visits_endpoint(const struct visits *visits);

/* What was asked: valid until visit_answer. */
const struct head *visit_head(const struct visit *visit);
struct slice visit_body(const struct visit *visit);
int visit_fd(const struct visit *visit);
/* A pointer of the owner's. */
void visit_set_data(struct visit *visit, void *data);
void *visit_data(const struct visit *visit);

/* Sends the answer; takes reply->fields and reply->body. The visit is not the owner's any more. */
void visit_answer(struct visit *visit, struct visit_reply *reply);

#endif
