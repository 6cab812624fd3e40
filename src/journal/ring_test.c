/* SPDX-License-Identifier: Apache-2.0
 *
 * ring: what was accepted outlives kill -9 at any moment, and comes into the journal once.
 */
#include "ring.h"
#include "spooling.h"

#include "tests/shim/disk.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLS = 20 };

/* What a child has to say, in memory that outlives it. */
struct report {
    _Atomic uint64_t accepted; /* appends that returned 0, from 1 on */
    _Atomic int ready;
};

static struct report *shared_report(void)
{
    void *p = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    return p;
}

/* Appends as fast as the spool takes it, until killed. */
static void append_for_ever(const struct spool_options *options, struct report *report)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
    struct spool *spool;
    if (spool_open(&spool, options, NULL) != 0)
        _exit(1);
    for (uint64_t n = 1;; n++) {
        while (n > spool_synced_seq(spool) + 100) /* a refusal would use up a seq */
            usleep(100);
        if (spooling_append(spool, n) != 0)
            _exit(2);
        atomic_store(&report->accepted, n);
    }
}

/* Appends n while nothing can be written; or while what is written does not return. */
static void append_to_ring(const struct spool_options *options, struct report *report, uint64_t n,
                           bool written)
{
    struct spool *spool;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (written) /* before the open, which carries off what is there */
        disk_hang_after_writes(true);
    else
        disk_hang_writes(true);
    if (spool_open(&spool, options, NULL) != 0)
        _exit(1);
    for (uint64_t i = 1; i <= n; i++)
        if (spooling_append(spool, i) != 0)
            _exit(2);
    atomic_store(&report->accepted, n);
    while (n != 0 && disk_waiting() == 0)
        usleep(300);
    atomic_store(&report->ready, 1);
    for (;;)
        pause();
}

static void kill_and_reap(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("the child ended by itself [status=%#x]", (unsigned)status);
}

static void killed_writers_lose_nothing(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct report *report = shared_report();
    struct spooling_found found;
    uint64_t expected[KILLS];
    size_t recovered_rounds = 0;
    for (size_t round = 0; round < KILLS; round++) {
        atomic_store(&report->accepted, 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            append_for_ever(&options, report);
        int64_t end = clock_monotonic_us() + spooling_limit_us;
        while (atomic_load(&report->accepted) < 400 + round * 97 && clock_monotonic_us() < end)
            usleep(300);
        kill_and_reap(pid);
        expected[round] = atomic_load(&report->accepted);
        if (round % 3 == 2)
            continue; /* the next child itself recovers */
        struct spool *spool = spooling_open(&options);
        struct spool_stats stats;
        spool_get_stats(spool, &stats);
        recovered_rounds += stats.recovered != 0;
        spooling_close(spool);
    }
    spooling_close(spooling_open(&options));
    assert_true(recovered_rounds > 0);
    spooling_read(*state, false, &found);
    assert_int_equal(found.n, KILLS);
    for (size_t i = 0; i < KILLS; i++) {
        assert_int_equal(found.of[i].first, 1);
        if (found.of[i].last != expected[i] &&
            found.of[i].last != expected[i] + 1) /* killed before the report */
            fail_msg("round %zu: %lu of %lu are there", i, (unsigned long)found.of[i].last,
                     (unsigned long)expected[i]);
    }
    munmap(report, sizeof *report);
}

static void leave_in_ring(const struct spool_options *options, uint64_t n, bool written)
{
    struct report *report = shared_report();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        append_to_ring(options, report, n, written);
    int64_t end = clock_monotonic_us() + spooling_limit_us;
    while (atomic_load(&report->ready) == 0 && clock_monotonic_us() < end)
        usleep(300);
    assert_int_equal(atomic_load(&report->ready), 1);
    kill_and_reap(pid);
    munmap(report, sizeof *report);
}

static void several_runs_wait_in_one_ring(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool_stats stats;
    struct spooling_found found;
    for (uint64_t run = 1; run <= 5; run++)
        leave_in_ring(&options, 50 * run % 200, false); /* one of them leaves nothing */
    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 50 + 100 + 150 + 0 + 50);
    assert_int_equal(spooling_append(spool, 1), 0);
    spooling_close(spool);
    spooling_read(*state, false, &found);
    assert_int_equal(found.n, 5);
    assert_int_equal(found.of[2].records, 150);
    assert_int_equal(found.of[3].records, 50);
    assert_int_equal(found.of[4].records, 1);
}

/* Killed between the write and the ring's being told: the records are in both. */
static void what_is_in_both_comes_once(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool_stats stats;
    struct spooling_found found;
    for (size_t round = 0; round < 3; round++)
        leave_in_ring(&options, 100, true);
    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_true(stats.recovered < 300);
    spooling_close(spool);
    spooling_read(*state, false, &found);
    assert_int_equal(found.n, 3);
    for (size_t i = 0; i < found.n; i++)
        assert_int_equal(found.of[i].records, 100);
}

