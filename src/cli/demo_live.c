/* SPDX-License-Identifier: Apache-2.0
 *
 * demo_live: a policy client as one smtpd process is: one connection, one request in flight, every answer
 * looked at. See demo.h.
 */
#include "demo.h"

#include "base/clock.h"
#include "base/log.h"
#include "policy/policy.h"
#include "traffic.h"

#include <netdb.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_S = 5, RETRY_MS = 1000, HOST_BYTES = 256 };

struct live {
    const struct demo_live *options;
    struct addrinfo *address;
    int fd;    /* -1: not connected */
    bool told; /* that the server is away */
};

static void rest(const struct live *live, int64_t us)
{
    int64_t until_us = clock_monotonic_us() + us;
    for (int64_t left = us; left > 0 && !*live->options->stop; left = until_us - clock_monotonic_us()) {
        struct timespec time = {.tv_sec = left / US_PER_SECOND, .tv_nsec = left % US_PER_SECOND * 1000};
        (void)nanosleep(&time, NULL); /* a signal ends it early */
    }
}

static int resolve(const char *policy, struct addrinfo **out, struct err *err)
{
    char host[HOST_BYTES];
    const char *colon = strrchr(policy, ':');
    struct slice name = {policy, colon != NULL ? (size_t)(colon - policy) : 0};
    if (name.n > 1 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = (struct slice){name.p + 1, name.n - 2};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (name.n == 0 || slice_to_string(name, host, sizeof host) != 0 ||
        getaddrinfo(host, colon + 1, &hints, out) != 0)
        return err_set(err, ERR_INVALID, "--policy: '%s' is not ADDRESS:PORT", policy);
    return 0;
}

static void hang_up(struct live *live)
{
    if (live->fd >= 0)
        (void)close(live->fd);
    live->fd = -1;
}

static bool dial(struct live *live)
{
    struct timeval patience = {.tv_sec = ANSWER_S};
    live->fd = socket(live->address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (live->fd >= 0 && setsockopt(live->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(live->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(live->fd, live->address->ai_addr, live->address->ai_addrlen) == 0)
        return true;
    hang_up(live);
    return false;
}

/* True when the whole request went out and its answer is the one we expect. */
static bool exchange(struct live *live, struct slice request)
{
    static const char expected[] = POLICY_ANSWER_DUNNO;
    char answer[sizeof expected - 1];
    for (size_t done = 0; done < request.n;) {
        ssize_t n = send(live->fd, request.p + done, request.n - done, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    for (size_t got = 0; got < sizeof answer;) {
        ssize_t n = recv(live->fd, answer + got, sizeof answer - got, 0);
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return memcmp(answer, expected, sizeof answer) == 0;
}

static bool ask(struct live *live, struct slice request)
{
    while (!*live->options->stop) {
        if ((live->fd >= 0 || dial(live)) && exchange(live, request)) {
            live->told = false;
            return true;
        }
        hang_up(live);
        if (!live->told && !*live->options->stop)
            log_warning("demo: no answer from %s, trying again each second", live->options->policy);
        live->told = true;
        rest(live, RETRY_MS * 1000);
    }
    return false;
}

static uint64_t send_message(struct live *live, const struct traffic_message *message)
{
    uint64_t answered = 0;
    for (unsigned i = 0; i < traffic_request_count(message); i++) {
        char bytes[TRAFFIC_REQUEST_BYTES];
        if (!ask(live, (struct slice){bytes, traffic_request(message, i, bytes)}))
            break;
        answered++;
    }
    return answered;
}

int demo_live_run(const struct demo_live *options, uint64_t *requests, struct err *err)
{
    struct live live = {.options = options, .fd = -1};
    struct traffic *traffic;
    *requests = 0;
    int rc = resolve(options->policy, &live.address, err);
    if (rc != 0)
        return rc;
    rc = traffic_create(&traffic, options->seed, 0);
    for (int64_t next_us = clock_monotonic_us(); rc == 0 && !*options->stop;) {
        struct traffic_message message;
        traffic_draw(traffic, clock_real_us(), &message);
        *requests += send_message(&live, &message);
        next_us += (int64_t)(traffic_pause(traffic) / options->messages_per_s * 1e6);
        int64_t now_us = clock_monotonic_us();
        if (next_us < now_us - 10 * US_PER_SECOND)
            next_us = now_us; /* the server was away: don't catch up */
        rest(&live, next_us - now_us);
    }
    hang_up(&live);
    freeaddrinfo(live.address);
    if (rc == 0)
        traffic_destroy(&traffic);
    return rc;
}
