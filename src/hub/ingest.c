/* SPDX-License-Identifier: Apache-2.0
 *
 * ingest: see ingest.h. This file: the thread and its queue, and frames. ingest_lines.c: lines.
 */
#include "ingest_impl.h"

#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a job's end ----------------------------------------------------------------------------- */

void ingest_problem(struct job *job, int status, const char *detail)
{
    http_problem(job->reply, status, detail);
    if (status == 503)
        (void)!buf_addf(&job->reply->fields, "Retry-After: 2\r\n");
}

void ingest_finish(struct job *job)
{
    struct ingest *ingest = job->ingest;
    struct http_later *later = job->request->later;
    ingest_lines_fini(job);
    buf_fini(&job->post.reply);
    sodium_memzero(&job->secret, sizeof job->secret);
    free(job);
    http_finish(later);
    pthread_mutex_lock(&ingest->lock);
    ingest->jobs--;
    pthread_cond_broadcast(&ingest->changed);
    pthread_mutex_unlock(&ingest->lock);
}

static void put(struct ingest *ingest, struct job *job)
{
    pthread_mutex_lock(&ingest->lock);
    job->next = NULL;
    *ingest->last = job;
    ingest->last = &job->next;
    pthread_cond_broadcast(&ingest->changed);
    pthread_mutex_unlock(&ingest->lock);
}

/* On the receiving thread. */
static void come_back(void *arg, struct post *post)
{
    struct job *job = arg;
    (void)post;
    job->came_back = true;
    put(job->ingest, job);
}

bool ingest_post(struct job *job)
{
    job->post.done = come_back;
    job->post.arg = job;
    int rc = receive_post(job->ingest->receive, &job->post);
    if (rc == 0)
        return true;
    ingest_problem(job, 503,
                   rc == ERR_CANCELLED ? "the hub is stopping"
                                       : "too much comes at once: try again in a second");
    ingest_finish(job);
    return false;
}

/* ---- frames ---------------------------------------------------------------------------------- */

struct slice ingest_bearer(const struct http_head *head)
{
    struct slice value = http_head_field(head, "Authorization");
    size_t n = strlen("Bearer ");
    return value.n < n ? (struct slice){"", 0} : slice_trim((struct slice){value.p + n, value.n - n});
}

/* The link's name at this hub: of the edge's key and its API key as well, so that no other can guess it. */
static void name_route(struct route *route, const struct parcel *parcel, struct slice api_key)
{
    crypto_generichash_state state;
    route->socket = ROUTE_HTTPS;
    route->bytes = crypto_generichash_BYTES;
    (void)crypto_generichash_init(&state, NULL, 0, route->bytes);
    (void)crypto_generichash_update(&state, (const uint8_t *)parcel->edge_key, sizeof parcel->edge_key);
    (void)crypto_generichash_update(&state, parcel->link, sizeof parcel->link);
    (void)crypto_generichash_update(&state, (const uint8_t *)api_key.p, api_key.n);
    (void)crypto_generichash_final(&state, route->id, route->bytes);
}

/* 0, or the status to refuse it with. */
static int open_parcel(struct job *job, const char **why)
{
    struct parcel parcel;
    struct slice api_key = ingest_bearer(job->request->head);
    int rc = parcel_open(job->request->body, &parcel);
    *why = rc == ERR_VERSION ? "another version of parcels is spoken here: update the older side"
           : rc == ERR_LIMIT ? "the parcel has too many frames, or one that is too long"
                             : "the body is no parcel of frames";
    if (rc != 0)
        return 400;
    *why = "the parcel's proof does not hold: it was made for another hub (see server_key at the edge), with "
           "another API key, or was altered on its way";
    if (receive_share(job->ingest->receive, parcel.edge_key, &job->secret) != 0 ||
        parcel_check(&parcel, &job->secret, api_key) != 0)
        return 403;
    memcpy(job->proof, parcel.proof, sizeof job->proof);
    job->post.peer.address = job->request->peer;
    job->post.peer.api_key = api_key;
    memcpy(job->post.peer.curve_key, parcel.edge_key, sizeof parcel.edge_key);
    job->post.frames = parcel.frames;
    name_route(&job->post.peer.route, &parcel, api_key);
    return 0;
}

static void take_frames(struct job *job)
{
    const char *why;
    int status = open_parcel(job, &why);
    job->ingest->parcels++;
    buf_init(&job->post.reply, PARCEL_REPLY_BYTES);
    if (status == 0 && parcel_begin_reply(&job->post.reply) != 0) {
        status = 503;
        why = "there is no memory for the answers";
    }
    if (status == 0) {
        (void)ingest_post(job);
        return;
    }
    job->ingest->bad_parcels += status < 500;
    ingest_problem(job, status, why);
    ingest_finish(job);
}

