/* SPDX-License-Identifier: Apache-2.0
 *
 * make_events: how fast the loader's first stage turns the hub's journal into events (decompress, parse,
 * classify, consolidate), on one core and without a store. Prints JSON.
 *
 *   make_events --dir DIR [--events 1000000] [--seed 1] [--batch 1000]     DIR is made and must not exist
 */
#include "bench.h"

#include "base/clock.h"
#include "cli/traffic.h"
#include "hub/exchange.h"
#include "hub/maker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct world {
    struct journal *journal;
    struct batch_writer *writer;
    struct buf buf;
    uint64_t seq;
};

static void check(int rc, const struct err *err)
{
    if (rc != 0)
        bench_die("make_events: %s", err->detail[0] != '\0' ? err_detail(err) : err_text(rc));
}

static void send_batch(struct world *w)
{
    struct err err = {0};
    struct commit commit = {.tenant = 1,
                            .edge = SLICE("mx1"),
                            .epoch = {{1}},
                            .count = batch_writer_count(w->writer),
                            .hub_ts = clock_real_us()};
    commit.first_seq = w->seq + 1 - commit.count;
    buf_clear(&w->buf);
    check(batch_writer_finish(w->writer, &commit.body, &commit.hash), &err);
    check(commit_encode(&commit, &w->buf), &err);
    check(journal_append(w->journal, COMMIT_BATCH, commit.hub_ts, buf_slice(&w->buf), NULL, &err), &err);
    batch_writer_clear(w->writer);
}

static void fill(struct world *w, uint64_t events, uint32_t batch, uint64_t seed)
{
    struct traffic *traffic;
    struct err err = {0};
    int64_t ts_us = clock_real_us();
    check(traffic_create(&traffic, seed, 0), &err);
    while (w->seq < events) {
        struct traffic_message message;
        ts_us = traffic_next_us(traffic, ts_us, 1e8);
        traffic_draw(traffic, ts_us, &message);
        for (unsigned i = 0; i < traffic_request_count(&message) && w->seq < events; i++) {
            char bytes[TRAFFIC_REQUEST_BYTES];
            struct slice payload = {bytes, traffic_request(&message, i, bytes)};
            check(batch_writer_add(w->writer, RECORD_POLICY, ts_us, payload), &err);
            w->seq++;
            if (batch_writer_count(w->writer) == batch)
                send_batch(w);
        }
    }
    if (batch_writer_count(w->writer) > 0)
        send_batch(w);
    check(journal_sync(w->journal, &err), &err);
    traffic_destroy(&traffic);
}

static void measure(struct world *w, const char *dir)
{
    char path[2][4096];
    struct err err = {0};
    struct quarantine quarantine;
    struct maker *maker;
    struct event_batch *batch;
    struct store_cursor after;
    uint64_t events = 0;
    int rc;
    (void)snprintf(path[0], sizeof path[0], "%s/account.db", dir);
    (void)snprintf(path[1], sizeof path[1], "%s/quarantine", dir);
    check(quarantine_open(&quarantine, path[1], &err), &err);
    check(maker_create(&maker, w->journal, path[0], &quarantine, &err), &err);
    check(event_batch_create(&batch, PART_ROWS, PART_TEXT_BYTES), &err);
    int64_t start_us = clock_monotonic_us();
    do {
        event_batch_clear(batch);
        rc = maker_fill(maker, batch, PART_ROWS, &after, &err);
        events += event_batch_count(batch);
    } while (rc == 0);
    double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;
    if (rc != ERR_END || events != w->seq || maker_parse_errors(maker) != 0)
        bench_die("make_events: %" PRIu64 " of %" PRIu64 " events made", events, w->seq);
    printf("{\"events\":%" PRIu64 ",\"seconds\":%.3f,\"per_second\":%.0f}\n", events, seconds,
           (double)events / seconds);
    event_batch_destroy(&batch);
    maker_destroy(&maker);
}

int main(int argc, char **argv)
{
    char path[4096];
    struct err err = {0};
    struct world w = {.seq = 0};
    const char *dir = bench_option(argc, argv, "--dir", NULL);
    if (dir == NULL || mkdir(dir, 0700) != 0)
        bench_die("usage: make_events --dir DIR [--events N] [--seed N] [--batch N]; DIR must not exist");
    (void)snprintf(path, sizeof path, "%s/journal", dir);
    struct journal_options options = {.dir = path, .max_bytes = UINT64_C(1) << 40};
    check(journal_open(&w.journal, &options, &err), &err);
    check(batch_writer_create(&w.writer, 3), &err);
    buf_init(&w.buf, JOURNAL_RECORD_BYTES);
    fill(&w, (uint64_t)bench_number(argc, argv, "--events", 1000000),
         (uint32_t)bench_number(argc, argv, "--batch", 1000),
         (uint64_t)bench_number(argc, argv, "--seed", 1));
    measure(&w, dir);
    buf_fini(&w.buf);
    batch_writer_destroy(&w.writer);
    journal_close(&w.journal);
    return EXIT_SUCCESS;
}
