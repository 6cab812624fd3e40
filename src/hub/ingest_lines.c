/* SPDX-License-Identifier: Apache-2.0
 *
 * ingest_lines: lines of JSON, cut into strands (intake.h): lines of one stream that follow one another, as
 * many as a batch takes. A portion of strands goes to the receiving thread, then the next, until the lines
 * are used up. What is partly known comes back and is cut anew behind what is known, with what follows it in
 * its stream.
 */
#include "ingest_impl.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

static void forget_span(struct job *job, size_t i)
{
    free(job->spans[i].body);
    job->spans[i].body = NULL;
}

void ingest_lines_fini(struct job *job)
{
    for (size_t i = 0; i < job->strand_count; i++)
        forget_span(job, i);
    buf_fini(&job->told);
}

/* ---- answers --------------------------------------------------------------------------------- */

static const char *code_name(enum refusal code)
{
    return code == REFUSAL_RESYNC ? "order" : frame_refusal_name(code);
}

static bool is_transient(enum refusal code)
{
    return code == REFUSAL_FULL || code == REFUSAL_BUSY;
}

static void tell_refused(struct job *job, size_t number, size_t count, const char *code, const char *reason)
{
    job->refused += count;
    if (job->refusals++ >= INGEST_REFUSALS)
        return;
    json_t *told = json_pack("{s:I, s:I, s:s, s:s}", "line", (json_int_t)number, "count", (json_int_t)count,
                             "code", code, "detail", text_is_utf8(slice_of(reason)) ? reason : "");
    char *text = told != NULL ? json_dumps(told, JSON_COMPACT) : NULL;
    if (text != NULL)
        (void)!buf_addf(&job->told, "%s%s", job->told.n > 0 ? "," : "", text);
    free(text);
    json_decref(told);
}

