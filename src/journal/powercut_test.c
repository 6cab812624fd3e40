/* SPDX-License-Identifier: Apache-2.0
 *
 * powercut: a child appends, reads along and compresses under a library that logs what its syncs made durable
 * (tests/shim/powercut.c); it is killed, everything else is taken back (tests/shim/cut.c) and the ring with
 * it. Then all that a reader was ever shown, and all up to spool_synced_seq, must still be there.
 *
 * usage: powercut_test LIBRARY CUT
 */
#include "spool.h"
#include "testdir.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 8, BACKLOG = 300, READ_EVERY_US = 300 };
static const int64_t limit_us = 60 * US_PER_SECOND;
static const char *library, *cut, *self;

/* What the child has to say, in a file on a tmpfs that outlives it. */
struct report {
    _Atomic uint64_t accepted, synced, shown;
    struct epoch epoch;
};

static struct report *map_report(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct report)) != 0)
        return NULL;
    void *p = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p != MAP_FAILED ? p : NULL;
}

static struct spool_options options_in(const char *dir, const char *ring_dir, bool always)
{
    return (struct spool_options){
        .journal = {.dir = dir, .max_bytes = 256 << 20, .segment_bytes = 80 * 1024, .compress_level = 1},
        .ring_dir = ring_dir,
        .ring_bytes = 512 * 1024,
        .sync = always ? SPOOL_SYNC_ALWAYS : SPOOL_SYNC_INTERVAL,
        .sync_interval_us = 20000};
}

/* --- the child ------------------------------------------------------------------------------------------ */

struct reading {
    struct spool *spool;
    struct report *report;
};

static void *read_along(void *arg)
{
    struct reading *reading = arg;
    struct journal *journal = spool_journal(reading->spool);
    struct journal_reader *reader;
    struct journal_record record;
    bool worked;
    if (journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL) != 0)
        abort();
    for (;;) {
        if (journal_reader_next(reader, &record, NULL) == 0) {
            if (memcmp(&record.epoch, &reading->report->epoch, sizeof record.epoch) == 0)
                atomic_store(&reading->report->shown, record.seq);
        } else {
            (void)!journal_maintain(journal, 0, 0, &worked, NULL);
            usleep(READ_EVERY_US);
        }
    }
    return NULL;
}

static int child(const char *dir, const char *ring_dir, const char *report_path, bool always)
{
    struct report *report = map_report(report_path);
    struct spool *spool;
    struct err err = {0};
    struct spool_options options = options_in(dir, ring_dir, always);
    if (report == NULL || spool_open(&spool, &options, &err) != 0) {
        fprintf(stderr, "child: %s\n", err_detail(&err));
        return 1;
    }
    journal_epoch(spool_journal(spool), &report->epoch);
    struct reading reading = {spool, report};
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_along, &reading) != 0)
        return 1;
    char payload[600];
    memset(payload, 'p', sizeof payload);
    for (uint64_t seq = 1;; seq++) {
        memcpy(payload, &seq, sizeof seq);
        while (seq > spool_synced_seq(spool) + BACKLOG)
            usleep(100);
        if (spool_append(spool, 1, (int64_t)seq, (struct slice){payload, 8 + seq * 31 % 592}, NULL) != 0)
            return 2;
        atomic_store(&report->accepted, seq);
        atomic_store(&report->synced, spool_synced_seq(spool));
    }
}

/* --- the test ------------------------------------------------------------------------------------------- */

static pid_t start_child(const char *dir, const char *ring_dir, const char *report, const char *log,
                         bool always)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
    setenv("LD_PRELOAD", library, 1);
    setenv("POWERCUT_LOG", log, 1);
    execl(self, self, "child", dir, ring_dir, report, always ? "always" : "interval", (char *)NULL);
    _exit(127);
}

static size_t cut_power(const char *log, const char *dir)
{
    char command[1024], line[512];
    size_t taken = 0;
    (void)snprintf(command, sizeof command, "'%s' '%s' '%s'", cut, log, dir);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    while (fgets(line, sizeof line, out) != NULL)
        taken++;
    assert_int_equal(pclose(out), 0);
    return taken;
}

/* Every record of the epoch, without a gap from 1 on: the last seq. */
static uint64_t last_of(const char *dir, const struct epoch *epoch)
{
    struct journal_reader *reader;
    struct journal_record record;
    uint64_t last = 0;
    int rc;
    assert_int_equal(journal_reader_open(&reader, NULL, dir, (struct journal_pos){0, 0}, NULL), 0);
    while ((rc = journal_reader_next(reader, &record, NULL)) == 0) {
        if (memcmp(&record.epoch, epoch, sizeof *epoch) != 0)
            continue;
        if (record.seq != last + 1 || memcmp(record.payload.p, &record.seq, sizeof record.seq) != 0)
            fail_msg("seq %lu follows %lu", (unsigned long)record.seq, (unsigned long)last);
        last = record.seq;
    }
    assert_int_equal(rc, ERR_END);
    journal_reader_close(&reader);
    return last;
}

static void run_and_cut(const char *dir, bool always, uint64_t until, size_t *taken)
{
    char scratch[] = "/dev/shm/powercut-test-XXXXXX", report_path[64], log[64];
    struct journal *journal;
    int status;
    assert_non_null(mkdtemp(scratch));
    (void)snprintf(report_path, sizeof report_path, "%s/report", scratch);
    (void)snprintf(log, sizeof log, "%s/log", scratch);
    struct report *report = map_report(report_path);
    assert_non_null(report);
    pid_t pid = start_child(dir, scratch, report_path, log, always);
    assert_true(pid > 0);
    int64_t end = clock_monotonic_us() + limit_us;
    while (atomic_load(&report->shown) < until && clock_monotonic_us() < end)
        usleep(200);
    usleep((useconds_t)(until % 8 * 2500)); /* away from the sync that showed it, into the next interval */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the child ended with %d", WEXITSTATUS(status));
    assert_true(atomic_load(&report->shown) >= until);
    *taken += cut_power(log, dir);
    struct spool_options options = options_in(dir, scratch, always);
    assert_int_equal(journal_open(&journal, &options.journal, NULL),
                     0); /* the ring is not asked: it is gone */
    journal_close(&journal);
    uint64_t last = last_of(dir, &report->epoch), synced = atomic_load(&report->synced);
    if (last < atomic_load(&report->shown) || last < synced)
        fail_msg("%lu are left; a reader was shown %lu, %lu were synced", (unsigned long)last,
                 (unsigned long)atomic_load(&report->shown), (unsigned long)synced);
    assert_true(last <= atomic_load(&report->accepted) + 1);
    munmap(report, sizeof *report);
    testdir_empty(scratch);
    assert_int_equal(rmdir(scratch), 0);
}

static void cut_rounds(const char *dir, bool always)
{
    size_t taken = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        testdir_empty(dir);
        run_and_cut(dir, always, 150 + round * 173, &taken);
    }
    assert_true(taken > 0); /* else the cut proved nothing */
}

static void interval_keeps_what_was_shown(void **state)
{
    cut_rounds(*state, false);
}

static void always_keeps_what_was_synced(void **state)
{
    cut_rounds(*state, true);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_LEVEL_ERROR);
    if (argc == 6 && strcmp(argv[1], "child") == 0)
        return child(argv[2], argv[3], argv[4], strcmp(argv[5], "always") == 0);
    if (argc != 3)
        return EXIT_FAILURE;
    self = "/proc/self/exe";
    library = argv[1];
    cut = argv[2];
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(interval_keeps_what_was_shown),
        IN_DIR(always_keeps_what_was_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
