/* SPDX-License-Identifier: Apache-2.0
 *
 * bench: see bench.h.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

void bench_die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

const char *bench_option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return fallback;
}

double bench_number(int argc, char **argv, const char *name, double fallback)
{
    const char *text = bench_option(argc, argv, name, NULL);
    char *end = NULL;
    double value = text == NULL ? fallback : strtod(text, &end);
    if (text != NULL && (end == text || *end != '\0'))
        bench_die("%s wants a number, not '%s'", name, text);
    return value;
}

bool bench_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

void bench_pin(const char *cpu)
{
    if (cpu == NULL)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_die("cannot use processor %s: %s", cpu, strerror(errno));
}

int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct sockaddr_in address_of(const char *where)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (sscanf(where, "%63[0-9.]:%u", host, &port) != 2 || port > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        bench_die("'%s' is not ADDRESS:PORT", where);
    address.sin_port = htons((uint16_t)port);
    return address;
}

void bench_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int bench_listen(const char *where)
{
    struct sockaddr_in address = address_of(where);
    socklen_t length = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        bench_die("cannot listen on %s: %s", where, strerror(errno));
    char host[64];
    printf("listening on %s:%u\n", inet_ntop(AF_INET, &address.sin_addr, host, sizeof host),
           ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int bench_connect(const char *where)
{
    struct sockaddr_in address = address_of(where);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        bench_die("cannot connect to %s: %s", where, strerror(errno));
    bench_no_delay(fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* 64 buckets for each power of two; the first 64 ns one by one. */
static size_t bucket_of(int64_t ns)
{
    uint64_t value = ns < 0 ? 0 : (uint64_t)ns;
    if (value < 64)
        return (size_t)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    size_t bucket = (size_t)(power - 5) * 64 + ((value >> (power - 6)) & 63);
    return bucket < BENCH_BUCKETS ? bucket : BENCH_BUCKETS - 1;
}

static double bucket_end_ns(size_t bucket)
{
    if (bucket < 64)
        return (double)bucket + 1;
    return (double)((64 + bucket % 64 + 1) * (UINT64_C(1) << (bucket / 64 - 1)));
}

void bench_latency_add(struct bench_latency *latency, int64_t ns)
{
    latency->counts[bucket_of(ns)]++;
    latency->total++;
    if (ns > latency->max_ns)
        latency->max_ns = ns;
}

double bench_latency_us(const struct bench_latency *latency, double quantile)
{
    uint64_t wanted = (uint64_t)(quantile * (double)latency->total), seen = 0;
    for (size_t i = 0; i < BENCH_BUCKETS; i++)
        if ((seen += latency->counts[i]) > wanted)
            return bucket_end_ns(i) / 1e3;
    return (double)latency->max_ns / 1e3;
}
