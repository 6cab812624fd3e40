/* SPDX-License-Identifier: Apache-2.0
 *
 * visit: see visit.h. A visit dies when its handle is closed and nobody owes it an answer.
 */
#include "visit.h"

#include "conn.h"
#include "ticker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { READ_BYTES = 16 * 1024, HEAD_OUT_BYTES = 8 * 1024 };

enum state { READING, OWED, ANSWERED, LINGERING };

struct visit {
    struct conn conn; /* first */
    struct visits *visits;
    struct visit *prev, *next;
    struct ticker *timeout;
    struct buf in, head_out, body; /* request; the reply's head and body */
    struct head head;
    uv_write_t write;
    uv_shutdown_t shutdown;
    void *data;
    enum state state;
    bool counted; /* it has one of the max places */
    bool ended;   /* the client sends no more */
    bool closed;
};

struct visits {
    struct visits_options options;
    struct acceptor *acceptor;
    struct visit *first;
    uint32_t count, served;
    bool closing;
};

static void free_when_done(struct visits *visits)
{
    if (visits->closing && visits->count == 0)
        free(visits);
}

static void give_place_back(struct visit *visit)
{
    if (visit->counted)
        visit->visits->served--;
    visit->counted = false;
}

static void free_visit(struct visit *visit)
{
    struct visits *visits = visit->visits;
    if (visit->prev != NULL)
        visit->prev->next = visit->next;
    else
        visits->first = visit->next;
    if (visit->next != NULL)
        visit->next->prev = visit->prev;
    give_place_back(visit);
    visits->count--;
    buf_fini(&visit->in);
    buf_fini(&visit->head_out);
    buf_fini(&visit->body);
    free(visit);
    free_when_done(visits);
}

static void on_closed(struct conn *conn)
{
    struct visit *visit = (struct visit *)conn;
    visit->closed = true;
    if (visit->state != OWED)
        free_visit(visit);
}

static void leave(struct visit *visit)
{
    const struct visits_options *options = &visit->visits->options;
    if (conn_is_closing(&visit->conn))
        return;
    ticker_destroy(&visit->timeout);
    conn_close(&visit->conn);
    if (visit->state == OWED && options->gone != NULL)
        options->gone(options->arg, visit);
}

static void on_timeout(void *arg)
{
    leave(arg);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void on_written(uv_write_t *write, int status)
{
    if (status != 0)
        leave(write->data);
}

/* All is sent. The client closes first, or what it still sends would cost it the answer. */
static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct visit *visit = shutdown->data;
    visit->state = LINGERING;
    give_place_back(visit);
    if (status != 0 || visit->ended)
        leave(visit);
    else if (!conn_is_closing(&visit->conn))
        ticker_set(visit->timeout, VISIT_LINGER_MS, 0);
}

static int send_reply(struct visit *visit, const struct visit_reply *reply)
{
    uv_stream_t *stream = &visit->conn.handle.stream;
    buf_init(&visit->head_out, HEAD_OUT_BYTES);
    if (head_write(&visit->head_out, reply->status, reply->type, buf_slice(&reply->fields), visit->body.n) !=
        0)
        return ERR_NO_MEMORY;
    uv_buf_t parts[] = {uv_buf_init(visit->head_out.p, (unsigned)visit->head_out.n),
                        uv_buf_init(visit->body.p, (unsigned)visit->body.n)};
    unsigned count = visit->body.n > 0 && !reply->head_only ? 2 : 1;
    visit->write.data = visit->shutdown.data = visit;
    ticker_set(visit->timeout, visit->visits->options.reply_ms, 0);
    if (uv_write(&visit->write, stream, parts, count, on_written) != 0)
        return ERR_IO;
    return uv_shutdown(&visit->shutdown, stream, on_shutdown) == 0 ? 0 : ERR_IO;
}

void visit_answer(struct visit *visit, struct visit_reply *reply)
{
    assert(visit->state == OWED);
    visit->state = ANSWERED;
    visit->body = reply->body;
    reply->body = (struct buf){0};
    if (visit->closed)
        free_visit(visit);
    else if (!conn_is_closing(&visit->conn) && send_reply(visit, reply) != 0)
        leave(visit);
    buf_fini(&reply->fields);
}

