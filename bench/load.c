/* SPDX-License-Identifier: Apache-2.0
 *
 * load: a policy client as Postfix is one: each connection has one request in flight. Requests come from the
 * traffic model, made beforehand, so that the generator costs little. Every answer is checked.
 *
 *   load --connect ADDRESS:PORT [--connections 20] [--seconds 5 | --requests N] [--warmup 0.5] [--rate N/s]
 *        [--table 8192] [--seed 1] [--cpu N] [--unique] [--any] [--heard FILE]
 *
 * --unique gives every request sent an instance of its own (else the table repeats, which a hub takes for
 * retries). --any takes answers of other policy servers, too. --heard writes a line "COUNT NANOSECONDS"
 * (monotonic clock) for each hundredth answer. Prints one line of JSON.
 */
#include "bench.h"

#include "base/clock.h"
#include "cli/traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "action=DUNNO\n\n";
enum { ANSWER_BYTES = sizeof answer - 1, ANY_BYTES = 1024, EVENTS = 256, MARK_DIGITS = 12, HEARD_EACH = 100 };

struct request {
    char *p;
    size_t n;
    char *mark; /* where --unique counts, behind "instance=" */
};

struct connection {
    int fd;
    bool busy;
    size_t next, got;
    int64_t sent_ns;
    char bytes[ANY_BYTES];
};

struct load {
    struct request *table;
    size_t table_count;
    struct connection *connections;
    size_t connection_count;
    int epoll;
    bool unique, any;
    FILE *heard;
    uint64_t heard_count;
    uint64_t limit, sent, answered;
    double rate;
    int64_t begin_ns, measure_ns, end_ns;
    struct bench_latency latency;
};

static void make_table(struct load *load, size_t count, uint64_t seed)
{
    struct traffic *traffic;
    load->table = calloc(count, sizeof *load->table);
    if (load->table == NULL || traffic_create(&traffic, seed, 0) != 0)
        bench_die("out of memory");
    int64_t ts_us = clock_real_us();
    while (load->table_count < count) {
        struct traffic_message message;
        ts_us = traffic_next_us(traffic, ts_us, 1e6);
        traffic_draw(traffic, ts_us, &message);
        /* Room for --unique's count. */
        char instance[sizeof message.instance];
        memcpy(instance, message.instance, sizeof instance);
        snprintf(message.instance, sizeof message.instance, "%0*d.%.40s", MARK_DIGITS, 0, instance);
        for (unsigned i = 0; i < traffic_request_count(&message) && load->table_count < count; i++) {
            char bytes[TRAFFIC_REQUEST_BYTES];
            struct request *request = &load->table[load->table_count++];
            request->n = traffic_request(&message, i, bytes);
            request->p = strndup(bytes, request->n);
            if (request->p == NULL)
                bench_die("out of memory");
            request->mark = strstr(request->p, "\ninstance=") + strlen("\ninstance=");
        }
    }
    traffic_destroy(&traffic);
}

static void ask(struct load *load, struct connection *c)
{
    struct request *request = &load->table[c->next];
    c->next = (c->next + 1) % load->table_count;
    if (load->unique) {
        char digits[MARK_DIGITS + 1];
        snprintf(digits, sizeof digits, "%0*llx", MARK_DIGITS,
                 (unsigned long long)load->sent & 0xffffffffffffULL);
        memcpy(request->mark, digits, MARK_DIGITS);
    }
    c->busy = true;
    c->got = 0;
    c->sent_ns = bench_now_ns();
    load->sent++;
    ssize_t n = send(c->fd, request->p, request->n, MSG_NOSIGNAL);
    if (n != (ssize_t)request->n)
        bench_die("send: %s", n < 0 ? strerror(errno) : "cut short");
}

/* True when another request may go out now. */
static bool may_ask(const struct load *load, int64_t now_ns)
{
    if (load->limit > 0 ? load->sent >= load->limit : now_ns >= load->end_ns)
        return false;
    return load->rate <= 0 || (double)load->sent < (double)(now_ns - load->begin_ns) / 1e9 * load->rate;
}

/* The whole answer is here; dies when it is wrong. */
static bool complete(const struct load *load, const struct connection *c)
{
    if (!c->busy)
        bench_die("an answer that nobody asked for: '%.*s'", (int)c->got, c->bytes);
    if (load->any)
        return c->got > 9 && memcmp(c->bytes, "action=", 7) == 0 &&
               memcmp(c->bytes + c->got - 2, "\n\n", 2) == 0;
    if (memcmp(c->bytes, answer, c->got) != 0)
        bench_die("wrong answer: '%.*s'", (int)c->got, c->bytes);
    return c->got == ANSWER_BYTES;
}