/* The name of the one ring there is. */
static void only_ring(char out[256])
{
    DIR *dir = opendir(spooling_ring_dir);
    unsigned count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strstr(entry->d_name, ".ring") == NULL)
            continue;
        (void)snprintf(out, 256, "%.255s", entry->d_name);
        count++;
    }
    closedir(dir);
    assert_int_equal(count, 1);
}

static void a_damaged_record_in_the_ring_is_passed(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool_stats stats;
    struct spooling_found found;
    leave_in_ring(&options, 100, false);
    char ring[256];
    only_ring(ring);
    testdir_flip(spooling_ring_dir, ring, RING_HEADER_BYTES + 10000);
    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 99);
    spooling_wait(spool, false);
    spooling_close(spool);
    spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.quarantined, 1);
    spooling_close(spool);
    spooling_read(*state, true, &found);
    assert_int_equal(found.of[0].records, 99);
}

/* Inode numbers are used again: a new directory in the place of one that is gone gets nothing of its ring. */
static void a_new_directory_has_a_ring_of_its_own(void **state)
{
    enum { TRIES = 1000 };
    char dir[256];
    struct spool_stats stats;
    struct stat before, after = {0};
    (void)snprintf(dir, sizeof dir, "%s/spool", (const char *)*state);
    struct spool_options options = spooling_options(dir);
    leave_in_ring(&options, 10, false);
    assert_int_equal(stat(dir, &before), 0);
    testdir_empty(dir);
    for (int i = 0; i < TRIES && after.st_ino != before.st_ino; i++) {
        assert_int_equal(rmdir(dir), 0);
        assert_int_equal(mkdir(dir, 0700), 0);
        assert_int_equal(stat(dir, &after), 0);
    }
    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    spooling_close(spool);
    assert_int_equal(stats.recovered, 0);
    if (before.st_ino != after.st_ino)
        print_message("the file system gave the new directory another inode: this run showed little\n");
    testdir_empty(spooling_ring_dir);
}

/* --- where rings lie ------------------------------------------------------------------------------------ */

static char second_dir[] = "/dev/shm/ring-test-XXXXXX";

static struct spool_options options_without_choice(const char *dir)
{
    struct spool_options options = spooling_options(dir);
    options.ring_dir = NULL;
    options.ring_dirs[0] = spooling_ring_dir;
    options.ring_dirs[1] = second_dir;
    return options;
}

static int make_second_dir(void **state)
{
    memcpy(second_dir + strlen(second_dir) - 6, "XXXXXX", 6);
    return mkdtemp(second_dir) != NULL ? testdir_make(state) : -1;
}

static int remove_second_dir(void **state)
{
    testdir_empty(second_dir);
    testdir_empty(spooling_ring_dir);
    return rmdir(second_dir) == 0 && chmod(spooling_ring_dir, 0700) == 0 ? testdir_remove(state) : -1;
}

/* A directory that is no longer ours alone is left for the next; what waits there is found again. */
static void a_ring_is_found_wherever_it_lies(void **state)
{
    struct spool_options options = options_without_choice(*state);
    struct spool_stats stats;
    assert_int_equal(chmod(spooling_ring_dir, 0777), 0);
    leave_in_ring(&options, 50, false);
    assert_int_equal(testdir_count(second_dir, ".ring"), 1);
    assert_int_equal(chmod(spooling_ring_dir, 0700), 0);
    leave_in_ring(&options, 50, false);
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"), 0); /* the one that holds records goes on */
    struct spool_options chosen = spooling_options(*state);
    chosen.ring_dirs[0] = second_dir; /* ring_dir was set meanwhile */
    struct spool *spool = spooling_open(&chosen);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 100);
    spooling_wait(spool, true);
    spooling_close(spool);
    spool = spooling_open(&options);
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"), 1);
    assert_int_equal(testdir_count(second_dir, ".ring"), 0);
    spooling_close(spool);
}

/* Somebody else's file under our name: a link, a directory, one that others may write, another user's. */
static void a_squatted_name_stops_no_start(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool_stats stats;
    char ring[256], path[512], squat[600];
    leave_in_ring(&options, 20, false);
    only_ring(ring);
    (void)snprintf(path, sizeof path, "%s/%s", spooling_ring_dir, ring);
    path[strlen(path) - strlen("-0123456789abcdef.ring")] = '\0'; /* what anybody can tell beforehand */
    (void)snprintf(squat, sizeof squat, "%s.ring", path);
    assert_int_equal(symlink("/etc/hostname", squat), 0);
    (void)snprintf(squat, sizeof squat, "%s-0.ring", path);
    assert_int_equal(mkdir(squat, 0700), 0);
    (void)snprintf(squat, sizeof squat, "%s-1.ring", path);
    testdir_write(spooling_ring_dir, strrchr(squat, '/') + 1, "x", 1);
    assert_int_equal(chmod(squat, 0666), 0);
    (void)snprintf(squat, sizeof squat, "%s-2.ring", path);
    assert_int_equal(mkfifo(squat, 0600), 0);

    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 20);
    spooling_wait(spool, true);
    spooling_close(spool);
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"), 4); /* nothing of theirs was touched */
    spool = spooling_open(&options);                                /* and when there is none of ours yet */
    spooling_close(spool);
}

