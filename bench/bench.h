/* SPDX-License-Identifier: Apache-2.0
 *
 * bench: what the measuring programs share: options, pinning, loopback sockets, a latency histogram. They are
 * tools of one run on one machine: what goes wrong ends them with one line and exit status 1.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "base/err.h"

#include <stdint.h>

_Noreturn void bench_die(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The word behind name on the command line, or fallback. */
const char *bench_option(int argc, char **argv, const char *name, const char *fallback);
double bench_number(int argc, char **argv, const char *name, double fallback);
bool bench_flag(int argc, char **argv, const char *name);

void bench_pin(const char *cpu); /* this thread on that processor; NULL: anywhere */
int64_t bench_now_ns(void);      /* monotonic */

/* "ADDRESS:PORT" of IPv4. bench_listen prints where it listens (port 0 picks one) and is non-blocking. */
int bench_listen(const char *where);
int bench_connect(const char *where); /* blocking connect, then non-blocking */
void bench_no_delay(int fd);

/* Latencies in ns, 1.6 % wide buckets. Plain data, starts zeroed. */
enum { BENCH_BUCKETS = 64 * 40 };
struct bench_latency {
    uint64_t counts[BENCH_BUCKETS], total;
    int64_t max_ns;
};
void bench_latency_add(struct bench_latency *latency, int64_t ns);
double bench_latency_us(const struct bench_latency *latency, double quantile);

#endif
