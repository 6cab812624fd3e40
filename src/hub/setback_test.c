/* SPDX-License-Identifier: Apache-2.0
 *
 * setback_test: a machine is set back together with its memory: an edge's epoch has been used by another
 * process, so it goes on under a new name. That name outlives the process, and what was sent before or under
 * it arrives exactly once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world world;
static struct world_edge edge;

static int setup(void **state)
{
    (void)state;
    world_make(&world);
    world_start_hub(&world);
    world_edge_init(&edge, &world, "mx1");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_edge_close(&edge);
    world_remove(&world);
    return 0;
}

/* The epoch that the records of the edge's spool stand under; one process made them all. */
static struct epoch spooled_epoch(void)
{
    struct journal_reader *reader;
    struct journal_record record;
    assert_int_equal(journal_reader_open(&reader, NULL, edge.spool_dir, (struct journal_pos){0}, NULL), 0);
    assert_int_equal(journal_reader_next(reader, &record, NULL), 0);
    journal_reader_close(&reader);
    return record.epoch;
}

/* What a copy of the edge's process, memory and all, has sent. The hub is stopped. */
static void send_as_its_copy(struct epoch epoch, uint64_t first_seq, uint32_t number, uint32_t count)
{
    char path[WORLD_PATH_BYTES], text[64];
    struct journal_options options = {.max_bytes = world.journal_bytes, .segment_bytes = 1 << 20};
    struct commit commit = {.tenant = world.tenant, .edge = SLICE("mx1"), .first_seq = first_seq};
    struct batch_writer *writer;
    struct journal *journal;
    struct buf buf;
    (void)snprintf(path, sizeof path, "%s/journal", world.dir);
    options.dir = path;
    commit.epoch = epoch;
    commit.count = count;
    commit.hub_ts = clock_real_us();
    assert_int_equal(ip_parse(SLICE("127.0.0.1"), &commit.peer), 0);
    assert_int_equal(batch_writer_create(&writer, 1), 0);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "request=smtpd_access_policy\nnumber=%u\n\n", number + i);
        assert_int_equal(batch_writer_add(writer, RECORD_POLICY, 1, slice_of(text)), 0);
    }
    assert_int_equal(batch_writer_finish(writer, &commit.body, &commit.hash), 0);
    buf_init(&buf, 1 << 20);
    assert_int_equal(commit_encode(&commit, &buf), 0);
    assert_int_equal(journal_open(&journal, &options, NULL), 0);
    assert_int_equal(journal_append(journal, COMMIT_BATCH, commit.hub_ts, buf_slice(&buf), NULL, NULL), 0);
    assert_int_equal(journal_sync(journal, NULL), 0);
    journal_close(&journal);
    buf_fini(&buf);
    batch_writer_destroy(&writer);
}

/* A process of its own, which can be killed: keeps and sends, a step at each byte that comes in. */
enum { STEP_SENT = 100, STEP_KEPT = 180, STEP_REST = 200 };

static void step_done(int in, int out)
{
    char byte = '.';
    if (write(out, &byte, 1) != 1 || read(in, &byte, 1) != 1)
        _exit(EXIT_FAILURE);
}

static int be_the_edge(char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
    (void)snprintf(world.dir, sizeof world.dir, "%s", argv[2]);
    (void)snprintf(world.endpoint, sizeof world.endpoint, "%s", argv[3]);
    (void)snprintf(world.server_key, sizeof world.server_key, "%s", argv[4]);
    (void)snprintf(world.api_key, sizeof world.api_key, "%s", argv[5]);
    world_edge_init(&edge, &world, "mx1");
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, STEP_SENT);
    world_edge_wait_acked(&edge, STEP_SENT);
    step_done(STDIN_FILENO, STDOUT_FILENO);
    world_edge_keep(&edge, STEP_SENT, STEP_KEPT - STEP_SENT);
    world_edge_wait_acked(&edge, STEP_KEPT); /* under the new name */
    step_done(STDIN_FILENO, STDOUT_FILENO);
    world_edge_keep(&edge, STEP_KEPT, STEP_REST - STEP_KEPT);
    WORLD_WAIT(spool_synced_seq(edge.spool) == STEP_REST);
    step_done(STDIN_FILENO, STDOUT_FILENO);
    return EXIT_SUCCESS;
}

struct child {
    pid_t pid;
    int in, out;
};

static struct child start_the_edge(void)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        (void)close(to[1]);
        (void)close(from[0]);
        (void)execl("/proc/self/exe", "setback_test", "edge", world.dir, world.endpoint, world.server_key,
                    world.api_key, (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    return (struct child){pid, to[1], from[0]};
}

static void wait_step(const struct child *child)
{
    char byte;
    assert_int_equal(read(child->out, &byte, 1), 1);
}

static void next_step(const struct child *child)
{
    assert_int_equal(write(child->in, ".", 1), 1);
}

/* Memory and disk are set back, records go out under a new name; it is killed with some unsent. The copy went
 * on for longer, so under the old name the hub would take these for known. */
static void the_new_name_outlives_the_process(void **state)
{
    (void)state;
    int status;
    struct child child = start_the_edge();
    wait_step(&child);
    world_stop_hub(&world);
    send_as_its_copy(spooled_epoch(), STEP_SENT + 1, STEP_REST + 10, 300);
    next_step(&child);
    world_start_hub(&world);
    wait_step(&child);
    world_stop_hub(&world);
    next_step(&child);
    wait_step(&child);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFSIGNALED(status));
    (void)close(child.in);
    (void)close(child.out);

    world_start_hub(&world);
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, STEP_REST, 10); /* of the new process: the last to go */
    WORLD_WAIT(world_stats(&world).records == 10 + STEP_REST - STEP_KEPT);
    WORLD_WAIT(world_edge_stats(&edge).lag_us == 0);
    assert_int_equal(world_stats(&world).gaps, 0);
    world_expect_once(&world, 0, STEP_REST + 309);
}