static void refuse(struct visit *visit, int rc, const char *why)
{
    const struct visits_options *options = &visit->visits->options;
    struct visit_reply reply = {.status = err_http_status(rc)};
    options->refused(options->arg, rc, why, &reply);
    visit->state = OWED;
    visit_answer(visit, &reply);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    static char waste[READ_BYTES]; /* what comes behind the request is read and forgotten */
    struct visit *visit = handle->data;
    (void)hint;
    if (visit->state != READING)
        *out = uv_buf_init(waste, sizeof waste);
    else if (buf_reserve(&visit->in, READ_BYTES) == 0)
        *out = uv_buf_init(visit->in.p + visit->in.n, READ_BYTES);
    else
        *out = uv_buf_init(NULL, 0); /* on_read hears UV_ENOBUFS */
}

static void take(struct visit *visit)
{
    struct err err = {0};
    const struct visits_options *options = &visit->visits->options;
    int rc = head_parse(buf_slice(&visit->in), options->body_bytes, &visit->head, &err);
    if (rc == ERR_MORE || (rc == 0 && visit->in.n - visit->head.body_at < visit->head.body_bytes))
        return;
    if (rc != 0) {
        refuse(visit, rc, err_detail(&err));
        return;
    }
    visit->state = OWED;
    ticker_stop(visit->timeout);
    options->asked(options->arg, visit);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct visit *visit = stream->data;
    (void)bytes;
    if (n < 0) {
        (void)uv_read_stop(stream);
        visit->ended = true;
        if (visit->state != ANSWERED) /* else the answer is on its way */
            leave(visit);
    } else if (n > 0 && visit->state == READING) {
        visit->in.n += (size_t)n;
        take(visit);
    }
}

static void begin(struct visit *visit)
{
    struct visits *visits = visit->visits;
    char why[64];
    if (ticker_create(&visit->timeout, visit->conn.handle.any.loop, on_timeout, visit) != 0 ||
        uv_read_start(&visit->conn.handle.stream, on_alloc, on_read) != 0) {
        leave(visit);
        return;
    }
    if (visits->served == visits->options.max) {
        (void)snprintf(why, sizeof why, "%u others are being served: try again", visits->served);
        refuse(visit, ERR_UNAVAILABLE, why);
        return;
    }
    visit->counted = true;
    visits->served++;
    ticker_set(visit->timeout, visits->options.request_ms, 0);
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    struct visits *visits = arg;
    struct visit *visit =
        visits->count < visits->options.max + VISITS_REFUSED ? calloc(1, sizeof *visit) : NULL;
    if (visit == NULL) {
        acceptor_turn_away(acceptor);
        return;
    }
    visit->visits = visits;
    buf_init(&visit->in, HEAD_BYTES + visits->options.body_bytes + 2 * (size_t)READ_BYTES);
    visit->next = visits->first;
    if (visit->next != NULL)
        visit->next->prev = visit;
    visits->first = visit;
    visits->count++;
    if (conn_accept(&visit->conn, acceptor, on_closed) == 0)
        begin(visit);
}

/* ---- the socket ------------------------------------------------------------------------------ */

int visits_open(struct visits **out, uv_loop_t *loop, const struct endpoint *endpoint,
                const struct visits_options *options, struct err *err)
{
    int fd;
    struct visits *visits = calloc(1, sizeof *visits);
    if (visits == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a listening socket");
    visits->options = *options;
    int rc = endpoint_listen(endpoint, &fd, err);
    if (rc == 0)
        rc = acceptor_open(&visits->acceptor, loop, fd, true, on_connection, visits, err);
    if (rc != 0)
        free(visits);
    else
        *out = visits;
    return rc;
}

void visits_close(struct visits **visits)
{
    struct visits *self = *visits;
    *visits = NULL;
    if (self == NULL)
        return;
    self->closing = true;
    acceptor_close(&self->acceptor);
    for (struct visit *visit = self->first; visit != NULL; visit = visit->next)
        leave(visit);
    free_when_done(self);
}

const struct endpoint *visits_endpoint(const struct visits *visits)
{
    return acceptor_endpoint(visits->acceptor);
}

const struct head *visit_head(const struct visit *visit)
{
    return &visit->head;
}

struct slice visit_body(const struct visit *visit)
{
    return (struct slice){visit->in.p + visit->head.body_at, visit->head.body_bytes};
}

int visit_fd(const struct visit *visit)
{
    return visit->conn.fd;
}

void visit_set_data(struct visit *visit, void *data)
{
    visit->data = data;
}

void *visit_data(const struct visit *visit)
{
    return visit->data;
}
