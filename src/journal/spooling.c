/* SPDX-License-Identifier: Apache-2.0
 *
 * spooling: see spooling.h.
 */
#include "spooling.h"

#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

enum { RING = 256 * 1024 };

const int64_t spooling_limit_us = 60 * US_PER_SECOND;
char spooling_ring_dir[] = "/dev/shm/spool-test-XXXXXX";

int spooling_begin(void)
{
    log_set_level(LOG_LEVEL_ERROR); /* the disk fails often here */
    return mkdtemp(spooling_ring_dir) != NULL ? 0 : -1;
}

int spooling_end(int failures)
{
    testdir_empty(spooling_ring_dir);
    (void)rmdir(spooling_ring_dir);
    return failures;
}

struct spool_options spooling_options(const char *dir)
{
    return (struct spool_options){
        .journal = {.dir = dir, .max_bytes = 256 << 20, .segment_bytes = 256 * 1024},
        .ring_dir = spooling_ring_dir,
        .ring_bytes = RING,
        .sync_interval_us = 20000};
}

struct spool *spooling_open(const struct spool_options *options)
{
    struct spool *spool;
    struct err err = {0};
    if (spool_open(&spool, options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return spool;
}

void spooling_close(struct spool *spool)
{
    struct err err = {0};
    if (spool_close(&spool, spooling_limit_us, &err) != 0)
        fail_msg("%s", err_detail(&err));
}

/* A payload that tells its seq, of a length that differs from one to the next. */
static struct slice payload_of(uint64_t seq, char *out)
{
    size_t n = 8 + (size_t)(seq * 7919 % 1200);
    memset(out, (int)('a' + seq % 26), n);
    memcpy(out, &seq, sizeof seq);
    return (struct slice){out, n};
}

int spooling_append(struct spool *spool, uint64_t n)
{
    char bytes[2048];
    return spool_append(spool, 1, (int64_t)n, payload_of(n, bytes), NULL);
}

void spooling_wait(struct spool *spool, bool synced)
{
    struct spool_stats stats;
    int64_t end = clock_monotonic_us() + spooling_limit_us;
    do {
        usleep(1000);
        spool_get_stats(spool, &stats);
        if (clock_monotonic_us() > end)
            fail_msg("%lu records were not written in time", (unsigned long)stats.unwritten);
    } while (stats.unwritten != 0 || (synced && spool_synced_seq(spool) < stats.accepted));
}

void spooling_read(const char *dir, bool gaps, struct spooling_found *found)
{
    struct journal_reader *reader;
    struct journal_record record;
    char bytes[2048];
    int rc;
    memset(found, 0, sizeof *found);
    assert_int_equal(journal_reader_open(&reader, NULL, dir, (struct journal_pos){0, 0}, NULL), 0);
    while ((rc = journal_reader_next(reader, &record, NULL)) == 0) {
        size_t i = found->n != 0 ? found->n - 1 : 0;
        if (found->n == 0 || memcmp(&found->of[i].epoch, &record.epoch, sizeof record.epoch) != 0) {
            for (size_t j = 0; j < found->n; j++)
                assert_memory_not_equal(&found->of[j].epoch, &record.epoch, sizeof record.epoch);
            i = found->n++;
            assert_true(i < SPOOLING_EPOCHS);
            found->of[i].epoch = record.epoch;
            found->of[i].first = record.seq;
        } else if (gaps ? record.seq <= found->of[i].last : record.seq != found->of[i].last + 1) {
            fail_msg("seq %lu follows %lu", (unsigned long)record.seq, (unsigned long)found->of[i].last);
        }
        if (!slice_equal(record.payload, payload_of((uint64_t)record.ts_us, bytes)))
            fail_msg("seq %lu is not what was appended", (unsigned long)record.seq);
        found->of[i].last = record.seq;
        found->of[i].records++;
    }
    assert_int_equal(rc, ERR_END);
    assert_int_equal(journal_reader_skipped(reader), 0);
    journal_reader_close(&reader);
}