static void hear(struct load *load, struct connection *c)
{
    ssize_t n = recv(c->fd, c->bytes + c->got, (load->any ? ANY_BYTES : ANSWER_BYTES) - c->got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        bench_die("the server closed a connection: %s", n < 0 ? strerror(errno) : "end of file");
    c->got += (size_t)n;
    if (!complete(load, c))
        return;
    int64_t now_ns = bench_now_ns();
    c->busy = false;
    if (load->heard != NULL && ++load->heard_count % HEARD_EACH == 0)
        fprintf(load->heard, "%llu %lld\n", (unsigned long long)load->heard_count, (long long)now_ns);
    if (now_ns >= load->measure_ns && (load->limit > 0 || now_ns < load->end_ns)) {
        bench_latency_add(&load->latency, now_ns - c->sent_ns);
        load->answered++;
    }
    if (may_ask(load, now_ns))
        ask(load, c);
}

static size_t ask_idle(struct load *load)
{
    size_t busy = 0;
    for (size_t i = 0; i < load->connection_count; i++) {
        struct connection *c = &load->connections[i];
        if (!c->busy && may_ask(load, bench_now_ns()))
            ask(load, c);
        busy += c->busy;
    }
    return busy;
}

static void open_connections(struct load *load, const char *where)
{
    struct rlimit files = {load->connection_count + 64, load->connection_count + 64}, now;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur < files.rlim_cur)
        setrlimit(RLIMIT_NOFILE, &files);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->connections = calloc(load->connection_count, sizeof *load->connections);
    if (load->epoll < 0 || load->connections == NULL)
        bench_die("out of memory or files");
    for (size_t i = 0; i < load->connection_count; i++) {
        struct connection *c = &load->connections[i];
        c->fd = bench_connect(where);
        c->next = i * load->table_count / load->connection_count;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
            bench_die("epoll_ctl: %s", strerror(errno));
    }
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS];
    int64_t silent_since_ns = bench_now_ns();
    for (size_t busy = ask_idle(load);;) {
        int n = epoll_wait(load->epoll, events, EVENTS, load->rate > 0 ? 1 : 1000);
        for (int i = 0; i < n; i++)
            hear(load, events[i].data.ptr);
        int64_t now_ns = bench_now_ns();
        if (n > 0)
            silent_since_ns = now_ns;
        bool over = load->limit > 0 ? load->sent >= load->limit : now_ns >= load->end_ns;
        if (over || load->rate > 0 || n == 0)
            busy = ask_idle(load);
        if (over && busy == 0)
            return;
        if (busy > 0 && now_ns - silent_since_ns > INT64_C(30000000000))
            bench_die("no answer for 30 s, %zu requests wait", busy);
    }
}

static void report(const struct load *load, int64_t ended_ns)
{
    int64_t until_ns = load->limit > 0 ? ended_ns : load->end_ns;
    double seconds = (double)(until_ns - load->measure_ns) / 1e9;
    printf("{\"connections\":%zu,\"sent\":%llu,\"answers\":%llu,\"seconds\":%.3f,\"answers_per_s\":%.0f,"
           "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           load->connection_count, (unsigned long long)load->sent, (unsigned long long)load->answered,
           seconds, (double)load->answered / seconds, bench_latency_us(&load->latency, 0.5),
           bench_latency_us(&load->latency, 0.9), bench_latency_us(&load->latency, 0.99),
           (double)load->latency.max_ns / 1e3);
}

int main(int argc, char **argv)
{
    static struct load load;
    const char *where = bench_option(argc, argv, "--connect", NULL);
    if (where == NULL)
        bench_die(
            "usage: load --connect ADDRESS:PORT [--connections N] [--seconds S | --requests N] "
            "[--warmup S] [--rate N] [--table N] [--seed N] [--cpu N] [--unique] [--any] [--heard FILE]");
    bench_pin(bench_option(argc, argv, "--cpu", NULL));
    load.connection_count = (size_t)bench_number(argc, argv, "--connections", 20);
    load.limit = (uint64_t)bench_number(argc, argv, "--requests", 0);
    load.rate = bench_number(argc, argv, "--rate", 0);
    load.unique = bench_flag(argc, argv, "--unique");
    load.any = bench_flag(argc, argv, "--any");
    const char *heard = bench_option(argc, argv, "--heard", NULL);
    if (heard != NULL && (load.heard = fopen(heard, "we")) == NULL)
        bench_die("%s: %s", heard, strerror(errno));
    make_table(&load, (size_t)bench_number(argc, argv, "--table", 8192),
               (uint64_t)bench_number(argc, argv, "--seed", 1));
    open_connections(&load, where);
    load.begin_ns = bench_now_ns();
    double warmup = load.limit > 0 ? 0 : bench_number(argc, argv, "--warmup", 0.5);
    load.measure_ns = load.begin_ns + (int64_t)(warmup * 1e9);
    load.end_ns = load.measure_ns + (int64_t)(bench_number(argc, argv, "--seconds", 5) * 1e9);
    run(&load);
    report(&load, bench_now_ns());
    if (load.heard != NULL && fclose(load.heard) != 0)
        bench_die("%s: %s", heard, strerror(errno));
    return 0;
}
