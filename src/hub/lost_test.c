/* SPDX-License-Identifier: Apache-2.0
 *
 * lost: the hub's disk fails an fdatasync and does not give back what was written either. No batch that is
 * gone is acked, and none that came behind it in its epoch; the edges send them again, and in the end each
 * record is there once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"
#include "tests/shim/disk.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FOR_EVER = 1000000, EDGES = 3 };

static struct world world;
static struct world_edge edges[EDGES];
static struct world_peer *peer;
static struct batch_writer *writer;
static struct frame *frame;

static int setup(void **state)
{
    (void)state;
    world_make(&world);
    world_start_hub(&world);
    frame = calloc(1, sizeof *frame);
    assert_non_null(frame);
    assert_int_equal(batch_writer_create(&writer, 3), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk_fail_syncs(0, 0);
    disk_hang_syncs(false);
    batch_writer_destroy(&writer);
    free(frame);
    if (peer != NULL)
        world_disconnect(&peer);
    for (size_t i = 0; i < EDGES; i++)
        if (edges[i].world != NULL)
            world_edge_close(&edges[i]);
    world_remove(&world);
    return 0;
}

static uint64_t appended(void)
{
    struct journal_stats stats;
    journal_get_stats(world.journal, &stats);
    return stats.appended;
}

/* Flips a bit in the n-th record (from 0) that the hub's journal holds, durable or not. */
static void damage(uint64_t n)
{
    char dir[WORLD_PATH_BYTES], path[WORLD_PATH_BYTES + 32];
    struct journal_reader *reader;
    struct journal_record record;
    uint8_t byte;
    (void)snprintf(dir, sizeof dir, "%s/journal", world.dir);
    assert_int_equal(journal_reader_open(&reader, NULL, dir, (struct journal_pos){0}, NULL), 0);
    for (uint64_t i = 0; i <= n; i++)
        assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/%016" PRIx64 ".seg", dir, record.pos.segment);
    journal_reader_close(&reader);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at = (off_t)record.next.offset - 9;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

/* The hub sits in an fdatasync that will fail; meanwhile its n-th record goes bad. */
static void fail_and_damage(uint64_t n)
{
    disk_hang_syncs(true);
    WORLD_WAIT(disk_waiting() == 1);
    uint64_t errors = world_stats(&world).journal_errors;
    damage(n);
    disk_hang_syncs(false);
    WORLD_WAIT(world_stats(&world).journal_errors > errors);
}

/* A batch of the numbers first to first + count - 1, at seq first + 1 of the peer's one epoch. */
static void say_batch(uint32_t first, uint32_t count)
{
    char text[128];
    batch_writer_clear(writer);
    for (uint32_t i = first; i < first + count; i++) {
        int n = snprintf(text, sizeof text, "request=smtpd_access_policy\nnumber=%u\n\n", i);
        assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, (struct slice){text, (size_t)n}), 0);
    }
    frame->type = FRAME_BATCH;
    frame->batch = (struct frame_batch){.greeting = peer->greeting,
                                        .epoch = {{1}},
                                        .first_seq = first + 1,
                                        .count = count,
                                        .clock_us = clock_real_us()};
    assert_int_equal(batch_writer_finish(writer, &frame->batch.body, &frame->batch.hash), 0);
    world_say(peer, frame);
}

static void expect_ack(uint64_t last_seq)
{
    const struct frame *answer = world_hear(peer);
    if (answer->type == FRAME_REFUSE)
        fail_msg("refused: %s", frame_refusal_name(answer->refuse.code));
    assert_int_equal(answer->type, FRAME_ACK);
    assert_int_equal(answer->ack.progress.last_seq, last_seq);
}

static void what_is_lost_is_not_acked(void **state)
{
    (void)state;
    peer = world_connect(&world);
    assert_int_equal(world_greet(peer, "mx1", world.api_key)->type, FRAME_WELCOME);
    say_batch(0, 10);
    expect_ack(10);
    disk_fail_syncs(EIO, FOR_EVER);
    for (uint32_t i = 1; i <= 5; i++)
        say_batch(i * 10, 10);
    say_batch(20, 10); /* two that are known meanwhile */
    say_batch(40, 10);
    WORLD_WAIT(world_stats(&world).duplicates == 2);
    fail_and_damage(3);
    const struct frame *answer = world_hear(peer);
    assert_int_equal(answer->type, FRAME_REFUSE);
    assert_string_equal(frame_refusal_name(answer->refuse.code), "resync");
    assert_int_equal(world_stats(&world).sessions, 0);
    disk_fail_syncs(0, 0);
    expect_ack(20);
    expect_ack(30);
    expect_ack(30); /* the one that came twice */
    answer = world_greet(peer, "mx1", world.api_key);
    assert_int_equal(answer->type, FRAME_WELCOME);
    assert_int_equal(answer->welcome.progress[0].last_seq, 30);
    say_batch(30, 25); /* cut otherwise than before */
    expect_ack(55);
    say_batch(55, 5);
    expect_ack(60);
    struct receive_stats stats = world_stats(&world);
    assert_int_equal(stats.records, 60);
    assert_int_equal(stats.batches, 5);
    assert_int_equal(stats.gaps, 0);
    assert_int_equal(stats.forked, 0);
    world_expect_once(&world, 0, 59);
}

/* Real edges, several of whose batches are under way when it happens. */
static void edges_send_again_what_is_lost(void **state)
{
    (void)state;
    const uint32_t records = 60000;
    for (uint32_t i = 0; i < EDGES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "mx%u", i + 1);
        world_edge_init(&edges[i], &world, name);
        world_edge_open(&edges[i]);
        world_edge_keep(&edges[i], i * records, records);
        WORLD_WAIT(spool_synced_seq(edges[i].spool) == records);
    }
    disk_fail_syncs(EIO, FOR_EVER);
    for (uint32_t i = 0; i < EDGES; i++)
        world_edge_start(&edges[i], edges[i].name);
    WORLD_WAIT(appended() >= 4); /* of one edge at least: nobody is welcomed while the disk fails */
    fail_and_damage(2);
    disk_fail_syncs(0, 0);
    WORLD_WAIT(world_stats(&world).records >= EDGES * records);
    assert_int_equal(world_stats(&world).gaps, 0);
    world_expect_once(&world, 0, EDGES * records - 1);
}

int main(void)
{
    log_set_level(getenv("WIRE_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_lost_is_not_acked, setup, teardown),
        cmocka_unit_test_setup_teardown(edges_send_again_what_is_lost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
