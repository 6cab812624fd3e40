/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of acceptor: a program that has no memory for connections goes on listening.
 */
#include "acceptor.h"

#include "base/test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLERS = 5 };

static int calls;

static void turn_away(void *arg, struct acceptor *acceptor)
{
    (void)arg;
    calls++;
    acceptor_turn_away(acceptor);
}

static int listen_somewhere(struct sockaddr_storage *address, socklen_t *size)
{
    struct endpoint endpoint;
    int fd;
    assert_int_equal(endpoint_parse(SLICE("127.0.0.1:0"), &endpoint, NULL), 0);
    assert_int_equal(endpoint_listen(&endpoint, &fd, NULL), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, size), 0);
    return fd;
}

/* All at once, so that the next is announced while one is still being closed. */
static void who_is_turned_away_does_not_end_the_listening(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct acceptor *acceptor;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int fds[CALLERS];
    assert_int_equal(uv_loop_init(&loop), 0);
    int fd = listen_somewhere(&address, &size);
    assert_int_equal(acceptor_open(&acceptor, &loop, fd, false, turn_away, NULL, NULL), 0);
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < CALLERS; i++) {
            struct timeval limit = {.tv_sec = 30};
            fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
            assert_int_equal(connect(fds[i], (struct sockaddr *)&address, size), 0);
        }
        for (int turns = 0; turns < 1000 && calls < CALLERS * round; turns++)
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(calls, CALLERS * round);
        for (int i = 0; i < CALLERS; i++) {
            char byte;
            assert_int_equal(read(fds[i], &byte, 1), 0);
            close(fds[i]);
        }
    }
    acceptor_close(&acceptor);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_is_turned_away_does_not_end_the_listening)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
