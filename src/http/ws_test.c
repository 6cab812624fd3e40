/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: WebSockets of a real server, to clients that keep to RFC 6455 and to clients that don't.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIN = 0x80, RSV1 = 0x40, MORE = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct world {
    struct rig rig; /* first */
    struct http_socket *socket;
    atomic_int opened, closed, texts;
    atomic_int last_rc, sent; /* of a flood */
    atomic_bool may_answer;
};

/* ---- the owner ----------------------------------------------------------------------------------- */

static void on_open(void *owner, struct http_socket *socket)
{
    struct world *w = owner;
    w->socket = socket;
    w->opened++;
}

static void flood(struct world *w)
{
    static char text[64 * 1024];
    int rc = 0;
    memset(text, 'x', sizeof text);
    while (rc == 0) {
        rc = http_socket_send(w->socket, (struct slice){text, sizeof text});
        w->sent += rc == 0;
    }
    w->last_rc = rc;
}

/* An echo, but for two words. */
static void on_text(void *owner, struct slice text)
{
    struct world *w = owner;
    if (slice_equal(text, SLICE("flood")))
        flood(w);
    else if (slice_equal(text, SLICE("speak and leave"))) {
        (void)!http_socket_send(w->socket, SLICE("never sent, for a close goes first"));
        http_socket_close(w->socket, HTTP_SOCKET_POLICY, "as you wish");
    } else if (slice_equal(text, SLICE("leave")))
        http_socket_close(w->socket, HTTP_SOCKET_POLICY, "as you wish");
    else
        (void)!http_socket_send(w->socket, text);
    w->texts++;
}

static void on_closed(void *owner)
{
    struct world *w = owner;
    w->closed++;
}

static const struct http_socket_calls calls = {.open = on_open, .text = on_text, .closed = on_closed};

static void serve_echo(void *arg, const struct http_request *request, struct http_reply *reply)
{
    struct world *w = arg;
    if (slice_equal(request->head->query, SLICE("slow")))
        while (!w->may_answer)
            (void)poll(NULL, 0, 1);
    if (slice_equal(request->head->query, SLICE("no"))) {
        http_problem(reply, 403, "not you");
        return;
    }
    reply->status = 101;
    reply->socket = &calls;
    reply->socket_owner = w;
}

static const struct http_route routes[] = {{"GET", "/echo", 0, HTTP_UPGRADE, serve_echo}};

static void open_world(struct world *w, uint64_t ping_ms)
{
    *w = (struct world){.sent = 0};
    rig_open(&w->rig, routes, ARRAY_LENGTH(routes), w, RIG_PATIENCE_MS, ping_ms);
}

/* ---- the client ---------------------------------------------------------------------------------- */

#define ASK(path)                                                                                            \
    "GET " path " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                      \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                           \
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

static void read_all(int fd, void *out, size_t n)
{
    for (char *at = out; n > 0;) {
        ssize_t got = read(fd, at, n);
        assert_true(got > 0);
        at += got;
        n -= (size_t)got;
    }
}