static void finish(struct job *job)
{
    struct ingest *ingest = job->ingest;
    struct buf *body = &job->reply->body;
    ingest->lines_accepted += job->accepted;
    ingest->lines_known += job->known;
    ingest->lines_refused += job->refused;
    job->reply->type = "application/json";
    if (job->transient)
        ingest_problem(job, 503, "the hub's journal can't take all of it at present: send all of it again");
    else if (buf_addf(body,
                      "{\"accepted\":%" PRIu64 ",\"known\":%" PRIu64 ",\"refused\":%" PRIu64
                      ",\"refusals\":[%.*s]}",
                      job->accepted, job->known, job->refused, (int)job->told.n,
                      job->told.n > 0 ? job->told.p : "") != 0)
        ingest_problem(job, 503, "there is no memory for the answer");
    ingest_finish(job);
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* The next event: *at is right before it then, *behind behind it, and its request in ingest->event. Lines
 * that are none are passed, and told unless they were before. False at the end. */
static bool next_line(struct job *job, struct cursor *at, struct cursor *behind, bool tell, struct line *out)
{
    char reason[LINE_REASON_BYTES];
    struct slice text;
    for (;;) {
        *behind = *at;
        if (!lines_next(&behind->rest, &behind->number, &text))
            return false;
        int rc = behind->number <= LINES_MAX ? line_parse(text, out, &job->ingest->event, reason) : ERR_LIMIT;
        if (rc == 0)
            return true;
        bool over = behind->number > LINES_MAX;
        if (tell)
            tell_refused(job, behind->number, 1, err_name(rc),
                         over ? "a request has at most 20000 lines: send what follows in another" : reason);
        if (over)
            behind->rest = (struct slice){NULL, 0};
        *at = *behind;
    }
}

static bool continues(const struct strand *strand, const struct span *span, const struct line *line)
{
    return memcmp(strand->identity.epoch.b, line->epoch.b, sizeof line->epoch.b) == 0 &&
           line->seq == span->last_seq + 1 && line->after == span->last_seq;
}

static void begin(struct job *job, struct strand *strand, struct span *span, const struct line *line,
                  const struct cursor *at, const struct cursor *behind)
{
    *strand = (struct strand){.tenant = job->tenant, .after = line->after};
    memcpy(strand->source, line->source, sizeof strand->source);
    strand->identity.epoch = line->epoch;
    strand->identity.first_seq = line->seq;
    *span = (struct span){.from = *at, .number = behind->number};
    batch_writer_clear(job->ingest->writer);
}

static int end(struct job *job, struct strand *strand, struct span *span)
{
    struct slice body;
    int rc = batch_writer_finish(job->ingest->writer, &body, &strand->identity.hash);
    span->body = rc == 0 ? malloc(body.n) : NULL;
    if (span->body == NULL)
        return ERR_NO_MEMORY;
    memcpy(span->body, body.p, body.n);
    strand->body = (struct slice){span->body, body.n};
    return 0;
}

/* One strand from *at on, of at most `most` lines; lines up to seq `known` are left out and counted. ERR_END:
 * no more lines. */
struct cut {
    struct cursor *at;
    size_t most;
    uint64_t known;
    bool again; /* what is no event was told before */
    size_t skipped;
};

static int cut_strand(struct job *job, struct cut *cut, struct strand *strand, struct span *span)
{
    struct cursor behind;
    struct line line;
    int rc = 0;
    span->count = 0;
    while (span->count + cut->skipped < cut->most && next_line(job, cut->at, &behind, !cut->again, &line)) {
        if (line.seq <= cut->known) {
            cut->skipped++;
            *cut->at = behind;
            continue;
        }
        if (span->count == 0)
            begin(job, strand, span, &line, cut->at, &behind);
        else if (!continues(strand, span, &line))
            break;
        rc = batch_writer_add(job->ingest->writer, RECORD_POLICY, line.ts_us, buf_slice(&job->ingest->event));
        if (rc != 0)
            break;
        strand->identity.count++;
        span->count++;
        span->last_seq = line.seq;
        *cut->at = behind;
    }
    if (rc != 0 && (rc != ERR_LIMIT || span->count == 0))
        return rc;
    return span->count > 0 ? end(job, strand, span) : ERR_END;
}

/* ---- portions -------------------------------------------------------------------------------- */

/* To the receiving thread with what there is, or to an end. */
static void post_or_finish(struct job *job)
{
    if (job->strand_count == 0) {
        finish(job);
        return;
    }
    job->post.strands = job->strands;
    job->post.strand_count = job->strand_count;
    job->post.peer.address = job->request->peer;
    (void)ingest_post(job);
}

/* As many strands as there is room for. */
static void cut_portion(struct job *job)
{
    int rc = 0;
    while (job->strand_count < POST_STRANDS) {
        struct cut cut = {.at = &job->at, .most = SIZE_MAX};
        size_t i = job->strand_count;
        rc = cut_strand(job, &cut, &job->strands[i], &job->spans[i]);
        if (rc != 0)
            break;
        job->strand_count++;
    }
    if (rc != 0 && rc != ERR_END) {
        job->transient = true;
        finish(job);
        return;
    }
    post_or_finish(job);
}

/* Cuts it anew, in place, behind what is known of it. False: there is no memory. */
static bool cut_again(struct job *job, size_t i)
{
    struct cursor at = job->spans[i].from;
    struct cut cut = {
        .at = &at, .most = job->spans[i].count, .known = job->strands[i].stands_at, .again = true};
    struct strand *strand = &job->strands[i];
    uint64_t stands_at = strand->stands_at;
    forget_span(job, i);
    int rc = cut_strand(job, &cut, strand, &job->spans[i]);
    job->known += cut.skipped;
    strand->after = stands_at;
    return rc == 0;
}

static bool same_stream(const struct strand *a, const struct strand *b)
{
    return epoch_equal(&a->identity.epoch, &b->identity.epoch);
}

/* It was refused for its order only because one before it in its stream is to be cut again. */
static bool waits_for(const struct job *job, size_t again, const struct strand *strand)
{
    for (size_t i = 0; i < again; i++)
        if (same_stream(&job->strands[i], strand))
            return strand->verdict == STRAND_REFUSED && strand->code == REFUSAL_RESYNC;
    return false;
}

static void settle(struct job *job, const struct strand *strand, const struct span *span)
{
    if (strand->verdict == STRAND_ACCEPTED)
        job->accepted += span->count;
    else if (strand->verdict == STRAND_KNOWN)
        job->known += span->count;
    else
        tell_refused(job, span->number, span->count, code_name(strand->code), strand->reason);
    job->transient |= strand->verdict == STRAND_REFUSED && is_transient(strand->code);
}

/* What has a verdict is counted and forgotten; the others move to the front. */
static size_t keep_undecided(struct job *job)
{
    size_t again = 0;
    for (size_t i = 0; i < job->strand_count; i++) {
        bool partly = job->strands[i].verdict == STRAND_PARTLY;
        if ((partly && cut_again(job, i)) || (!partly && waits_for(job, again, &job->strands[i]))) {
            job->strands[again] = job->strands[i];
            job->spans[again] = job->spans[i];
            if (again++ != i)
                job->spans[i].body = NULL;
            continue;
        }
        job->transient |= partly;
        settle(job, &job->strands[i], &job->spans[i]);
        forget_span(job, i);
    }
    return again;
}

void ingest_lines_back(struct job *job)
{
    if (!job->post.complete) {
        job->transient = true;
        finish(job);
        return;
    }
    job->strand_count = keep_undecided(job);
    job->rounds = job->strand_count > 0 ? job->rounds + 1 : 0;
    if (job->rounds > INGEST_ROUNDS)
        job->transient = true;
    if (job->transient)
        finish(job);
    else if (job->strand_count > 0)
        post_or_finish(job);
    else
        cut_portion(job);
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* False: it was refused, and is finished. */
static bool authenticate(struct job *job)
{
    struct ingest *ingest = job->ingest;
    struct account_key key;
    struct err err = {0};
    int rc = ingest->account != NULL ? 0 : account_open(&ingest->account, ingest->account_path, &err);
    if (rc == 0)
        rc = account_key_check(ingest->account, ingest_bearer(job->request->head), &job->request->peer,
                               SCOPE_INGEST, clock_real_us(), &key, &err);
    if (rc == 0) {
        job->tenant = key.tenant;
        return true;
    }
    if (rc == ERR_UNAUTHENTICATED) {
        http_problem(job->reply, 401, "the API key is not known, or its time is over");
        (void)!buf_addf(&job->reply->fields,
                        "WWW-Authenticate: Bearer realm=\"mail-analytics\", error=\"invalid_token\"\r\n");
    } else if (rc == ERR_DENIED) {
        ingest_problem(job, 403, "the API key lacks the scope ingest, or is not for this client address");
    } else {
        log_error("http: %s", err_detail(&err));
        ingest_problem(job, 503, "the account file can't be used, see the hub's log");
    }
    ingest_finish(job);
    return false;
}

void ingest_lines(struct job *job)
{
    if (!authenticate(job))
        return;
    job->at.rest = job->request->body;
    cut_portion(job);
}
