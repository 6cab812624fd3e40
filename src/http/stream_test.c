/* SPDX-License-Identifier: Apache-2.0
 *
 * stream: replies written piece by piece, from a real server on a loop of its own thread, to clients of every
 * kind: those that read, that leave, that never read.
 */
#include "rig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = RIG_PATIENCE_MS, STREAMS = RIG_STREAMS, PIECE_BYTES = 1000 };

struct world {
    struct rig rig;               /* first */
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

static void open_world(struct world *w, uint64_t reply_ms)
{
    *w = (struct world){.written = 0};
    rig_open(&w->rig, routes, ARRAY_LENGTH(routes), w, reply_ms, PATIENCE_MS);
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
    int fd = rig_ask(&w.rig, GET("/three") GET("/short"));
    (void)rig_read(fd, "\r\n\r\nshort", text, sizeof text);
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
    rig_close(&w.rig);
    assert_int_equal(w.rig.counters.requests, 2);
}

static void an_old_client_reads_to_the_end(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, GET_OLD("/three"));
    assert_true(rig_read(fd, NULL, text, sizeof text));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    assert_null(strstr(text, "chunked"));
    assert_non_null(strstr(text, "\r\n\r\n0123456789abcdefg0123456789abcdefg0123456789abcdefg"));
    close(fd);
    rig_close(&w.rig);
}

static void head_has_the_head_alone(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, "HEAD /endless HTTP/1.1\r\nHost: h\r\n\r\n" GET("/short"));
    (void)rig_read(fd, "\r\n\r\nshort", text, sizeof text);
    assert_non_null(strstr(text, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
    rig_wait(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    close(fd);
    rig_close(&w.rig);
}

static void what_breaks_midway_looks_broken(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, GET("/broken"));
    assert_true(rig_read(fd, NULL, text, sizeof text));
    assert_non_null(strstr(text, "200 OK"));
    char *body = strstr(text, "\r\n\r\n4\r\nhalf\r\n");
    assert_non_null(body);
    assert_string_equal(body, "\r\n\r\n4\r\nhalf\r\n");
    close(fd);
    rig_close(&w.rig);
}

static void what_was_not_begun_is_a_problem_as_any(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, GET("/nothing") GET("/short"));
    (void)rig_read(fd, "\r\n\r\nshort", text, sizeof text);
    assert_ptr_equal(strstr(text, "HTTP/1.1 409 "), text);
    assert_non_null(strstr(text, "{\"request_id\":\""));
    assert_non_null(strstr(text, "not even begun"));
    close(fd);
    rig_close(&w.rig);
}

static void who_writes_waits_for_who_reads(void **state)
{
    (void)state;
    struct world w;
    char text[65536];
    uint64_t before;
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, GET("/endless"));
    (void)rig_read(fd, "\r\n\r\n", text, sizeof text);
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
    rig_wait(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    rig_close(&w.rig);
    assert_int_equal(w.rig.counters.abandoned, 1);
}

static void who_never_reads_is_ended(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, 300);
    int fd = rig_ask(&w.rig, GET("/endless"));
    rig_wait(&w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    assert_int_equal(w.rig.counters.timeouts, 1);
    close(fd);
    rig_close(&w.rig);
}

/* A client that has all there is to read may wait for more as long as it likes. */
static void who_waits_is_no_slow_reader(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, 50);
    int fd = rig_ask(&w.rig, GET("/following"));
    (void)rig_read(fd, "first\n", text, sizeof text);
    (void)poll(NULL, 0, 300);
    assert_int_equal(w.returned, 0);
    assert_int_equal(w.rig.counters.timeouts, 0);
    close(fd);
    rig_wait(&w.returned, 1);
    rig_close(&w.rig);
}

static void streams_are_bounded_and_hold_no_worker(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    int fds[STREAMS];
    open_world(&w, PATIENCE_MS);
    for (int i = 0; i < STREAMS; i++) {
        fds[i] = rig_ask(&w.rig, GET("/following"));
        (void)rig_read(fds[i], "first\n", text, sizeof text);
    }
    int fd = rig_ask(&w.rig, GET("/following") GET("/short"));
    (void)rig_read(fd, "\r\n\r\nshort", text, sizeof text);
    assert_ptr_equal(strstr(text, "HTTP/1.1 503 "), text);
    assert_non_null(strstr(text, "\r\n\r\nshort"));
    close(fd);
    close(fds[0]);
    rig_wait(&w.returned, 1);
    close(fds[1]);
    rig_close(&w.rig);
    assert_int_equal(w.returned, STREAMS);
}

static void a_stream_ends_with_the_server_and_looks_broken(void **state)
{
    (void)state;
    struct world w;
    char text[4096];
    open_world(&w, PATIENCE_MS);
    int fd = rig_ask(&w.rig, GET("/following"));
    (void)rig_read(fd, "first\n", text, sizeof text);
    rig_close(&w.rig);
    assert_int_equal(w.returned, 1);
    assert_int_equal(w.last_rc, ERR_CANCELLED);
    assert_true(rig_read(fd, NULL, text, sizeof text));
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
    return cmocka_run_group_tests_name("http/stream", tests, NULL, NULL);
}