static int upgraded(const struct world *w)
{
    char head[256];
    int fd = rig_ask(&w->rig, ASK("/echo"));
    static const char wanted[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                                 "Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    read_all(fd, head, sizeof wanted - 1);
    assert_memory_equal(head, wanted, sizeof wanted - 1);
    return fd;
}

static size_t make_frame(unsigned char *out, int first, const char *payload, size_t n, bool masked)
{
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    size_t at = 2;
    out[0] = (unsigned char)first;
    out[1] = (unsigned char)((masked ? 0x80 : 0) | (n < 126 ? n : 126));
    if (n >= 126) {
        out[at++] = (unsigned char)(n >> 8);
        out[at++] = (unsigned char)n;
    }
    if (masked) {
        memcpy(out + at, mask, sizeof mask);
        at += sizeof mask;
    }
    for (size_t i = 0; i < n; i++)
        out[at + i] = (unsigned char)(payload[i] ^ (masked ? mask[i % 4] : 0));
    return at + n;
}

static void say(int fd, int first, const char *payload, size_t n)
{
    static unsigned char frame[70000];
    size_t bytes = make_frame(frame, first, payload, n, true);
    assert_int_equal(write(fd, frame, bytes), (int)bytes);
}

/* Its opcode; the payload with a NUL behind it, its length in *n. -1: the bytes ended. */
static int hear(int fd, char *payload, size_t size, size_t *n)
{
    unsigned char head[2], length[8];
    if (read(fd, head, 1) <= 0)
        return -1;
    read_all(fd, head + 1, 1);
    assert_true(head[0] & FIN);
    assert_false(head[0] & 0x70);
    assert_false(head[1] & 0x80);
    *n = head[1];
    if (head[1] >= 126) {
        size_t digits = head[1] == 126 ? 2 : 8;
        read_all(fd, length, digits);
        *n = 0;
        for (size_t i = 0; i < digits; i++)
            *n = *n << 8 | length[i];
    }
    assert_true(*n < size);
    read_all(fd, payload, *n);
    payload[*n] = '\0';
    return head[0] & 0xf;
}

/* The server closes with that code (0: with none), then the bytes end. */
static void hears_close(int fd, int code)
{
    char payload[256];
    size_t n;
    assert_int_equal(hear(fd, payload, sizeof payload, &n), CLOSE);
    if (code == 0)
        assert_int_equal(n, 0);
    else
        assert_int_equal((unsigned char)payload[0] << 8 | (unsigned char)payload[1], code);
    say(fd, FIN | CLOSE, payload, n > 2 ? 2 : n);
    assert_int_equal(hear(fd, payload, sizeof payload, &n), -1);
    close(fd);
}

static void hears_text(int fd, const char *text)
{
    char payload[20000];
    size_t n;
    assert_int_equal(hear(fd, payload, sizeof payload, &n), TEXT);
    assert_string_equal(payload, text);
}

/* ---- the tests ----------------------------------------------------------------------------------- */

static void messages_go_both_ways(void **state)
{
    (void)state;
    struct world w;
    char payload[256];
    size_t n;
    open_world(&w, RIG_PATIENCE_MS);
    int fd = upgraded(&w);
    say(fd, FIN | TEXT, "hello", 5);
    hears_text(fd, "hello");
    say(fd, TEXT, "in ", 3); /* in three frames, a ping between them */
    say(fd, MORE, "three ", 6);
    say(fd, FIN | PING, "?", 1);
    say(fd, FIN | MORE, "frames", 6);
    assert_int_equal(hear(fd, payload, sizeof payload, &n), PONG);
    assert_string_equal(payload, "?");
    hears_text(fd, "in three frames");
    say(fd, FIN | CLOSE, "\x03\xe8", 2);
    hears_close(fd, 1000);
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
    assert_int_equal(w.closed, 1);
    assert_int_equal(w.rig.counters.requests, 1);
}

static void what_is_behind_the_request_is_heard(void **state)
{
    (void)state;
    struct world w;
    char text[1024];
    open_world(&w, RIG_PATIENCE_MS);
    size_t n = strlen(ASK("/echo"));
    memcpy(text, ASK("/echo"), n);
    n += make_frame((unsigned char *)text + n, FIN | TEXT, "early", 5, true);
    int fd = rig_ask(&w.rig, "");
    assert_int_equal(write(fd, text, n), (int)n);
    (void)rig_read(fd,
                   "\x81\x05"
                   "early",
                   text, sizeof text);
    assert_non_null(strstr(text, "early"));
    close(fd);
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
}

static void who_breaks_the_protocol_hears_why(void **state)
{
    (void)state;
    static char large[16 * 1024 + 1], page[16 * 1024];
    static const struct {
        const char *payload;
        size_t n;
        int first, code;
    } cases[] = {
        {"x", 1, FIN | RSV1 | TEXT, 1002},
        {"x", 1, FIN | 3, 1002},
        {"x", 1, FIN | MORE, 1002},
        {"x", 1, PING, 0},
        {"\xff", 1, FIN | TEXT, 1007},
        {"x", 1, FIN | BINARY, 1003},
        {large, 16385, FIN | TEXT, 1009},
        {"\x03", 1, FIN | CLOSE, 0},
        {"\x03\xe7", 2, FIN | CLOSE, 1002},
        {"leave", 5, FIN | TEXT, 1008},
        {"speak and leave", 15, FIN | TEXT, 1008},
    };
    struct world w;
    memset(large, 'x', sizeof large);
    memset(page, 'x', sizeof page);
    open_world(&w, RIG_PATIENCE_MS);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int fd = upgraded(&w);
        say(fd, cases[i].first, cases[i].payload, cases[i].n);
        hears_close(fd, cases[i].code);
        rig_wait(&w.closed, (int)i + 1);
    }
    unsigned char frame[16];
    int fd = upgraded(&w); /* not masked */
    size_t n = make_frame(frame, FIN | TEXT, "x", 1, false);
    assert_int_equal(write(fd, frame, n), (int)n);
    hears_close(fd, 1002);
    fd = upgraded(&w); /* in crumbs */
    say(fd, TEXT, "x", 1);
    for (int i = 0; i < 64; i++)
        say(fd, MORE, "x", 1);
    hears_close(fd, 1008);
    fd = upgraded(&w); /* as much as it may be */
    say(fd, FIN | TEXT, page, sizeof page);
    char back[20000];
    assert_int_equal(hear(fd, back, sizeof back, &n), TEXT);
    assert_int_equal(n, sizeof page);
    close(fd);
    rig_wait(&w.closed, (int)ARRAY_LENGTH(cases) + 3);
    rig_close(&w.rig);
    assert_int_equal(w.opened, w.closed);
}