static void answer_frames(struct job *job)
{
    if (job->post.complete) {
        parcel_seal_reply(&job->post.reply, &job->secret, job->proof);
        job->reply->type = PARCEL_TYPE;
        if (buf_add_slice(&job->reply->body, buf_slice(&job->post.reply)) != 0)
            ingest_problem(job, 503, "there is no memory for the answers");
    } else {
        ingest_problem(job, 503, "the hub's journal can't be written at present: what was sent is not acked");
    }
    ingest_finish(job);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool is_type(const struct http_head *head, const char *type)
{
    struct slice rest = http_head_field(head, "Content-Type"), media;
    return slice_split(&rest, ';', &media) && slice_equal_nocase(slice_trim(media), slice_of(type));
}

static void work(struct job *job)
{
    const struct http_head *head = job->request->head;
    bool frames = is_type(head, PARCEL_TYPE), lines = is_type(head, INGEST_LINES_TYPE);
    if (frames)
        (job->came_back ? answer_frames : take_frames)(job);
    else if (lines)
        (job->came_back ? ingest_lines_back : ingest_lines)(job);
    else {
        ingest_problem(job, 415, "the body has to be " PARCEL_TYPE " or " INGEST_LINES_TYPE);
        ingest_finish(job);
    }
}

/* NULL: it is over. */
static struct job *take(struct ingest *ingest)
{
    pthread_mutex_lock(&ingest->lock);
    while (ingest->first == NULL && !(ingest->stop && ingest->jobs == 0))
        (void)pthread_cond_wait(&ingest->changed, &ingest->lock);
    struct job *job = ingest->first;
    if (job != NULL) {
        ingest->first = job->next;
        if (ingest->first == NULL)
            ingest->last = &ingest->first;
    }
    pthread_mutex_unlock(&ingest->lock);
    return job;
}

static void *run(void *arg)
{
    struct ingest *ingest = arg;
    struct job *job;
    while ((job = take(ingest)) != NULL)
        work(job);
    return NULL;
}

static void destroy(struct ingest *ingest)
{
    account_close(&ingest->account);
    batch_writer_destroy(&ingest->writer);
    buf_fini(&ingest->event);
    (void)pthread_cond_destroy(&ingest->changed);
    (void)pthread_mutex_destroy(&ingest->lock);
    free(ingest);
}

static int start_thread(struct ingest *ingest)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&ingest->thread, NULL, run, ingest);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0)
        (void)pthread_setname_np(ingest->thread, "ingest");
    return failed == 0 ? 0 : ERR_NO_MEMORY;
}

int ingest_start(struct ingest **out, struct receive *receive, const char *account_path, struct err *err)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (ingest == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for ingest");
    ingest->receive = receive;
    ingest->account_path = account_path;
    ingest->last = &ingest->first;
    buf_init(&ingest->event, LINE_BYTES);
    (void)pthread_mutex_init(&ingest->lock, NULL);
    (void)pthread_cond_init(&ingest->changed, NULL);
    int rc = batch_writer_create(&ingest->writer, 1);
    if (rc == 0)
        rc = start_thread(ingest);
    if (rc != 0) {
        destroy(ingest);
        return err_set(err, rc, "the thread of ingest can't be started");
    }
    *out = ingest;
    return 0;
}

void ingest_stop(struct ingest **ingest)
{
    struct ingest *self = *ingest;
    *ingest = NULL;
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    self->stop = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL);
    destroy(self);
}

void ingest_handle(struct ingest *ingest, const struct http_request *request, struct http_reply *reply)
{
    struct job *job = calloc(1, sizeof *job);
    pthread_mutex_lock(&ingest->lock);
    bool full = job == NULL || ingest->jobs >= INGEST_JOBS;
    ingest->jobs += !full;
    pthread_mutex_unlock(&ingest->lock);
    ingest->requests++;
    if (full) {
        free(job);
        http_problem(reply, 503, "too much comes at once: try again in a second");
        (void)!buf_addf(&reply->fields, "Retry-After: 1\r\n");
        http_finish(request->later);
        return;
    }
    job->ingest = ingest;
    job->request = request;
    job->reply = reply;
    buf_init(&job->told, 64 * 1024);
    put(ingest, job);
}

void ingest_get_stats(struct ingest *ingest, struct ingest_stats *out)
{
    *out = (struct ingest_stats){ingest->requests,       ingest->parcels,     ingest->bad_parcels,
                                 ingest->lines_accepted, ingest->lines_known, ingest->lines_refused};
}
