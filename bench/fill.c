/* SPDX-License-Identifier: Apache-2.0
 *
 * fill: makes an edge's spool full of made-up events, as a policy-proxy leaves it whose hub was away.
 *
 *   fill --spool DIR [--events 1000000] [--seed 1] [--days 1]     events spread over the last --days
 *        [--ahead 0]     seconds by which all of them are later: to live push they are news while they are
 * drained
 */
#include "bench.h"

#include "base/clock.h"
#include "cli/traffic.h"
#include "journal/spool.h"
#include "wire/batch.h"

#include <stdio.h>
#include <time.h>

static void keep(struct spool *spool, int64_t ts_us, struct slice payload)
{
    int rc;
    while ((rc = spool_append(spool, RECORD_POLICY, ts_us, payload, NULL)) == ERR_FULL)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the ring empties itself */
    if (rc != 0)
        bench_die("spool_append: %s", err_text(rc));
}

int main(int argc, char **argv)
{
    uint64_t events = (uint64_t)bench_number(argc, argv, "--events", 1000000), made = 0;
    double days = bench_number(argc, argv, "--days", 1), ahead = bench_number(argc, argv, "--ahead", 0);
    struct spool_options options = {
        .journal = {.dir = bench_option(argc, argv, "--spool", NULL),
                    .max_bytes = UINT64_C(64) << 30,
                    .segment_bytes = 64 << 20},
        .ring_dir = "/dev/shm",
        .ring_bytes = 64 << 20,
        .sync_interval_us = 100000,
    };
    struct traffic *traffic;
    struct spool *spool;
    struct err err = {0};
    if (options.journal.dir == NULL)
        bench_die("usage: fill --spool DIR [--events N] [--seed N] [--days N] [--ahead SECONDS]");
    if (traffic_create(&traffic, (uint64_t)bench_number(argc, argv, "--seed", 1), 0) != 0)
        bench_die("out of memory");
    if (spool_open(&spool, &options, &err) != 0)
        bench_die("%s", err_detail(&err));
    /* No rhythm. A message makes more than one request, so that the last one comes before now. */
    double step_us = days * 86400 * 1e6 / (double)events;
    int64_t ts_us = clock_real_us() - (int64_t)((days * 86400 - ahead) * 1e6);
    while (made < events) {
        struct traffic_message message;
        ts_us += (int64_t)(traffic_pause(traffic) * step_us);
        traffic_draw(traffic, ts_us, &message);
        for (unsigned i = 0; i < traffic_request_count(&message) && made < events; i++, made++) {
            char bytes[TRAFFIC_REQUEST_BYTES];
            size_t n = traffic_request(&message, i, bytes);
            keep(spool, traffic_request_us(&message, i), (struct slice){bytes, n});
        }
    }
    if (spool_close(&spool, 120 * US_PER_SECOND, &err) != 0)
        bench_die("%s", err_detail(&err));
    printf("{\"events\":%llu}\n", (unsigned long long)made);
    traffic_destroy(&traffic);
    return 0;
}
