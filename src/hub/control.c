/* SPDX-License-Identifier: Apache-2.0
 *
 * control: see control.h. A question is one visit's: made when it has asked, freed when it is answered.
 */
#include "control.h"

#include "base/log.h"
#include "handles.h"
#include "loop/visit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { CALLER_BYTES = 32 };

struct question {
    struct control *control;
    struct visit *visit;
    uv_work_t work;
    struct api_reply reply;
    char caller[CALLER_BYTES];
    struct store *store;   /* as it was when the handler was started */
    atomic_bool cancelled; /* nobody waits for it */
    _Atomic bool
        worker_has_it; /* passes the question to the worker and back; libuv's locks do that already, */
                       /* but race detectors can't look into libuv */
};

struct control {
    uv_loop_t *loop;
    struct visits *visits;
    struct api_context context;
    struct handles *handles;
    int questions; /* that are not answered */
    _Atomic uint64_t requests, refused;
    bool closing;
};

static void free_when_done(struct control *control)
{
    if (!control->closing || control->questions > 0)
        return;
    handles_destroy(&control->handles);
    free(control);
}

/* For what never reached a handler. */
static void write_problem(int rc, const char *why, struct api_reply *reply)
{
    reply->status = err_http_status(rc);
    reply->type = API_PROBLEM;
    buf_clear(&reply->body);
    (void)!buf_addf(&reply->body, "{\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}",
                    err_text(rc), reply->status, err_name(rc), why);
}

static void send_reply(struct control *control, struct visit *visit, struct api_reply *reply)
{
    struct visit_reply sent = {
        .status = reply->status, .type = reply->type, .fields = reply->fields, .body = reply->body};
    control->requests++;
    control->refused += reply->status >= 400;
    visit_answer(visit, &sent);
}

static void on_refused(void *arg, int rc, const char *why, struct visit_reply *reply)
{
    struct control *control = arg;
    struct api_reply problem;
    control->requests++;
    control->refused++;
    api_reply_init(&problem, CONTROL_REPLY_BYTES);
    write_problem(rc, why, &problem);
    *reply = (struct visit_reply){
        .status = problem.status, .type = problem.type, .fields = problem.fields, .body = problem.body};
}

static void answer_and_free(struct question *question)
{
    struct control *control = question->control;
    send_reply(control, question->visit, &question->reply);
    free(question);
    control->questions--;
    free_when_done(control);
}

/* Worker thread. */
static void answer(struct question *question)
{
    struct err err = {0};
    struct handle *handle;
    struct control *control = question->control;
    struct api_context context = control->context;
    if (handles_borrow(control->handles, &handle, &err) != 0) {
        write_problem(err.code, "the account file can't be opened, see the hub's log", &question->reply);
        log_error("control: %s", err_detail(&err));
        return;
    }
    context.account = handle_account(handle);
    context.store = question->store;
    struct api_request asked = {
        .caller = {.operator_ = true,
                   .scopes = SCOPE_INGEST | SCOPE_READ | SCOPE_MANAGE,
                   .name = question->caller},
        .method = visit_head(question->visit)->method,
        .path = visit_head(question->visit)->target,
        .body = visit_body(question->visit),
        .cancelled = &question->cancelled,
        .if_match = SLICE("*"), /* the operator means what is there, whatever it is */
    };
    api_handle(&context, &asked, &question->reply);
    handles_return(control->handles, handle);
}

static struct question *question_of(uv_work_t *work)
{
    return (struct question *)((char *)work - offsetof(struct question, work));
}

static void work(uv_work_t *request)
{
    struct question *question = question_of(request);
    if (question->worker_has_it)
        answer(question);
    question->worker_has_it = false;
}

static void worked(uv_work_t *request, int status)
{
    struct question *question = question_of(request);
    assert(status != 0 || !question->worker_has_it);
    if (status != 0)
        write_problem(ERR_CANCELLED, "nobody waits for it", &question->reply);
    answer_and_free(question);
}

/* The audit names the peer's user id, as the kernel tells it. */
static void name_caller(struct question *question)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;
    (void)snprintf(question->caller, sizeof question->caller, "control socket");
    if (getsockopt(visit_fd(question->visit), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        (void)snprintf(question->caller, sizeof question->caller, "uid %u", peer.uid);
}

static void on_asked(void *arg, struct visit *visit)
{
    struct control *control = arg;
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL) {
        struct api_reply reply;
        api_reply_init(&reply, CONTROL_REPLY_BYTES);
        write_problem(ERR_NO_MEMORY, "out of memory", &reply);
        send_reply(control, visit, &reply);
        return;
    }
    control->questions++;
    question->control = control;
    question->visit = visit;
    question->store = control->context.store;
    api_reply_init(&question->reply, CONTROL_REPLY_BYTES);
    name_caller(question);
    visit_set_data(visit, question);
    question->worker_has_it = true;
    if (uv_queue_work(control->loop, &question->work, work, worked) != 0) {
        write_problem(ERR_NO_MEMORY, "no worker can be started", &question->reply);
        answer_and_free(question);
    }
}

/* Nobody waits for the answer: no worker takes the question any more, or the store ends it. */
static void on_gone(void *arg, struct visit *visit)
{
    struct question *question = visit_data(visit);
    (void)arg;
    if (uv_cancel((uv_req_t *)&question->work) != 0 && question->store != NULL)
        store_cancel(question->store, &question->cancelled);
}

static int listen_at(struct control *control, const char *path, struct err *err)
{
    struct endpoint endpoint = {.kind = ENDPOINT_UNIX, .mode = 0660};
    struct visits_options options = {
        .max = CONTROL_VISITS,
        .body_bytes = API_BODY_BYTES,
        .request_ms = CONTROL_REQUEST_MS,
        .reply_ms = CONTROL_REPLY_MS,
        .asked = on_asked,
        .gone = on_gone,
        .refused = on_refused,
        .arg = control,
    };
    if (slice_to_string(slice_of(path), endpoint.path, sizeof endpoint.path) != 0)
        return err_set(err, ERR_CONFIG,
                       "control socket %s: a socket's path has at most %d bytes: set control_socket to a "
                       "shorter one, such as /run/mail-analytics/control.sock",
                       path, ENDPOINT_PATH_BYTES - 1);
    return visits_open(&control->visits, control->loop, &endpoint, &options, err);
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
    int rc = handles_create(&control->handles, options->account_path, err);
    if (rc == 0)
        rc = listen_at(control, options->path, err);
    if (rc == 0) {
        *out = control;
        return 0;
    }
    handles_destroy(&control->handles);
    free(control);
    return rc;
}

void control_close(struct control **control)
{
    struct control *self = *control;
    *control = NULL;
    if (self == NULL)
        return;
    self->closing = true;
    visits_close(&self->visits);
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
