/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of listener and client over real sockets. The test's side never blocks: it looks, and lets the loop
 * turn in between.
 */
#include "listener.h"

#include "allow.h"
#include "base/clock.h"
#include "base/test.h"
#include "loop/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { GENEROUS_US = 30 * 1000 * 1000, KEPT_BYTES = 256 * 1024 };

#define REQUEST "request=smtpd_access_policy\nprotocol_state=RCPT\nsender=a@b.test\nx=\xff\x01y\n\n"
#define ANSWER  "action=DUNNO\n\n"

static uv_loop_t loop;
static struct listener *listener;
static struct sockaddr_in where;
static char kept[KEPT_BYTES];
static size_t kept_bytes;
static uint64_t kept_count;
static bool ring_full, stranger;

static bool is_local(const struct ip *peer)
{
    static const struct ip unix_peer;
    return ip_is_loopback(peer) || ip_compare(peer, &unix_peer) == 0;
}

static bool admit(void *arg, const struct ip *peer)
{
    (void)arg;
    return !stranger && is_local(peer);
}

static int keep(void *arg, const struct ip *peer, int64_t ts_us, struct slice request, uint64_t *seq)
{
    (void)arg;
    assert_true(is_local(peer));
    assert_true(llabs((long long)(ts_us - clock_real_us())) < GENEROUS_US);
    if (ring_full)
        return ERR_FULL;
    assert_true(kept_bytes + request.n <= sizeof kept);
    memcpy(kept + kept_bytes, request.p, request.n);
    kept_bytes += request.n;
    *seq = ++kept_count;
    return 0;
}

static const struct listener_options defaults = {
    .max_connections = 100, .half_timeout_us = LISTENER_HALF_TIMEOUT_US, .admit = admit, .keep = keep};

static void start(struct listener_options options)
{
    struct endpoint endpoint;
    struct err err = {0};
    int fd;
    kept_bytes = 0;
    kept_count = 0;
    ring_full = stranger = false;
    assert_int_equal(endpoint_parse(SLICE("127.0.0.1:0"), &endpoint, &err), 0);
    assert_int_equal(endpoint_listen(&endpoint, &fd, &err), 0);
    assert_int_equal(endpoint_of_fd(fd, &endpoint, &err), 0);
    where = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(endpoint.port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(listener_create(&listener, &loop, &options, &err), 0);
    assert_int_equal(listener_add(listener, fd, false, &err), 0);
}

static int stop(void **state)
{
    (void)state;
    listener_destroy(&listener);
    return uv_run(&loop, UV_RUN_DEFAULT);
}

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* Lets the loop turn until the condition holds. */
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        int64_t limit_us = clock_monotonic_us() + GENEROUS_US;                                               \
        while (!(condition)) {                                                                               \
            if (clock_monotonic_us() > limit_us)                                                             \
                fail_msg("never: %s", #condition);                                                           \
            turn();                                                                                          \
        }                                                                                                    \
    } while (0)

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof where), 0);
    return fd;
}

