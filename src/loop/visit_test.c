/* SPDX-License-Identifier: Apache-2.0
 *
 * visit_test: real sockets; the client blocks nowhere, the loop turns in between. The owner answers "yes" at
 * once, or, asked for /later, when the test says so, or, asked for /much, more than a socket takes.
 */
#include "visit.h"

#include "base/clock.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    GENEROUS_US = 30 * 1000 * 1000,
    MAX = 3,
    BODY_BYTES = 1024 * 1024,
    REQUEST_MS = 1000,
    REPLY_MS = 1000
};
enum { MUCH_BYTES = 64 * 1024 * 1024 };

static uv_loop_t loop;
static struct visits *visits;
static struct visit *owed;
static int gone;

static void answer(struct visit *visit, size_t bytes)
{
    struct visit_reply reply = {.status = 200, .type = "text/plain"};
    buf_init(&reply.body, MUCH_BYTES);
    assert_int_equal(buf_reserve(&reply.body, bytes), 0);
    if (bytes > 0)
        memset(reply.body.p, 'y', bytes);
    reply.body.n = bytes;
    visit_answer(visit, &reply);
    assert_null(reply.body.p);
}

static void on_asked(void *arg, struct visit *visit)
{
    struct slice target = visit_head(visit)->target;
    assert_ptr_equal(arg, &gone);
    if (slice_equal(target, SLICE("/later"))) {
        assert_null(owed);
        owed = visit;
        visit_set_data(visit, &owed);
    } else {
        assert_null(visit_data(visit));
        answer(visit, slice_equal(target, SLICE("/much")) ? MUCH_BYTES : visit_body(visit).n);
    }
}

static void on_gone(void *arg, struct visit *visit)
{
    assert_ptr_equal(arg, &gone);
    assert_ptr_equal(visit, owed);
    assert_ptr_equal(visit_data(visit), &owed);
    gone++;
}

static void on_refused(void *arg, int rc, const char *why, struct visit_reply *reply)
{
    (void)arg;
    reply->type = "text/plain";
    buf_init(&reply->body, 1024);
    assert_int_equal(buf_addf(&reply->body, "%s: %s", err_name(rc), why), 0);
}

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    struct endpoint endpoint = {.kind = ENDPOINT_TCP};
    struct visits_options options = {.max = MAX,
                                     .body_bytes = BODY_BYTES,
                                     .request_ms = REQUEST_MS,
                                     .reply_ms = REPLY_MS,
                                     .asked = on_asked,
                                     .gone = on_gone,
                                     .refused = on_refused,
                                     .arg = &gone};
    gone = 0;
    owed = NULL;
    if (endpoint_parse(SLICE("127.0.0.1:0"), &endpoint, &err) != 0 ||
        visits_open(&visits, &loop, &endpoint, &options, &err) != 0) {
        print_error("%s\n", err_detail(&err));
        return -1;
    }
    return 0;
}