/* Set back twice; then the spool forgets how far the hub has it, so that each name is asked for again. */
static void every_name_is_kept(void **state)
{
    (void)state;
    struct standins standins;
    char cursor[WORLD_PATH_BYTES + 8];
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 100);
    world_edge_wait_acked(&edge, 100);
    world_stop_hub(&world);
    send_as_its_copy(spooled_epoch(), 101, 200, 50);
    world_edge_keep(&edge, 100, 80);
    WORLD_WAIT(spool_synced_seq(edge.spool) == 180);
    world_start_hub(&world);
    world_edge_wait_acked(&edge, 180);
    world_edge_stop(&edge, 0);
    world_edge_keep(&edge, 180, 10); /* another uplink, as after a reload, knows the new name */
    world_edge_start(&edge, "mx1");
    world_edge_wait_acked(&edge, 10);
    world_stop_hub(&world);
    assert_int_equal(standins_load(edge.spool_dir, &standins, NULL), 0);
    assert_int_equal(standins.count, 1);
    assert_int_equal(standins.entry[0].base, 100);
    send_as_its_copy(standins.entry[0].name, 91, 250, 10);
    world_edge_keep(&edge, 190, 10);
    world_start_hub(&world);
    world_edge_wait_acked(&edge, 20);
    assert_int_equal(standins_load(edge.spool_dir, &standins, NULL), 0);
    assert_int_equal(standins.count, 2);
    assert_int_equal(standins.entry[1].base, 190);

    world_edge_close(&edge);
    (void)snprintf(cursor, sizeof cursor, "%s/cursor", edge.spool_dir);
    assert_int_equal(unlink(cursor), 0);
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 260, 5);
    world_edge_wait_acked(&edge, 5);
    assert_int_equal(world_stats(&world).gaps, 0);
    world_expect_once(&world, 0, 264);
}

/* Nothing leaves under a name that a restart would forget. */
static void a_name_that_cannot_be_stored_is_not_used(void **state)
{
    (void)state;
    char in_the_way[WORLD_PATH_BYTES + 16];
    world_edge_open(&edge);
    world_edge_start(&edge, "mx1");
    world_edge_keep(&edge, 0, 100);
    world_edge_wait_acked(&edge, 100);
    world_stop_hub(&world);
    send_as_its_copy(spooled_epoch(), 101, 200, 50);
    world_edge_keep(&edge, 100, 100);
    WORLD_WAIT(spool_synced_seq(edge.spool) == 200);
    (void)snprintf(in_the_way, sizeof in_the_way, "%s/standins.new", edge.spool_dir);
    assert_int_equal(mkdir(in_the_way, 0700), 0);
    world_start_hub(&world);
    WORLD_WAIT(world_edge_stats(&edge).state == UPLINK_READY && world_stats(&world).hellos >= 2);
    world_edge_stop(&edge, US_PER_SECOND); /* it would send what it may */
    assert_int_equal(world_stats(&world).batches, 0);
    assert_int_equal(rmdir(in_the_way), 0);
    world_edge_start(&edge, "mx1");
    world_edge_wait_acked(&edge, 100);
    world_expect_once(&world, 0, 249);
}

static void damage_is_noticed_and_a_newer_release_respected(void **state)
{
    (void)state;
    struct standins standins = {.count = 0};
    struct standin one = {.epoch = {{1}}, .name = {{2}}, .base = 7};
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/standins", world.dir);
    assert_int_equal(standins_load(world.dir, &standins, NULL), 0);
    assert_int_equal(standins.count, 0);
    for (one.base = 1; one.base <= STANDINS + 1; one.base++)
        assert_int_equal(standins_add(world.dir, &standins, &one, NULL), 0);
    assert_int_equal(standins_load(world.dir, &standins, NULL), 0);
    assert_int_equal(standins.count, STANDINS);
    assert_int_equal(standins.entry[0].base, 2);
    assert_null(standins_find(&standins, &one.epoch, 2));
    assert_int_equal(standins_find(&standins, &one.epoch, 30)->base, 29);
    assert_null(standins_find(&standins, &one.name, 30));

    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 100, SEEK_SET), 0);
    assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fflush(file), 0);
    assert_int_equal(standins_load(world.dir, &standins, NULL), 0);
    assert_int_equal(standins.count, 0);
    assert_int_equal(fseek(file, 8, SEEK_SET), 0);
    assert_int_equal(fputc(2, file), 2);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(standins_load(world.dir, &standins, NULL), ERR_VERSION);
}

int main(int argc, char **argv)
{
    log_set_level(getenv("WIRE_TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (argc == 6 && strcmp(argv[1], "edge") == 0)
        return be_the_edge(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_name_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(the_new_name_outlives_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_cannot_be_stored_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_noticed_and_a_newer_release_respected, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
