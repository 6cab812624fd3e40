/* SPDX-License-Identifier: Apache-2.0
 *
 * scrape: see scrape.h.
 */
#include "scrape.h"

#include "visit.h"

#include <stdlib.h>

enum {
    BODY_BYTES = 4096, /* of a request: nobody needs one, it is not read */
    FIELDS_BYTES = 64,
};

static const char text_type[] = "text/plain; version=0.0.4; charset=utf-8";

struct scrape {
    struct visits *visits;
    scrape_render render;
    void *arg;
};

static int judge(const struct head *head, bool head_only)
{
    struct slice target = head->target, path;
    if (!slice_split(&target, '?', &path) || !slice_equal(path, SLICE("/metrics")))
        return 404;
    return head_only || slice_equal(head->method, SLICE("GET")) ? 200 : 405;
}

/* What is not said for lack of memory leaves the body empty: the status still tells. */
static void say(struct visit_reply *reply, const char *what)
{
    buf_clear(&reply->body);
    (void)!buf_addf(&reply->body, "%s (there is GET /metrics and nothing else)\n", what);
}

static void on_asked(void *arg, struct visit *visit)
{
    struct scrape *scrape = arg;
    const struct head *head = visit_head(visit);
    struct visit_reply reply = {.type = text_type, .head_only = slice_equal(head->method, SLICE("HEAD"))};
    buf_init(&reply.body, SCRAPE_TEXT_BYTES);
    reply.status = judge(head, reply.head_only);
    if (reply.status == 200 && scrape->render(scrape->arg, &reply.body) != 0) {
        reply.status = 500;
        say(&reply, "the metrics can't be written");
    } else if (reply.status == 405) {
        reply.fields.limit = FIELDS_BYTES;
        (void)!buf_addf(&reply.fields, "Allow: GET, HEAD\r\n");
        say(&reply, "that method isn't taken");
    } else if (reply.status == 404) {
        say(&reply, "no such path");
    }
    visit_answer(visit, &reply);
}

static void on_refused(void *arg, int rc, const char *why, struct visit_reply *reply)
{
    (void)arg, (void)rc;
    reply->type = text_type;
    buf_init(&reply->body, SCRAPE_TEXT_BYTES);
    say(reply, why);
}

int scrape_open(struct scrape **out, uv_loop_t *loop, const char *address, scrape_render render, void *arg,
                struct err *err)
{
    struct endpoint endpoint;
    int rc = endpoint_parse(slice_of(address), &endpoint, err);
    if (rc != 0)
        return rc;
    if (!endpoint_is_local(&endpoint))
        return err_set(err, ERR_CONFIG,
                       "metrics '%s' is beyond loopback (choose a loopback address: it is plain HTTP)",
                       address);
    struct scrape *scrape = calloc(1, sizeof *scrape);
    if (scrape == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for metrics");
    scrape->render = render;
    scrape->arg = arg;
    struct visits_options options = {
        .max = SCRAPE_CONNECTIONS,
        .body_bytes = BODY_BYTES,
        .request_ms = SCRAPE_TIMEOUT_MS,
        .reply_ms = SCRAPE_TIMEOUT_MS,
        .asked = on_asked,
        .refused = on_refused,
        .arg = scrape,
    };
    rc = visits_open(&scrape->visits, loop, &endpoint, &options, err);
    if (rc != 0)
        free(scrape);
    else
        *out = scrape;
    return rc;
}

void scrape_close(struct scrape **scrape)
{
    struct scrape *self = *scrape;
    *scrape = NULL;
    if (self == NULL)
        return;
    visits_close(&self->visits); /* nobody is owed an answer: they were given at once */
    free(self);
}

const struct endpoint *scrape_endpoint(const struct scrape *scrape)
{
    return visits_endpoint(scrape->visits);
}