/* The loop has nothing left: nobody forgot a visit. */
static int teardown(void **state)
{
    (void)state;
    visits_close(&visits);
    return uv_run(&loop, UV_RUN_DEFAULT);
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(visits_endpoint(visits)->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

#define TURN_UNTIL(condition)                                                                                \
    do {                                                                                                     \
        int64_t until_ = clock_monotonic_us() + GENEROUS_US;                                                 \
        while (!(condition)) {                                                                               \
            assert_true(clock_monotonic_us() < until_);                                                      \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

static void send_all(int fd, const void *bytes, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t now = send(fd, (const char *)bytes + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert_true(now > 0 || errno == EAGAIN);
        sent += now > 0 ? (size_t)now : 0;
        turn();
    }
}

/* Everything until the server's end or error, NUL-terminated; what is too long is read and forgotten. Returns
 * all bytes. */
static size_t read_all(int fd, char *out, size_t size)
{
    static char waste[65536];
    size_t n = 0, all = 0;
    ssize_t got = -1;
    for (int64_t until_us = clock_monotonic_us() + GENEROUS_US;;) {
        assert_true(clock_monotonic_us() < until_us);
        turn();
        bool full = n == size - 1;
        got = recv(fd, full ? waste : out + n, full ? sizeof waste : size - 1 - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        all += got > 0 ? (size_t)got : 0;
        n += got > 0 && !full ? (size_t)got : 0;
    }
    out[n] = '\0';
    return all;
}

static void expect(int fd, const char *status, const char *body)
{
    char reply[4096];
    (void)read_all(fd, reply, sizeof reply);
    const char *end = strstr(reply, "\r\n\r\n");
    if (strncmp(reply, status, strlen(status)) != 0 || end == NULL || strcmp(end + 4, body) != 0)
        fail_msg("'%s', not %s with '%s'", reply, status, body);
    close(fd);
}

static void ask(int fd, const char *request)
{
    send_all(fd, request, strlen(request));
}

static void answers_come_at_once_or_later(void **state)
{
    (void)state;
    int later = dial(), now = dial();
    ask(later, "GET /later HTTP/1.1\r\n\r\n");
    ask(now, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcdef");
    expect(now, "HTTP/1.1 200 OK", "yyy");
    TURN_UNTIL(owed != NULL);
    int64_t until_us = clock_monotonic_us() + (REQUEST_MS + 200) * 1000; /* no clock runs against the owner */
    TURN_UNTIL(clock_monotonic_us() > until_us);
    answer(owed, 4);
    expect(later, "HTTP/1.1 200 OK", "yyyy");
    assert_int_equal(gone, 0);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    static char endless[HEAD_BYTES];
    int fd = dial();
    memset(endless, 'x', sizeof endless);
    send_all(fd, endless, sizeof endless);
    expect(fd, "HTTP/1.1 413 Content Too Large", "limit: a head has at most 8192 bytes");
    fd = dial();
    ask(fd, "no HTTP\n\n");
    expect(fd, "HTTP/1.1 400 Bad Request", "invalid: this is no HTTP/1.1 request");
}

/* It is still sending when it is refused: its bytes are read on, or they would cost it the answer. */
static void a_refused_sender_gets_its_answer(void **state)
{
    (void)state;
    static char body[4 * BODY_BYTES];
    int fd = dial();
    char head[128];
    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", sizeof body);
    ask(fd, head);
    send_all(fd, body, sizeof body);
    expect(fd, "HTTP/1.1 413 Content Too Large", "limit: a body has at most 1048576 bytes");
}

static void one_too_many_is_told_and_crowds_are_closed(void **state)
{
    (void)state;
    int silent[MAX], refused[VISITS_REFUSED];
    char nothing[16];
    for (int i = 0; i < MAX; i++)
        silent[i] = dial();
    for (int i = 0; i < VISITS_REFUSED; i++)
        refused[i] = dial();
    int closed = dial();
    (void)read_all(closed, nothing, sizeof nothing);
    assert_string_equal(nothing, "");
    close(closed);
    ask(refused[0], "GET / HTTP/1.1\r\n\r\n");
    for (int i = 0; i < VISITS_REFUSED; i++)
        expect(refused[i], "HTTP/1.1 503 Service Unavailable",
               "unavailable: 3 others are being served: try again");
    ask(silent[0], "GET / HTTP/1.1\r\n\r\n");
    expect(silent[0], "HTTP/1.1 200 OK", "");
    int next = dial(); /* has the place that became free */
    ask(next, "GET / HTTP/1.1\r\n\r\n");
    expect(next, "HTTP/1.1 200 OK", "");
    for (int i = 1; i < MAX; i++)
        close(silent[i]);
}

static void who_is_slow_is_closed(void **state)
{
    (void)state;
    char nothing[16];
    int silent = dial(), deaf = dial(), staying = dial();
    int64_t begun_us = clock_monotonic_us();
    ask(silent, "GET");
    ask(deaf, "GET /much HTTP/1.1\r\n\r\n");
    ask(staying, "GET / HTTP/1.1\r\n\r\n");
    (void)read_all(silent, nothing, sizeof nothing);
    assert_string_equal(nothing, "");
    assert_true(clock_monotonic_us() - begun_us > REQUEST_MS * 1000 / 2);
    int64_t until_us = begun_us + (REPLY_MS + VISIT_LINGER_MS + 500) * 1000;
    TURN_UNTIL(clock_monotonic_us() > until_us);
    assert_true(read_all(deaf, nothing, sizeof nothing) < MUCH_BYTES); /* cut off */
    TURN_UNTIL(send(staying, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
               errno != EAGAIN); /* nobody listens */
    close(silent);
    close(deaf);
    close(staying);
}

static void who_leaves_is_told_of_once(void **state)
{
    (void)state;
    int fd = dial();
    ask(fd, "GET /later HTTP/1.1\r\n\r\n");
    TURN_UNTIL(owed != NULL);
    close(fd);
    TURN_UNTIL(gone == 1);
    for (int i = 0; i < 10; i++)
        turn();
    answer(owed, 10); /* owed all the same */
    owed = NULL;
    fd = dial();
    ask(fd, "GET /later HTTP/1.1\r\n\r\n");
    TURN_UNTIL(owed != NULL);
    visits_close(&visits);
    assert_int_equal(gone, 2);
    turn();
    answer(owed, 10);
    close(fd);
}

int main(void)
{
    (void)uv_loop_init(&loop);
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(answers_come_at_once_or_later),
        CASE(bad_requests_are_refused),
        CASE(a_refused_sender_gets_its_answer),
        CASE(one_too_many_is_told_and_crowds_are_closed),
        CASE(who_is_slow_is_closed),
        CASE(who_leaves_is_told_of_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (uv_loop_close(&loop) != 0);
}