static void copy_ring(const char *as, bool empty)
{
    char ring[256], command[2048];
    only_ring(ring);
    (void)snprintf(command, sizeof command, "cp '%s/%s' '%s/%s'", spooling_ring_dir, ring, second_dir, as);
    assert_int_equal(system(command), 0);
    if (empty) { /* tail = head, and the version of other days */
        (void)snprintf(
            command, sizeof command,
            "cd '%s' && dd if='%s' of='%s' bs=8 skip=8 seek=16 count=1 conv=notrunc status=none && "
            "printf '\\001' | dd of='%s' bs=1 seek=8 conv=notrunc status=none",
            second_dir, as, as, as);
        assert_int_equal(system(command), 0);
    }
}

/* Of spools that were wiped, as far as nothing is lost by it. */
static void empty_rings_are_swept(void **state)
{
    struct spool_options options = options_without_choice(*state);
    char other[256], living[256];
    (void)snprintf(other, sizeof other, "%s/other", (const char *)*state);
    (void)snprintf(living, sizeof living, "%s/living", (const char *)*state);
    struct spool_options others = options_without_choice(other), lives = options_without_choice(living);
    leave_in_ring(&others, 20, false);
    copy_ring("mail-analytics-1-2-3-4-5-00000000000000aa.ring", true);
    copy_ring("mail-analytics-1-2-3-4-5-00000000000000ab.ring", false);
    testdir_write(second_dir, "mail-analytics-1-2-3-4-5-00000000000000ac.ring", "",
                  0); /* killed at making it */
    testdir_write(second_dir, "something-else.ring", "", 0);
    struct spool *owner = spooling_open(&lives); /* empty, and held */
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"), 2);
    assert_int_equal(testdir_count(second_dir, ".ring"), 2);
    testdir_empty(other);
    assert_int_equal(rmdir(other), 0);
    struct spool *spool = spooling_open(&options);
    assert_int_equal(testdir_count(spooling_ring_dir, ".ring"),
                     3); /* the wiped one's records: a warning only */
    assert_int_equal(testdir_count(second_dir, ".ring"), 2);
    spooling_close(spool);
    assert_int_equal(spooling_append(owner, 1), 0);
    spooling_wait(owner, true);
    spooling_close(owner);
}

/* Of another release, whose header had another size: its records wait there for that release. */
static void another_releases_records_are_not_touched(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool_stats stats;
    char ring[256], command[1024];
    leave_in_ring(&options, 20, false);
    only_ring(ring);
    (void)snprintf(
        command, sizeof command,
        "cd '%s' && truncate -s -61440 '%s' && printf '\\001' | dd of='%s' bs=1 seek=8 conv=notrunc "
        "status=none && cp '%s' '%s/before'",
        spooling_ring_dir, ring, ring, ring, (const char *)*state);
    assert_int_equal(system(command), 0);
    struct spool *spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 0);
    spooling_close(spool); /* its own, new ring was empty */
    (void)snprintf(command, sizeof command, "cmp '%s/%s' '%s/before'", spooling_ring_dir, ring,
                   (const char *)*state);
    assert_int_equal(system(command), 0);
    (void)snprintf(command, sizeof command, "%s/%s", spooling_ring_dir, ring);
    assert_int_equal(unlink(command), 0);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(killed_writers_lose_nothing),
        IN_DIR(several_runs_wait_in_one_ring),
        IN_DIR(what_is_in_both_comes_once),
        IN_DIR(a_damaged_record_in_the_ring_is_passed),
        IN_DIR(a_new_directory_has_a_ring_of_its_own),
        IN_DIR(another_releases_records_are_not_touched),
        cmocka_unit_test_setup_teardown(a_ring_is_found_wherever_it_lies, make_second_dir, remove_second_dir),
        cmocka_unit_test_setup_teardown(a_squatted_name_stops_no_start, make_second_dir, remove_second_dir),
        cmocka_unit_test_setup_teardown(empty_rings_are_swept, make_second_dir, remove_second_dir),
    };
    if (spooling_begin() != 0)
        return 1;
    return spooling_end(cmocka_run_group_tests(tests, NULL, NULL));
}
