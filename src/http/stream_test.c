/* SPDX-License-Identifier: Apache-2.0
 *
 * stream: replies written piece by piece, from a real server on a loop of its own thread, to clients of every
 * kind: those that read, that leave, that never read.
 */
#include "base/test.h"
#include "http.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, STREAMS = 2, PIECE_BYTES = 1000 };

struct world {
    char dir[32], address[64];
    uv_loop_t loop;
    uv_async_t stop;
    struct http *http;
    struct http_counters counters;
    pthread_t thread;
    _Atomic uint64_t written;     /* bytes that a handler got rid of */
    atomic_int last_rc, returned; /* of the last write or wait; handlers that came back */
};

/* ---- the handlers -------------------------------------------------------------------------------- */

static void serve_three(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    reply->type = "text/plain";
    (void)!buf_addf(&reply->fields, "X-Kind: pieces\r\n");
    for (int i = 0; i < 3; i++)
        if (http_stream_write(request->stream, "0123456789abcdefg", 17) != 0)
            return;
}

static void serve_broken(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    (void)!http_stream_write(request->stream, "half", 4);
    http_problem(reply, 500, "midway");
}

static void serve_nothing(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    (void)request;
    http_problem(reply, 409, "not even begun");
}

static void serve_endless(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = arg;
    static const char piece[PIECE_BYTES];
    int rc = 0;
    (void)reply;
    while (rc == 0) {
        rc = http_stream_write(request->stream, piece, sizeof piece);
        w->written += rc == 0 ? sizeof piece : 0;
    }
    w->last_rc = rc;
    w->returned++;
}

static void serve_following(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = arg;
    (void)reply;
    int rc = http_stream_write(request->stream, "first\n", 6);
    if (rc == 0)
        rc = http_stream_wait(request->stream, 10 * PATIENCE_MS);
    w->last_rc = rc;
    w->returned++;
}

static void serve_short(void *arg, const struct http_request *request, struct http_reply *reply)
{
    (void)arg;
    (void)request;
    (void)!buf_addf(&reply->body, "short");
}

static const struct http_route routes[] = {
    {"GET", "/three", 0, HTTP_STREAM, serve_three},
    {"GET", "/broken", 0, HTTP_STREAM, serve_broken},
    {"GET", "/nothing", 0, HTTP_STREAM, serve_nothing},
    {"GET", "/endless", 0, HTTP_STREAM, serve_endless},
    {"GET", "/following", 0, HTTP_STREAM, serve_following},
    {"GET", "/short", 0, 0, serve_short},
};

/* ---- the server ---------------------------------------------------------------------------------- */

static void on_stop(uv_async_t *stop)
{
    struct world *w = stop->data;
    uv_close((uv_handle_t *)stop, NULL);
    http_close(&w->http);
}

