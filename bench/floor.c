/* SPDX-License-Identifier: Apache-2.0
 *
 * floor: the least that a policy server can do, to measure the real one against: a bare epoll loop that
 * answers DUNNO to every empty line and keeps nothing. No parsing, no time-outs; for loopback only.
 *
 *   floor [--listen 127.0.0.1:PORT] [--cpu N]      prints "listening on ADDRESS:PORT"; ends on SIGTERM
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, READ_BYTES = 64 * 1024, FILES = 65536 };

static const char answer[] = "action=DUNNO\n\n";
static char last_byte[FILES]; /* by descriptor: what the previous read ended with */

static unsigned count_requests(int fd, const char *p, size_t n)
{
    unsigned count = n > 0 && last_byte[fd] == '\n' && p[0] == '\n';
    const char *end = p + n, *at = p;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end)
        if (*at == '\n')
            count++;
    last_byte[fd] = count > 0 && p[n - 1] == '\n' && n > 1 && p[n - 2] == '\n' ? 0 : p[n - 1];
    return count;
}

static void serve(int epoll, int fd)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        close(fd);
        return;
    }
    for (unsigned i = count_requests(fd, bytes, (size_t)n); i > 0; i--)
        if (send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            bench_die("send: %s", strerror(errno));
}

static void welcome(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FILES)
            bench_die("too many connections");
        last_byte[fd] = 0;
        bench_no_delay(fd);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            bench_die("epoll_ctl: %s", strerror(errno));
    }
}

int main(int argc, char **argv)
{
    const char *listen_on = bench_option(argc, argv, "--listen", "127.0.0.1:0");
    bench_pin(bench_option(argc, argv, "--cpu", NULL));
    int listener = bench_listen(listen_on), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        bench_die("epoll: %s", strerror(errno));
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                welcome(epoll, listener);
            else
                serve(epoll, events[i].data.fd);
    }
}
