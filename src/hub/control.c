/* SPDX-License-Identifier: Apache-2.0
 *
 * control: see control.h. A visit is one connection; it dies when its handle is closed and its handler, if
 * one runs, has come back.
 */
#include "control.h"

#include "base/log.h"
#include "head.h"
#include "loop/conn.h"
#include "loop/ticker.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { READ_BYTES = 64 * 1024, CALLER_BYTES = 32 };

struct visit {
    struct conn conn; /* first */
    struct control *control;
    struct visit *prev, *next;
    struct ticker *timeout;
    struct buf in, out, head_out; /* request; body and head of the reply */
    struct head head;
    char caller[CALLER_BYTES];
    uv_work_t work;
    uv_write_t write;
    struct store *store; /* as it was when the handler was started */
    int status;
    _Atomic bool worker_has_it; /* passes the visit to the worker and back; libuv's locks do that already, */
                                /* but race detectors can't look into libuv */
    bool working, closed, answered;
};

/* An account handle that one worker at a time borrows. */
struct handle {
    struct handle *next;
    struct account *account;
};

struct control {
    uv_loop_t *loop;
    struct acceptor *acceptor;
    struct api_context context;
    const char *account_path;
    pthread_mutex_t lock; /* of idle */
    struct handle *idle;
    struct visit *visits;
    int visit_count;
    _Atomic uint64_t requests, refused;
    bool closing;
};

static void free_when_done(struct control *control)
{
    if (!control->closing || control->visit_count > 0)
        return;
    while (control->idle != NULL) {
        struct handle *handle = control->idle;
        control->idle = handle->next;
        account_close(&handle->account);
        free(handle);
    }
    pthread_mutex_destroy(&control->lock);
    free(control);
}

static void free_visit(struct visit *visit)
{
    struct control *control = visit->control;
    if (visit->prev != NULL)
        visit->prev->next = visit->next;
    else
        control->visits = visit->next;
    if (visit->next != NULL)
        visit->next->prev = visit->prev;
    control->visit_count--;
    buf_fini(&visit->in);
    buf_fini(&visit->out);
    buf_fini(&visit->head_out);
    free(visit);
    free_when_done(control);
}

static void on_closed(struct conn *conn)
{
    struct visit *visit = (struct visit *)conn;
    visit->closed = true;
    if (!visit->working)
        free_visit(visit);
}

static void leave(struct visit *visit)
{
    ticker_destroy(&visit->timeout);
    conn_close(&visit->conn);
}

static void on_timeout(void *arg)
{
    leave(arg);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    leave(write->data);
}

static void reply(struct visit *visit)
{
    visit->control->requests++;
    visit->control->refused += visit->status >= 400;
    buf_init(&visit->head_out, 1024);
    visit->answered = true;
    if (head_write(&visit->head_out, visit->status, visit->out.n) != 0) {
        leave(visit);
        return;
    }
    uv_buf_t parts[] = {uv_buf_init(visit->head_out.p, (unsigned)visit->head_out.n),
                        uv_buf_init(visit->out.p, (unsigned)visit->out.n)};
    visit->write.data = visit;
    ticker_set(visit->timeout, CONTROL_REPLY_MS, 0);
    if (uv_write(&visit->write, &visit->conn.handle.stream, parts, visit->out.n > 0 ? 2 : 1, on_written) != 0)
        leave(visit);
}

/* For what never reached a handler. */
static void refuse(struct visit *visit, int rc, const char *why)
{
    visit->status = err_http_status(rc);
    buf_clear(&visit->out);
    (void)!buf_addf(&visit->out, "{\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}",
                    err_text(rc), visit->status, err_name(rc), why);
    reply(visit);
}

static struct handle *borrow_handle(struct control *control, struct err *err)
{
    pthread_mutex_lock(&control->lock);
    struct handle *handle = control->idle;
    if (handle != NULL)
        control->idle = handle->next;
    pthread_mutex_unlock(&control->lock);
    if (handle != NULL)
        return handle;
    handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        (void)err_set(err, ERR_NO_MEMORY, "out of memory");
    else if (account_open(&handle->account, control->account_path, err) != 0) {
        free(handle);
        handle = NULL;
    }
    return handle;
}

static void give_back(struct control *control, struct handle *handle)
{
    pthread_mutex_lock(&control->lock);
    handle->next = control->idle;
    control->idle = handle;
    pthread_mutex_unlock(&control->lock);
}

/* Worker thread. */
static void answer(struct visit *visit)
{
    struct err err = {0};
    struct api_context context = visit->control->context;
    struct handle *handle = borrow_handle(visit->control, &err);
    if (handle == NULL) {
        visit->status = err_http_status(err.code);
        (void)!buf_addf(
            &visit->out,
            "{\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"the account file can't be "
            "opened, see the hub's log\"}",
            err_text(err.code), visit->status, err_name(err.code));
        log_error("control: %s", err_detail(&err));
        return;
    }
    context.account = handle->account;
    context.store = visit->store;
    struct api_request asked = {
        .caller = {.operator_ = true,
                   .scopes = SCOPE_INGEST | SCOPE_READ | SCOPE_MANAGE,
                   .name = visit->caller},
        .method = visit->head.method,
        .path = visit->head.target,
        .body = {visit->in.p + visit->head.body_at, visit->head.body_bytes},
    };
    api_handle(&context, &asked, &visit->status, &visit->out);
    give_back(visit->control, handle);
}