static void *run(void *arg)
{
    struct world *w = arg;
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void open_world(struct world *w, uint64_t reply_ms)
{
    struct err err = {0};
    *w = (struct world){.dir = "/tmp/stream-XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->address, sizeof w->address, "unix:%s/http", w->dir);
    struct http_options options = {.listen = w->address,
                                   .routes = routes,
                                   .route_count = ARRAY_LENGTH(routes),
                                   .arg = w,
                                   .counters = &w->counters,
                                   .max_connections = 20,
                                   .max_per_address = 20,
                                   .workers = 2,
                                   .streams = STREAMS,
                                   .idle_ms = PATIENCE_MS,
                                   .head_ms = PATIENCE_MS,
                                   .body_ms = PATIENCE_MS,
                                   .request_ms = PATIENCE_MS,
                                   .reply_ms = reply_ms};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_async_init(&w->loop, &w->stop, on_stop), 0);
    w->stop.data = w;
    if (http_open(&w->http, &w->loop, &options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
}

static void close_world(struct world *w)
{
    assert_int_equal(uv_async_send(&w->stop), 0);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_int_equal(rmdir(w->dir), 0);
}

/* ---- the clients --------------------------------------------------------------------------------- */

static int ask(const struct world *w, const char *request)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", w->address + strlen("unix:"));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, strlen(request)), (int)strlen(request));
    return fd;
}

/* What comes until `end` was read, or the server's end; false when it was a reset. */
static bool read_until(int fd, const char *end, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got = 1;
    text[0] = '\0';
    while (got > 0 && n + 1 < size && (end == NULL || strstr(text, end) == NULL)) {
        got = read(fd, text + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
        text[n] = '\0';
    }
    return got >= 0;
}

static void wait_until(const atomic_int *number, int wanted)
{
    for (int ms = 0; ms < PATIENCE_MS && *number != wanted; ms++)
        (void)poll(NULL, 0, 1);
    assert_int_equal(*number, wanted);
}

#define GET(path)     "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_OLD(path) "GET " path " HTTP/1.0\r\n\r\n"

/* Removes the framing in place; false: not whole. */
static bool unchunk(char *body)
{
    char *from = body, *to = body;
    for (;;) {
        char *line_end;
        size_t n = strtoul(from, &line_end, 16);
        if (line_end == from || strncmp(line_end, "\r\n", 2) != 0)
            return false;
        from = line_end + 2;
        if (n == 0) {
            *to = '\0';
            return strncmp(from, "\r\n", 2) == 0;
        }
        if (strlen(from) < n + 2 || strncmp(from + n, "\r\n", 2) != 0)
            return false;
        memmove(to, from, n);
        to += n;
        from += n + 2;
    }
}

static void pieces_come_in_chunks_and_the_connection_is_kept(void **state)
{
    (void)state;
    struct world w;
    char text[8192];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET("/three") GET("/short"));
    (void)read_until(fd, "\r\n\r\nshort", text, sizeof text);
    char *body = strstr(text, "\r\n\r\n"), *next = strstr(text, "\r\n0\r\n\r\n");
    assert_non_null(next);
    assert_ptr_equal(strstr(text, "HTTP/1.1 200 OK\r\n"), text);
    assert_non_null(strstr(text, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(text, "Content-Type: text/plain\r\nTransfer"));
    assert_non_null(strstr(text, "X-Kind: pieces\r\n"));
    assert_null(strstr(text, "Connection: close"));
    assert_non_null(strstr(next, "HTTP/1.1 200 OK\r\n"));
    next[strlen("\r\n0\r\n\r\n")] = '\0';
    assert_null(memmem(text, (size_t)(body - text), "Content-Length", 14));
    assert_true(unchunk(body + 4));
    assert_string_equal(body + 4, "0123456789abcdefg0123456789abcdefg0123456789abcdefg");
    close(fd);
    close_world(&w);
    assert_int_equal(w.counters.requests, 2);
}

static void an_old_client_reads_to_the_end(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET_OLD("/three"));
    assert_true(read_until(fd, NULL, text, sizeof text));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_null(strstr(text, "chunked"));
    assert_non_null(strstr(text, "\r\n\r\n0123456789abcdefg0123456789abcdefg0123456789abcdefg"));
    close(fd);
    close_world(&w);
}

static void head_has_the_head_alone(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, "HEAD /endless HTTP/1.1\r\nHost: h\r\n\r\n" GET("/short"));
    (void)read_until(fd, "\r\n\r\nshort", text, sizeof text);
    assert_non_null(strstr(text, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
    wait_until(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    close(fd);
    close_world(&w);
}

static void what_breaks_midway_looks_broken(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET("/broken"));
    assert_true(read_until(fd, NULL, text, sizeof text));
    assert_non_null(strstr(text, "200 OK"));
    char *body = strstr(text, "\r\n\r\n4\r\nhalf\r\n");
    assert_non_null(body);
    assert_string_equal(body, "\r\n\r\n4\r\nhalf\r\n");
    close(fd);
    close_world(&w);
}

static void what_was_not_begun_is_a_problem_as_any(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET("/nothing") GET("/short"));
    (void)read_until(fd, "\r\n\r\nshort", text, sizeof text);
    assert_ptr_equal(strstr(text, "HTTP/1.1 409 "), text);
    assert_non_null(strstr(text, "{\"request_id\":\""));
    assert_non_null(strstr(text, "not even begun"));
    close(fd);
    close_world(&w);
}

static void who_writes_waits_for_who_reads(void **state)
{
    (void)state;
    struct world w;
    char text[65536];
    uint64_t before;
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET("/endless"));
    (void)read_until(fd, "\r\n\r\n", text, sizeof text);
    do { /* until it stands still: our bound and the kernel's buffers */
        before = w.written;
        (void)poll(NULL, 0, 100);
    } while (w.written != before);
    assert_in_range(before, 1, HTTP_STREAM_BYTES + 1024 * 1024);
    for (uint64_t n = 0; n < 4 * (uint64_t)HTTP_STREAM_BYTES;) {
        ssize_t got = read(fd, text, sizeof text);
        assert_true(got > 0);
        n += (uint64_t)got;
    }
    assert_true(w.written > before);
    assert_int_equal(w.returned, 0);
    close(fd);
    wait_until(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    close_world(&w);
    assert_int_equal(w.counters.abandoned, 1);
}

static void who_never_reads_is_ended(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 300);
    int fd = ask(&w, GET("/endless"));
    wait_until(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    assert_int_equal(w.counters.timeouts, 1);
    close(fd);
    close_world(&w);
}

/* A client that has all there is to read may wait for more as long as it likes. */
static void who_waits_is_no_slow_reader(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, 50);
    int fd = ask(&w, GET("/following"));
    (void)read_until(fd, "first\n", text, sizeof text);
    (void)poll(NULL, 0, 300);
    assert_int_equal(w.returned, 0);
    assert_int_equal(w.counters.timeouts, 0);
    close(fd);
    wait_until(&w.returned, 1);
    close_world(&w);
}

static void streams_are_bounded_and_hold_no_worker(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    int fds[STREAMS];
    open_world(&w, PATIENCE_MS);
    for (int i = 0; i < STREAMS; i++) {
        fds[i] = ask(&w, GET("/following"));
        (void)read_until(fds[i], "first\n", text, sizeof text);
    }
    int fd = ask(&w, GET("/following") GET("/short"));
    (void)read_until(fd, "\r\n\r\nshort", text, sizeof text);
    assert_ptr_equal(strstr(text, "HTTP/1.1 503 "), text);
    assert_non_null(strstr(text, "\r\n\r\nshort"));
    close(fd);
    close(fds[0]);
    wait_until(&w.returned, 1);
    close(fds[1]);
    close_world(&w);
    assert_int_equal(w.returned, STREAMS);
}

static void a_stream_ends_with_the_server_and_looks_broken(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = ask(&w, GET("/following"));
    (void)read_until(fd, "first\n", text, sizeof text);
    close_world(&w);
    assert_int_equal(w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    assert_true(read_until(fd, NULL, text, sizeof text));
    assert_null(strstr(text, "0\r\n\r\n"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_come_in_chunks_and_the_connection_is_kept),
        cmocka_unit_test(an_old_client_reads_to_the_end),
        cmocka_unit_test(head_has_the_head_alone),
        cmocka_unit_test(what_breaks_midway_looks_broken),
        cmocka_unit_test(what_was_not_begun_is_a_problem_as_any),
        cmocka_unit_test(who_writes_waits_for_who_reads),
        cmocka_unit_test(who_never_reads_is_ended),
        cmocka_unit_test(who_waits_is_no_slow_reader),
        cmocka_unit_test(streams_are_bounded_and_hold_no_worker),
        cmocka_unit_test(a_stream_ends_with_the_server_and_looks_broken),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as the hub does */
    return cmocka_run_group_tests_name("http/stream", tests, NULL, NULL);
}
