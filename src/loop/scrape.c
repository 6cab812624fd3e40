/* SPDX-License-Identifier: Apache-2.0
 *
 * scrape: one request head in, one answer out, goodbye. See scrape.h.
 */
#include "scrape.h"

#include "conn.h"
#include "ticker.h"

#include <stdlib.h>

struct visit {
    struct conn conn; /* first */
    struct scrape *scrape;
    struct visit *prev, *next;
    struct ticker *timeout;
    uv_write_t write;
    size_t head_bytes;
    char head[SCRAPE_REQUEST_BYTES];
    struct buf answer;
    bool answering;
};

struct scrape {
    struct acceptor *acceptor;
    scrape_render render;
    void *arg;
    struct visit *visits;
    int visit_count;
    bool closing;
};

static void free_when_done(struct scrape *scrape)
{
    if (scrape->closing && scrape->visit_count == 0)
        free(scrape);
}

static void on_closed(struct conn *conn)
{
    struct visit *visit = (struct visit *)conn;
    struct scrape *scrape = visit->scrape;
    if (visit->prev != NULL)
        visit->prev->next = visit->next;
    else
        scrape->visits = visit->next;
    if (visit->next != NULL)
        visit->next->prev = visit->prev;
    scrape->visit_count--;
    buf_fini(&visit->answer);
    free(visit);
    free_when_done(scrape);
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

/* "GET /metrics HTTP/1.1" → the status to answer with. */
static int judge(struct slice head, bool *with_body)
{
    struct slice line, method, target;
    *with_body = true;
    if (!slice_split(&head, '\n', &line) || !slice_split(&line, ' ', &method) ||
        !slice_split(&line, ' ', &target) || line.n < 6 || memcmp(line.p, "HTTP/1", 6) != 0)
        return 400;
    *with_body = !slice_equal(method, SLICE("HEAD"));
    if (*with_body && !slice_equal(method, SLICE("GET")))
        return 405;
    struct slice path;
    if (!slice_split(&target, '?', &path) || !slice_equal(path, SLICE("/metrics")))
        return 404;
    return 200;
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Request";
    }
}

static int compose(struct visit *visit, int status, bool with_body)
{
    struct buf text = {.limit = SCRAPE_TEXT_BYTES};
    buf_init(&visit->answer, SCRAPE_TEXT_BYTES + 512);
    if (status == 200 && visit->scrape->render(visit->scrape->arg, &text) != 0)
        status = 500;
    if (status != 200) {
        buf_clear(&text);
        int rc = buf_addf(&text, "%s (there is GET /metrics and nothing else)\n", reason_of(status));
        (void)rc; /* then the body stays empty */
    }
    int rc = buf_addf(&visit->answer,
                      "HTTP/1.0 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                      "Content-Length: %zu\r\n%sCache-Control: no-store\r\nConnection: close\r\n\r\n",
                      status, reason_of(status), text.n, status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (rc == 0 && with_body)
        rc = buf_add_slice(&visit->answer, buf_slice(&text));
    buf_fini(&text);
    return rc;
}

static void answer(struct visit *visit, int status, bool with_body)
{
    visit->answering = true;
    if (compose(visit, status, with_body) != 0) {
        leave(visit);
        return;
    }
    visit->write.data = visit;
    uv_buf_t bytes = uv_buf_init(visit->answer.p, (unsigned)visit->answer.n);
    if (uv_write(&visit->write, &visit->conn.handle.stream, &bytes, 1, on_written) != 0)
        leave(visit);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    (void)hint;
    static char waste[1024]; /* what comes after the head is read and forgotten, so that close sends no RST */
    struct visit *visit = handle->data;
    size_t room = sizeof visit->head - visit->head_bytes;
    *out = visit->answering ? uv_buf_init(waste, sizeof waste)
                            : uv_buf_init(visit->head + visit->head_bytes, (unsigned)room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    (void)bytes;
    struct visit *visit = stream->data;
    if (n < 0 && !visit->answering)
        leave(visit);
    if (n < 0)
        (void)uv_read_stop(stream);
    if (n <= 0 || visit->answering)
        return;
    visit->head_bytes += (size_t)n;
    struct slice head = {visit->head, visit->head_bytes};
    bool with_body = true;
    if (memmem(head.p, head.n, "\r\n\r\n", 4) != NULL || memmem(head.p, head.n, "\n\n", 2) != NULL) {
        int status = judge(head, &with_body);
        answer(visit, status, with_body);
    } else if (visit->head_bytes == sizeof visit->head) {
        answer(visit, 431, with_body);
    }
}

static void on_connection(void *arg, struct acceptor *acceptor)
{
    struct scrape *scrape = arg;
    struct visit *visit = calloc(1, sizeof *visit);
    if (visit == NULL) {
        acceptor_turn_away(acceptor);
        return;
    }
    visit->scrape = scrape;
    visit->next = scrape->visits;
    if (visit->next != NULL)
        visit->next->prev = visit;
    scrape->visits = visit;
    scrape->visit_count++;
    if (conn_accept(&visit->conn, acceptor, on_closed) != 0)
        return;
    if (scrape->visit_count > SCRAPE_CONNECTIONS ||
        ticker_create(&visit->timeout, visit->conn.handle.any.loop, on_timeout, visit) != 0 ||
        uv_read_start(&visit->conn.handle.stream, on_alloc, on_read) != 0) {
        leave(visit);
        return;
    }
    ticker_set(visit->timeout, SCRAPE_TIMEOUT_MS, 0);
}

int scrape_open(struct scrape **out, uv_loop_t *loop, const char *address, scrape_render render, void *arg,
                struct err *err)
{
    struct endpoint endpoint;
    int fd, rc = endpoint_parse(slice_of(address), &endpoint, err);
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
    rc = endpoint_listen(&endpoint, &fd, err);
    if (rc == 0)
        rc = acceptor_open(&scrape->acceptor, loop, fd, true, on_connection, scrape, err);
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
    self->closing = true;
    acceptor_close(&self->acceptor);
    for (struct visit *visit = self->visits; visit != NULL; visit = visit->next)
        leave(visit);
    free_when_done(self);
}

const struct endpoint *scrape_endpoint(const struct scrape *scrape)
{
    return acceptor_endpoint(scrape->acceptor);
}