static void work(uv_work_t *request)
{
    struct visit *visit = (struct visit *)((char *)request - offsetof(struct visit, work));
    if (visit->worker_has_it)
        answer(visit);
    visit->worker_has_it = false;
}

static void worked(uv_work_t *request, int status)
{
    struct visit *visit = (struct visit *)((char *)request - offsetof(struct visit, work));
    assert(status != 0 || !visit->worker_has_it);
    visit->working = false;
    if (visit->closed)
        free_visit(visit);
    else if (status != 0 || conn_is_closing(&visit->conn))
        leave(visit);
    else
        reply(visit);
}

static void start_work(struct visit *visit)
{
    ticker_stop(visit->timeout);
    buf_init(&visit->out, CONTROL_REPLY_BYTES);
    visit->store = visit->control->context.store;
    visit->working = true;
    visit->worker_has_it = true;
    if (uv_queue_work(visit->control->loop, &visit->work, work, worked) != 0) {
        visit->working = false;
        leave(visit);
    }
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    static char waste[1024]; /* what comes behind the request is read and forgotten: only the end matters */
    struct visit *visit = handle->data;
    (void)hint;
    if (visit->working || visit->answered)
        *out = uv_buf_init(waste, sizeof waste);
    else if (buf_reserve(&visit->in, READ_BYTES) == 0)
        *out = uv_buf_init(visit->in.p + visit->in.n, READ_BYTES);
    else
        *out = uv_buf_init(NULL, 0); /* on_read hears UV_ENOBUFS */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    (void)bytes;
    struct err err = {0};
    struct visit *visit = stream->data;
    if (n < 0 && !visit->answered)
        leave(visit);
    if (n < 0)
        (void)uv_read_stop(stream);
    if (n <= 0 || visit->working || visit->answered)
        return;
    visit->in.n += (size_t)n;
    int rc = head_parse(buf_slice(&visit->in), API_BODY_BYTES, &visit->head, &err);
    if (rc == ERR_MORE || (rc == 0 && visit->in.n - visit->head.body_at < visit->head.body_bytes))
        return;
    if (rc == 0)
        start_work(visit);
    else
        refuse(visit, rc, err_detail(&err));
}

/* The audit names the peer's user id, as the kernel tells it. */
static void name_caller(struct visit *visit)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    uv_os_fd_t fd;
    (void)snprintf(visit->caller, sizeof visit->caller, "control socket");
    if (uv_fileno(&visit->conn.handle.any, &fd) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        (void)snprintf(visit->caller, sizeof visit->caller, "uid %u", peer.uid);
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    struct control *control = arg;
    struct visit *visit = calloc(1, sizeof *visit);
    if (visit == NULL)
        return; /* it waits in the backlog */
    visit->control = control;
    buf_init(&visit->in, HEAD_BYTES + API_BODY_BYTES + 2 * READ_BYTES);
    buf_init(&visit->out, READ_BYTES);
    visit->next = control->visits;
    if (visit->next != NULL)
        visit->next->prev = visit;
    control->visits = visit;
    control->visit_count++;
    if (conn_accept(&visit->conn, acceptor, on_closed) != 0)
        return;
    if (control->visit_count > CONTROL_VISITS ||
        ticker_create(&visit->timeout, control->loop, on_timeout, visit) != 0 ||
        uv_read_start(&visit->conn.handle.stream, on_alloc, on_read) != 0) {
        leave(visit);
        return;
    }
    name_caller(visit);
    ticker_set(visit->timeout, CONTROL_REQUEST_MS, 0);
}

static int listen_at(struct control *control, const char *path, struct err *err)
{
    struct endpoint endpoint = {.kind = ENDPOINT_UNIX, .mode = 0660};
    int fd;
    if (slice_to_string(slice_of(path), endpoint.path, sizeof endpoint.path) != 0)
        return err_set(err, ERR_CONFIG,
                       "control socket %s: a socket's path has at most %d bytes: set control_socket to a "
                       "shorter one, such as /run/mail-analytics/control.sock",
                       path, ENDPOINT_PATH_BYTES - 1);
    int rc = endpoint_listen(&endpoint, &fd, err);
    return rc != 0 ? rc
                   : acceptor_open(&control->acceptor, control->loop, fd, true, on_connection, control, err);
}

int control_open(struct control **out, uv_loop_t *loop, const struct control_options *options,
                 struct err *err)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the control socket");
    control->loop = loop;
    control->context = options->context;
    control->context.store = NULL;
    control->account_path = options->account_path;
    int rc = pthread_mutex_init(&control->lock, NULL) != 0
                 ? err_set(err, ERR_NO_MEMORY, "no memory for a mutex")
                 : 0;
    if (rc == 0 && (rc = listen_at(control, options->path, err)) != 0)
        pthread_mutex_destroy(&control->lock);
    if (rc != 0)
        free(control);
    else
        *out = control;
    return rc;
}

void control_close(struct control **control)
{
    struct control *self = *control;
    *control = NULL;
    if (self == NULL)
        return;
    self->closing = true;
    acceptor_close(&self->acceptor);
    for (struct visit *visit = self->visits; visit != NULL; visit = visit->next) {
        leave(visit);
        if (visit->working)
            (void)uv_cancel((uv_req_t *)&visit->work); /* when no worker has taken it yet */
    }
    free_when_done(self);
}

void control_set_store(struct control *control, struct store *store)
{
    control->context.store = store;
}

void control_get_stats(const struct control *control, struct control_stats *out)
{
    *out = (struct control_stats){.requests = control->requests, .refused = control->refused};
}
