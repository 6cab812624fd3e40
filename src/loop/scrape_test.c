/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of scrape over real sockets: the client blocks nowhere, the loop turns in between.
 */
#include "scrape.h"

#include "base/clock.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GENEROUS_US = 30 * 1000 * 1000 };

static uv_loop_t loop;
static struct scrape *scrape;

static int render(void *arg, struct buf *out)
{
    (void)arg;
    return buf_addf(out, "answers_total 42\n");
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(scrape_endpoint(scrape)->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Everything until the server closes, NUL-terminated. */
static void read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    int64_t until_us = clock_monotonic_us() + GENEROUS_US;
    while (clock_monotonic_us() < until_us) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t got = recv(fd, out + n, size - 1 - n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            out[n] = '\0';
            close(fd);
            return;
        }
        n += got > 0 ? (size_t)got : 0;
    }
    fail_msg("no answer");
}

static void requests(void **state)
{
    (void)state;
    static const struct {
        const char *name, *request, *status, *body;
    } cases[] = {
        {"the text", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n", "answers_total 42\n"},
        {"a query is ignored", "GET /metrics?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
         "answers_total 42\n"},
        {"bare newlines", "GET /metrics HTTP/1.0\n\n", "HTTP/1.1 200 OK\r\n", "answers_total 42\n"},
        {"head only", "HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", ""},
        {"another path", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ", NULL},
        {"another method", "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b",
         "HTTP/1.1 405 Method Not Allowed\r\n", NULL},
        {"no HTTP", "request=smtpd_access_policy\n\n", "HTTP/1.1 400 ", NULL},
        {"nothing", "\r\n\r\n", "HTTP/1.1 400 ", NULL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char answer[4096];
        int fd = dial();
        size_t n = strlen(cases[i].request);
        assert_int_equal(send(fd, cases[i].request, n, 0), n);
        read_all(fd, answer, sizeof answer);
        char *body = strstr(answer, "\r\n\r\n");
        if (strncmp(answer, cases[i].status, strlen(cases[i].status)) != 0 || body == NULL)
            fail_msg("%s: %s", cases[i].name, answer);
        if ((strstr(answer, "\r\nAllow: GET, HEAD\r\n") != NULL) != (strstr(answer, " 405 ") != NULL))
            fail_msg("%s: %s", cases[i].name, answer);
        if (cases[i].body != NULL)
            assert_string_equal(body + 4, cases[i].body);
    }
}

static void loopback_only(void **state)
{
    (void)state;
    struct scrape *other;
    struct err err = {0};
    assert_int_equal(scrape_open(&other, &loop, "0.0.0.0:0", render, NULL, &err), ERR_CONFIG);
}

int main(void)
{
    struct err err = {0};
    (void)uv_loop_init(&loop);
    if (scrape_open(&scrape, &loop, "127.0.0.1:0", render, NULL, &err) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(loopback_only),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)dial(); /* closing meets an open visit */
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    scrape_close(&scrape);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return failed + (uv_loop_close(&loop) != 0);
}