static void say(int fd, const char *text, size_t n)
{
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

static void expect_answers(int fd, size_t n)
{
    char got[sizeof ANSWER];
    for (size_t i = 0; i < n; i++) {
        size_t have = 0;
        while (have < sizeof ANSWER - 1) {
            ssize_t more = 0;
            UNTIL((more = recv(fd, got + have, sizeof ANSWER - 1 - have, MSG_DONTWAIT)) >= 0);
            assert_true(more > 0);
            have += (size_t)more;
        }
        assert_memory_equal(got, ANSWER, sizeof ANSWER - 1);
    }
}

static bool is_silent(int fd)
{
    char byte;
    turn();
    return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static void expect_closed(int fd)
{
    char byte;
    ssize_t n = -1;
    UNTIL((n = recv(fd, &byte, 1, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
    assert_true(n <= 0);
    close(fd);
}

static void a_request_split_at_any_byte_is_kept_as_sent(void **state)
{
    (void)state;
    start(defaults);
    int fd = dial();
    for (size_t cut = 1; cut < sizeof REQUEST - 1; cut++) {
        kept_bytes = 0;
        say(fd, REQUEST, cut);
        assert_true(is_silent(fd) && is_silent(fd));
        say(fd, &REQUEST[cut], sizeof REQUEST - 1 - cut);
        expect_answers(fd, 1);
        assert_int_equal(kept_bytes, sizeof REQUEST - 1);
        assert_memory_equal(kept, REQUEST, sizeof REQUEST - 1);
    }
    close(fd);
}

static void byte_by_byte(void **state)
{
    (void)state;
    start(defaults);
    int fd = dial();
    for (size_t i = 0; i < 2 * (sizeof REQUEST - 1); i++) {
        say(fd, &(REQUEST REQUEST)[i], 1);
        turn();
    }
    expect_answers(fd, 2);
    assert_memory_equal(kept, REQUEST REQUEST, 2 * (sizeof REQUEST - 1));
    close(fd);
}

static void several_in_a_segment_and_a_half_behind(void **state)
{
    (void)state;
    static char many[1000 * (sizeof REQUEST - 1)];
    start(defaults);
    for (size_t i = 0; i < 1000; i++)
        memcpy(many + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
    int fd = dial();
    say(fd, many, sizeof many);
    say(fd, REQUEST, 10);
    expect_answers(fd, 1000);
    assert_int_equal(kept_bytes, sizeof many);
    assert_memory_equal(kept, many, sizeof many);
    assert_true(is_silent(fd));
    say(fd, &REQUEST[10], sizeof REQUEST - 1 - 10);
    expect_answers(fd, 1);
    assert_int_equal(listener_get_stats(listener)->requests, 1001);
    assert_int_equal(listener_get_stats(listener)->answered, 1001);
    close(fd);
}

static void garbage_costs_its_connection_only(void **state)
{
    (void)state;
    static const char *const cases[] = {"GET / HTTP/1.1\r\n", "\n", "EHLO x\r\n", "request=other\n\n"};
    start(defaults);
    int other = dial();
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        int fd = dial();
        say(fd, cases[i], strlen(cases[i]));
        expect_closed(fd);
        assert_int_equal(listener_get_stats(listener)->garbage, i + 1);
    }
    int fd = dial(); /* what came before the garbage is kept and answered */
    say(fd, REQUEST "\n", sizeof REQUEST);
    expect_answers(fd, 1);
    expect_closed(fd);
    assert_int_equal(kept_count, 1);
    say(other, REQUEST, sizeof REQUEST - 1);
    expect_answers(other, 1);
    close(other);
}

static void a_half_request_ages_and_goes(void **state)
{
    (void)state;
    struct listener_options options = defaults;
    options.half_timeout_us = 20000;
    start(options);
    int idle = dial(), half = dial();
    say(half, REQUEST, 30);
    expect_closed(half);
    assert_int_equal(listener_get_stats(listener)->stale, 1);
    say(idle, REQUEST, sizeof REQUEST - 1);
    expect_answers(idle, 1);
    close(idle);
}

static void beyond_the_limit_the_longest_idle_one_goes(void **state)
{
    (void)state;
    struct listener_options options = defaults;
    options.max_connections = 3;
    start(options);
    int fd[4];
    for (int i = 0; i < 3; i++) {
        fd[i] = dial();
        say(fd[i], REQUEST, sizeof REQUEST - 1);
        expect_answers(fd[i], 1);
    }
    say(fd[0], REQUEST, sizeof REQUEST - 1);
    expect_answers(fd[0], 1);
    fd[3] = dial();
    expect_closed(fd[1]);
    assert_int_equal(listener_get_stats(listener)->open, 3);
    assert_int_equal(listener_get_stats(listener)->evicted, 1);
    for (int i = 0; i < 4; i++)
        if (i != 1) {
            say(fd[i], REQUEST, sizeof REQUEST - 1);
            expect_answers(fd[i], 1);
            close(fd[i]);
        }
}

static void strangers_are_refused_and_evict_nobody(void **state)
{
    (void)state;
    struct listener_options options = defaults;
    options.max_connections = 1;
    start(options);
    int friend = dial();
    say(friend, REQUEST, sizeof REQUEST - 1);
    expect_answers(friend, 1);
    stranger = true;
    expect_closed(dial());
    assert_int_equal(listener_get_stats(listener)->refused, 1);
    say(friend, REQUEST, sizeof REQUEST - 1);
    expect_answers(friend, 1);
    close(friend);
}

static void what_could_not_be_kept_is_answered_and_counted(void **state)
{
    (void)state;
    start(defaults);
    ring_full = true;
    int fd = dial();
    say(fd, REQUEST REQUEST, 2 * (sizeof REQUEST - 1));
    expect_answers(fd, 2);
    assert_int_equal(listener_get_stats(listener)->answered_lost, 2);
    close(fd);
}

static void answers_wait_for_the_sync_that_covers_them(void **state)
{
    (void)state;
    struct listener_options options = defaults;
    options.wait_synced = true;
    start(options);
    int first = dial(), second = dial();
    /* Within the deadline this is a race against the wall clock: try until the machine was quick enough. */
    for (int tries = 0; tries < 200; tries++) {
        uint64_t unsynced = listener_get_stats(listener)->answered_unsynced;
        say(first, REQUEST, sizeof REQUEST - 1);
        UNTIL(kept_count == 2 * (uint64_t)tries + 1);
        say(second, REQUEST, sizeof REQUEST - 1);
        UNTIL(kept_count == 2 * (uint64_t)tries + 2);
        bool first_silent = is_silent(first);
        listener_synced(listener, kept_count - 1);
        bool second_silent = is_silent(second);
        expect_answers(first, 1);
        listener_synced(listener, kept_count);
        expect_answers(second, 1);
        if (listener_get_stats(listener)->answered_unsynced == unsynced) {
            assert_true(first_silent && second_silent);
            close(first);
            close(second);
            return;
        }
    }
    fail_msg("the machine was never quick enough");
}

static void without_a_sync_the_answer_leaves_all_the_same(void **state)
{
    (void)state;
    struct listener_options options = defaults;
    options.wait_synced = true;
    start(options);
    int fd = dial();
    int64_t start_us = clock_monotonic_us();
    say(fd, REQUEST REQUEST, 2 * (sizeof REQUEST - 1));
    expect_answers(fd, 2);
    assert_true(clock_monotonic_us() - start_us >= (LISTENER_ANSWER_WITHIN_MS - 1) * 1000);
    assert_int_equal(listener_get_stats(listener)->answered_unsynced, 2);
    say(fd, REQUEST, sizeof REQUEST - 1); /* a peer that says no more still gets its answer */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_answers(fd, 1);
    expect_closed(fd);
}

/* A unix socket, since its buffers fill in one step; over TCP the kernel decides when it pushes back. */
static void a_peer_that_never_reads_is_closed(void **state)
{
    (void)state;
    char dir[] = "/tmp/listener-test-XXXXXX";
    struct endpoint endpoint = {.kind = ENDPOINT_UNIX};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int port, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(endpoint.path, sizeof endpoint.path, "%s/s", dir);
    memcpy(address.sun_path, endpoint.path, sizeof address.sun_path);
    start(defaults);
    assert_int_equal(endpoint_listen(&endpoint, &port, NULL), 0);
    assert_int_equal(listener_add(listener, port, true, NULL), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    size_t sent = 0;
    int64_t until_us = clock_monotonic_us() + GENEROUS_US;
    while (listener_get_stats(listener)->slow == 0 && clock_monotonic_us() < until_us) {
        size_t at = sent % (sizeof REQUEST - 1);
        ssize_t n = send(fd, &(REQUEST REQUEST REQUEST REQUEST)[at], 4 * (sizeof REQUEST - 1) - at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        kept_bytes = 0;
        turn();
    }
    assert_int_equal(listener_get_stats(listener)->slow, 1);
    UNTIL(listener_get_stats(listener)->open == 0);
    close(fd);
    listener_stop(listener);
    assert_int_equal(rmdir(dir), 0); /* its socket is gone */
}

static void networks(void **state)
{
    (void)state;
    static const struct {
        const char *list, *peer;
        bool allowed;
    } cases[] = {
        {"", "127.0.0.1", true},
        {"", "::1", true},
        {"", "192.0.2.1", false},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/24, 2001:db8::/32", "2001:db8:1::1", true},
        {"192.0.2.0/24,2001:db8::/32", "2001:db9::1", false},
        {"198.51.100.7", "198.51.100.7", true},
    };
    struct allow *allow;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct ip peer;
        assert_int_equal(ip_parse(slice_of(cases[i].peer), &peer), 0);
        assert_int_equal(allow_create(&allow, slice_of(cases[i].list), NULL), 0);
        assert_int_equal(allow_is_empty(allow), cases[i].list[0] == '\0');
        if (allow_contains(allow, &peer) != cases[i].allowed)
            fail_msg("%s in %s", cases[i].peer, cases[i].list);
        allow_destroy(&allow);
    }
    assert_int_equal(allow_create(&allow, SLICE("192.0.2.1/24"), NULL), ERR_CONFIG);
    assert_int_equal(allow_create(&allow, SLICE("mail.example"), NULL), ERR_CONFIG);
}

int main(void)
{
    (void)uv_loop_init(&loop);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_request_split_at_any_byte_is_kept_as_sent, stop),
        cmocka_unit_test_teardown(byte_by_byte, stop),
        cmocka_unit_test_teardown(several_in_a_segment_and_a_half_behind, stop),
        cmocka_unit_test_teardown(garbage_costs_its_connection_only, stop),
        cmocka_unit_test_teardown(a_half_request_ages_and_goes, stop),
        cmocka_unit_test_teardown(beyond_the_limit_the_longest_idle_one_goes, stop),
        cmocka_unit_test_teardown(strangers_are_refused_and_evict_nobody, stop),
        cmocka_unit_test_teardown(what_could_not_be_kept_is_answered_and_counted, stop),
        cmocka_unit_test_teardown(answers_wait_for_the_sync_that_covers_them, stop),
        cmocka_unit_test_teardown(without_a_sync_the_answer_leaves_all_the_same, stop),
        cmocka_unit_test_teardown(a_peer_that_never_reads_is_closed, stop),
        cmocka_unit_test(networks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (uv_loop_close(&loop) != 0);
}