static void who_says_nothing_is_pinged_and_ended(void **state)
{
    (void)state;
    struct world w;
    char payload[256];
    size_t n;
    open_world(&w, 200);
    int fd = upgraded(&w);
    for (int i = 0; i < 4; i++) { /* as long as it answers it stays */
        assert_int_equal(hear(fd, payload, sizeof payload, &n), PING);
        say(fd, FIN | PONG, payload, n);
    }
    assert_int_equal(w.closed, 0);
    assert_int_equal(hear(fd, payload, sizeof payload, &n), PING);
    assert_int_equal(hear(fd, payload, sizeof payload, &n), -1);
    close(fd);
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
    assert_int_equal(w.rig.counters.timeouts, 1);
}

static void what_is_unsent_is_bounded(void **state)
{
    (void)state;
    struct world w;
    static char payload[70000];
    size_t n;
    open_world(&w, RIG_PATIENCE_MS);
    int fd = upgraded(&w);
    say(fd, FIN | TEXT, "flood", 5);
    rig_wait(&w.texts, 1);
    assert_int_equal(w.last_rc, ERR_LIMIT);
    assert_in_range(w.sent, HTTP_SOCKET_BYTES / 65536 - 1, HTTP_SOCKET_BYTES / 65536 + 16);
    for (int i = 0; i < w.sent; i++)
        assert_int_equal(hear(fd, payload, sizeof payload, &n), TEXT);
    say(fd, FIN | TEXT, "on", 2);
    hears_text(fd, "on");
    close(fd);
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
}

/* Who never reads its pongs is read no more; nothing is lost. */
static void pings_make_no_flood(void **state)
{
    (void)state;
    struct world w;
    unsigned char frame[256];
    char payload[256] = {0};
    size_t n, pings = 0, whole = 0;
    open_world(&w, RIG_PATIENCE_MS);
    int fd = upgraded(&w);
    size_t bytes = make_frame(frame, FIN | PING, payload, 125, true);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (int stood_still = 0; stood_still < 20;) {
        ssize_t got = write(fd, frame + whole, bytes - whole);
        stood_still = got > 0 ? 0 : stood_still + 1;
        whole += got > 0 ? (size_t)got : 0;
        pings += whole == bytes;
        whole = whole == bytes ? 0 : whole;
        if (got <= 0)
            (void)poll(NULL, 0, 10);
        assert_true(pings < 100000);
    }
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    for (size_t i = 0; i < pings; i++)
        assert_int_equal(hear(fd, payload, sizeof payload, &n), PONG);
    close(fd);
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
}

static void sockets_end_with_the_server(void **state)
{
    (void)state;
    struct world w;
    char payload[256];
    size_t n;
    open_world(&w, RIG_PATIENCE_MS);
    int polite = upgraded(&w), deaf = upgraded(&w);
    rig_wait(&w.opened, 2);
    rig_close(&w.rig);
    assert_int_equal(hear(polite, payload, sizeof payload, &n), CLOSE);
    assert_memory_equal(payload,
                        "\x03\xe9"
                        "the hub is stopping",
                        n);
    close(polite);
    close(deaf);
    assert_int_equal(w.closed, 2);
}

static void others_are_refused(void **state)
{
    (void)state;
    struct world w;
    char text[2048];
    open_world(&w, RIG_PATIENCE_MS);
    int fd = rig_ask(&w.rig, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n" ASK("/echo?no"));
    (void)rig_read(fd, "not you\"}", text, sizeof text);
    assert_ptr_equal(strstr(text, "HTTP/1.1 426 Upgrade Required\r\n"), text);
    assert_non_null(strstr(text, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr(text, "HTTP/1.1 403 "));
    close(fd);
    rig_close(&w.rig);
    assert_int_equal(w.opened + w.closed, 0);
}

/* The owner hears of its end even when its client never saw the beginning. */
static void who_leaves_before_is_told_to_the_owner(void **state)
{
    (void)state;
    struct world w;
    open_world(&w, RIG_PATIENCE_MS);
    close(rig_ask(&w.rig, ASK("/echo?slow")));
    for (int ms = 0; ms < RIG_PATIENCE_MS && w.rig.counters.abandoned == 0; ms++)
        (void)poll(NULL, 0, 1);
    w.may_answer = true;
    rig_wait(&w.closed, 1);
    rig_close(&w.rig);
    assert_int_equal(w.opened, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_both_ways),
        cmocka_unit_test(what_is_behind_the_request_is_heard),
        cmocka_unit_test(who_breaks_the_protocol_hears_why),
        cmocka_unit_test(who_says_nothing_is_pinged_and_ended),
        cmocka_unit_test(what_is_unsent_is_bounded),
        cmocka_unit_test(pings_make_no_flood),
        cmocka_unit_test(sockets_end_with_the_server),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(who_leaves_before_is_told_to_the_owner),
    };
    return cmocka_run_group_tests_name("http/ws", tests, NULL, NULL);
}
