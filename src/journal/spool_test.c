/* SPDX-License-Identifier: Apache-2.0
 *
 * spool: what was accepted is in the journal exactly once, whatever becomes of the process and the disk: kill
 * -9, a disk that hangs, fails or is full, no inodes, readers and compression meanwhile.
 */
#include "ring.h"
#include "spool.h"
#include "testdir.h"

#include "tests/shim/disk.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RING = 256 * 1024, KILLS = 20 };
static const int64_t limit_us = 60 * US_PER_SECOND; /* for what takes milliseconds on an idle machine */

static char ring_dir[] = "/dev/shm/spool-test-XXXXXX";

static struct spool_options options_in(const char *dir)
{
    return (struct spool_options){
        .journal = {.dir = dir, .max_bytes = 256 << 20, .segment_bytes = 256 * 1024},
        .ring_dir = ring_dir,
        .ring_bytes = RING,
        .sync_interval_us = 20000};
}

static struct spool *opened(const struct spool_options *options)
{
    struct spool *spool;
    struct err err = {0};
    if (spool_open(&spool, options, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return spool;
}

static void closed(struct spool *spool)
{
    struct err err = {0};
    if (spool_close(&spool, limit_us, &err) != 0)
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

/* The n-th append of a run: seq n when nothing was refused before. */
static int append(struct spool *spool, uint64_t n)
{
    char bytes[2048];
    return spool_append(spool, 1, (int64_t)n, payload_of(n, bytes), NULL);
}

static void wait_until_written(struct spool *spool, bool synced)
{
    struct spool_stats stats;
    int64_t end = clock_monotonic_us() + limit_us;
    do {
        usleep(1000);
        spool_get_stats(spool, &stats);
        if (clock_monotonic_us() > end)
            fail_msg("%lu records were not written in time", (unsigned long)stats.unwritten);
    } while (stats.unwritten != 0 || (synced && spool_synced_seq(spool) < stats.accepted));
}

enum { EPOCHS = 128 };
struct found {
    size_t n; /* epochs, in the order in which they stand */
    struct {
        struct epoch epoch;
        uint64_t records, first, last;
    } of[EPOCHS];
};

/* Reads a journal's directory: every record whole, seqs rising without a gap within an epoch, epochs not
 * mixed. */
static void read_dir(const char *dir, bool gaps, struct found *found)
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
            assert_true(i < EPOCHS);
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

static void what_is_appended_is_in_the_journal(void **state)
{
    struct spool_options options = options_in(*state);
    struct found found;
    struct spool_stats stats;
    for (int round = 0; round < 2; round++) {
        struct spool *spool = opened(&options);
        for (uint64_t n = 1; n <= 5000; n++) {
            assert_int_equal(append(spool, n), 0);
            if (n % 200 == 0)
                wait_until_written(spool, false);
        }
        wait_until_written(spool, true);
        spool_get_stats(spool, &stats);
        assert_int_equal(stats.accepted, 5000);
        assert_int_equal(stats.lost_ring_full, 0);
        assert_int_equal(stats.recovered, 0);
        assert_int_equal(stats.journal.appended, 5000);
        closed(spool);
    }
    read_dir(*state, false, &found);
    assert_int_equal(found.n, 2);
    assert_int_equal(found.of[0].records, 5000);
    assert_int_equal(found.of[1].records, 5000);
    assert_int_equal(testdir_count(ring_dir, ".ring"), 0); /* an empty ring is removed */
}

/* --- readers -------------------------------------------------------------------------------------------- */

struct follower {
    struct spool *spool;
    uint64_t until;
    _Atomic uint64_t seen, early;
};

/* Reads along, retires, compresses: what the uplink does. */
static void *follow(void *arg)
{
    struct follower *follower = arg;
    struct journal *journal = spool_journal(follower->spool);
    struct journal_reader *reader;
    struct journal_record record;
    bool worked;
    if (journal_reader_open(&reader, journal, NULL, (struct journal_pos){0, 0}, NULL) != 0)
        return NULL;
    while (atomic_load(&follower->seen) < follower->until) {
        int rc = journal_reader_next(reader, &record, NULL);
        if (rc != 0) {
            (void)!journal_maintain(journal, 0, 0, &worked, NULL);
            usleep(500);
            continue;
        }
        struct journal_stats stats;
        journal_get_stats(journal, &stats);
        if (record.seq > stats.synced_seq || record.seq != atomic_load(&follower->seen) + 1)
            atomic_fetch_add(&follower->early, 1);
        atomic_store(&follower->seen, record.seq);
        if (record.seq % 100 == 0)
            (void)!journal_retire(journal, record.next, NULL);
    }
    journal_reader_close(&reader);
    return NULL;
}

static void a_reader_follows_the_writer(void **state)
{
    struct spool_options options = options_in(*state);
    options.journal.compress_level = 1;
    options.journal.segment_bytes = 128 * 1024;
    options.sync_interval_us = 6000;
    struct spool *spool = opened(&options);
    struct follower follower = {.spool = spool, .until = 20000};
    pthread_t thread;
    struct spool_stats stats;
    assert_int_equal(pthread_create(&thread, NULL, follow, &follower), 0);
    for (uint64_t n = 1; n <= follower.until; n++) {
        assert_int_equal(append(spool, n), 0);
        if (n % 100 == 0) {
            spool_get_stats(spool, &stats);
            while (stats.unwritten > 100 && usleep(500) == 0)
                spool_get_stats(spool, &stats);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&follower.early), 0);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.depth, 0);
    assert_int_equal(stats.journal.dropped, 0);
    closed(spool);
}

static void count_sync(void *arg)
{
    atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void always_syncs_at_once(void **state)
{
    struct spool_options options = options_in(*state);
    options.sync = SPOOL_SYNC_ALWAYS;
    options.sync_interval_us = 3600 * US_PER_SECOND; /* has no say here */
    _Atomic unsigned syncs = 0;
    struct spool *spool = opened(&options);
    assert_int_equal(spool_on_sync(spool, count_sync, &syncs), 0);
    for (uint64_t n = 1; n <= 50; n++) {
        int64_t end = clock_monotonic_us() + limit_us;
        assert_int_equal(append(spool, n), 0);
        while (spool_synced_seq(spool) < n)
            assert_true(clock_monotonic_us() < end);
    }
    assert_true(atomic_load(&syncs) >= 49);
    closed(spool);
}

/* --- the disk ------------------------------------------------------------------------------------------- */

static void a_hung_disk_holds_nobody(void **state)
{
    struct spool_options options = options_in(*state);
    struct spool *spool = opened(&options);
    struct spool_stats stats;
    struct found found;
    uint64_t accepted = 0, refused = 0, n = 0;
    while (n < 100)
        assert_int_equal(append(spool, ++n), 0);
    wait_until_written(spool, true);
    accepted = 100;
    disk_hang(true);
    while (refused < 1000) { /* none of these calls may wait */
        int rc = append(spool, ++n);
        assert_true(rc == 0 || rc == ERR_FULL);
        accepted += rc == 0;
        refused += rc != 0;
    }
    while (disk_waiting() == 0)
        usleep(1000);
    usleep(2000);
    spool_get_stats(spool, &stats); /* asking doesn't wait either */
    assert_int_equal(stats.accepted, accepted);
    assert_int_equal(stats.lost_ring_full, refused);
    assert_int_equal(stats.unwritten, accepted - 100);
    assert_true(stats.stalled_us >= 1000);
    struct spool *busy;
    assert_int_equal(spool_open(&busy, &options, NULL), ERR_BUSY);
    disk_hang(false);
    wait_until_written(spool, false);
    assert_int_equal(append(spool, ++n), 0);
    closed(spool);
    read_dir(*state, true, &found); /* payload and ts hold n, which is the seq: refusals use one up */
    assert_int_equal(found.n, 1);
    assert_int_equal(found.of[0].records, accepted + 1);
    assert_int_equal(found.of[0].last, n);
}

static void a_failed_sync_loses_nothing(void **state)
{
    struct spool_options options = options_in(*state);
    struct spool *spool = opened(&options);
    struct spool_stats stats;
    struct found found;
    uint64_t n = 0;
    for (unsigned round = 0; round < 5; round++) {
        for (int i = 0; i < 150; i++)
            assert_int_equal(append(spool, ++n), 0);
        if (round % 2 == 0)
            wait_until_written(spool, true);
        else
            disk_fail_syncs(EIO, round); /* once; three times, so that what is written again fails as well */
    }
    wait_until_written(spool, true);
    disk_fail_syncs(0, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(append(spool, ++n), 0);
    disk_fail_writes(EIO, 3);
    wait_until_written(spool, true);
    spool_get_stats(spool, &stats);
    assert_true(stats.write_errors >= 4);
    assert_int_equal(stats.journal.dropped, 0);
    assert_int_equal(stats.journal.appended, n);
    assert_int_equal(stats.journal.depth, n);
    closed(spool);
    read_dir(*state, false, &found);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.of[0].records, n);
}

/* Mounts that others won't see. EINVAL: below chroot "/" is no mount point, and whoever called chroot has
 * seen to it. */
static bool enter_own_namespace(void)
{
    return unshare(CLONE_NEWNS) == 0 &&
           (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL);
}

/* Mounts a tmpfs over dir, in a mount namespace of this process's own. */
static void mount_small(const char *dir, const char *size)
{
    static bool own;
    if (!own && !enter_own_namespace())
        fail_msg("no mount namespace (run the tests as root): %s", strerror(errno));
    own = true;
    if (mount("tmpfs", dir, "tmpfs", 0, size) != 0)
        fail_msg("no tmpfs: %s", strerror(errno));
}

static void a_full_disk_drops_the_oldest(void **state)
{
    const char *dir = *state;
    struct spool_options options = options_in(dir);
    options.journal.segment_bytes = 64 * 1024;
    mount_small(dir, "size=1m");
    struct spool *spool = opened(&options);
    struct spool_stats stats;
    struct found found;
    uint64_t n = 0;
    while (n < 10000) { /* some 6 MB */
        assert_int_equal(append(spool, ++n), 0);
        if (n % 100 == 0)
            wait_until_written(spool, false);
    }
    wait_until_written(spool, true);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.accepted, 10000);
    assert_true(stats.write_errors > 0);
    assert_true(stats.journal.dropped > 5000);
    assert_int_equal(stats.journal.dropped + stats.journal.depth, 10000);
    closed(spool);
    read_dir(dir, false, &found);
    assert_int_equal(found.of[0].records, stats.journal.depth);
    assert_int_equal(found.of[0].last, 10000);
    spool = opened(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.dropped + stats.journal.depth, 10000);
    closed(spool);
    assert_int_equal(umount(dir), 0);
}

static unsigned take_inodes(const char *dir)
{
    unsigned taken = 0;
    for (;; taken++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/filler.%u", dir, taken);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return taken;
        close(fd);
    }
}

static void give_inodes_back(const char *dir, unsigned taken)
{
    while (taken-- > 0) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/filler.%u", dir, taken);
        assert_int_equal(unlink(path), 0);
    }
}

static void without_inodes_nothing_is_lost(void **state)
{
    const char *dir = *state;
    struct spool_options options = options_in(dir);
    options.journal.segment_bytes = 16 * 1024;
    mount_small(dir, "size=16m,nr_inodes=40");
    struct spool *spool = opened(&options);
    struct spool_stats stats;
    struct found found;
    uint64_t n = 0;
    unsigned taken = take_inodes(dir); /* before there is any segment */
    assert_true(taken > 10);
    for (; n < 100; n++)
        assert_int_equal(append(spool, n + 1), 0);
    do {
        usleep(1000);
        spool_get_stats(spool, &stats);
    } while (stats.write_errors == 0);
    assert_int_equal(stats.unwritten, 100);
    give_inodes_back(dir, taken);
    wait_until_written(spool, true);
    taken = take_inodes(dir); /* now the present segment has to grow */
    for (; n < 1000; n++) {
        assert_int_equal(append(spool, n + 1), 0);
        if (n % 100 == 0)
            wait_until_written(spool, false);
    }
    wait_until_written(spool, true);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.dropped, 0);
    assert_int_equal(stats.journal.depth, 1000);
    give_inodes_back(dir, taken);
    closed(spool);
    read_dir(dir, false, &found);
    assert_int_equal(found.of[0].records, 1000);
    assert_int_equal(umount(dir), 0);
}

/* --- kill -9 -------------------------------------------------------------------------------------------- */

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
        if (append(spool, n) != 0)
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
        if (append(spool, i) != 0)
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
    if (!WIFSIGNALED(status)) /* it ended by itself before */
        fail_msg("the child ended with %d", WEXITSTATUS(status));
}

static void killed_writers_lose_nothing(void **state)
{
    struct spool_options options = options_in(*state);
    struct report *report = shared_report();
    struct found found;
    uint64_t expected[KILLS];
    size_t recovered_rounds = 0;
    for (size_t round = 0; round < KILLS; round++) {
        atomic_store(&report->accepted, 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            append_for_ever(&options, report);
        int64_t end = clock_monotonic_us() + limit_us;
        while (atomic_load(&report->accepted) < 400 + round * 97 && clock_monotonic_us() < end)
            usleep(300);
        kill_and_reap(pid);
        expected[round] = atomic_load(&report->accepted);
        if (round % 3 == 2)
            continue; /* the next child itself recovers */
        struct spool *spool = opened(&options);
        struct spool_stats stats;
        spool_get_stats(spool, &stats);
        recovered_rounds += stats.recovered != 0;
        closed(spool);
    }
    closed(opened(&options));
    assert_true(recovered_rounds > 0);
    read_dir(*state, false, &found);
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
    int64_t end = clock_monotonic_us() + limit_us;
    while (atomic_load(&report->ready) == 0 && clock_monotonic_us() < end)
        usleep(300);
    assert_int_equal(atomic_load(&report->ready), 1);
    kill_and_reap(pid);
    munmap(report, sizeof *report);
}

static void several_runs_wait_in_one_ring(void **state)
{
    struct spool_options options = options_in(*state);
    struct spool_stats stats;
    struct found found;
    for (uint64_t run = 1; run <= 5; run++)
        leave_in_ring(&options, 50 * run % 200, false); /* one of them leaves nothing */
    struct spool *spool = opened(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 50 + 100 + 150 + 0 + 50);
    assert_int_equal(append(spool, 1), 0);
    closed(spool);
    read_dir(*state, false, &found);
    assert_int_equal(found.n, 5);
    assert_int_equal(found.of[2].records, 150);
    assert_int_equal(found.of[3].records, 50);
    assert_int_equal(found.of[4].records, 1);
}

/* Killed between the write and the ring's being told: the records are in both. */
static void what_is_in_both_comes_once(void **state)
{
    struct spool_options options = options_in(*state);
    struct spool_stats stats;
    struct found found;
    for (size_t round = 0; round < 3; round++)
        leave_in_ring(&options, 100, true);
    struct spool *spool = opened(&options);
    spool_get_stats(spool, &stats);
    assert_true(stats.recovered < 300);
    closed(spool);
    read_dir(*state, false, &found);
    assert_int_equal(found.n, 3);
    for (size_t i = 0; i < found.n; i++)
        assert_int_equal(found.of[i].records, 100);
}

/* The name of the one ring there is. */
static void only_ring(char out[256])
{
    DIR *dir = opendir(ring_dir);
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
    struct spool_options options = options_in(*state);
    struct spool_stats stats;
    struct found found;
    leave_in_ring(&options, 100, false);
    char ring[256];
    only_ring(ring);
    testdir_flip(ring_dir, ring, RING_HEADER_BYTES + 10000);
    struct spool *spool = opened(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.recovered, 99);
    wait_until_written(spool, false);
    closed(spool);
    spool = opened(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.quarantined, 1);
    closed(spool);
    read_dir(*state, true, &found);
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
    struct spool_options options = options_in(dir);
    leave_in_ring(&options, 10, false);
    assert_int_equal(stat(dir, &before), 0);
    testdir_empty(dir);
    for (int i = 0; i < TRIES && after.st_ino != before.st_ino; i++) {
        assert_int_equal(rmdir(dir), 0);
        assert_int_equal(mkdir(dir, 0700), 0);
        assert_int_equal(stat(dir, &after), 0);
    }
    struct spool *spool = opened(&options);
    spool_get_stats(spool, &stats);
    closed(spool);
    assert_int_equal(stats.recovered, 0);
    if (before.st_ino != after.st_ino)
        print_message("the file system gave the new directory another inode: this run showed little\n");
    testdir_empty(ring_dir);
}

/* Last: it leaves a thread behind, as it must. */
static void closing_does_not_wait_for_ever(void **state)
{
    struct spool_options options = options_in(*state);
    struct spool *spool = opened(&options);
    static struct spool *left; /* a leak checker shall find it */
    struct journal *journal;
    struct found found;
    int rc;
    left = spool;
    disk_hang(true);
    assert_int_equal(append(spool, 1), 0);
    assert_int_equal(spool_close(&spool, 100000, NULL), ERR_TIMEOUT);
    assert_null(spool);
    assert_non_null(left);
    disk_hang(false);
    int64_t end = clock_monotonic_us() + limit_us;
    while ((rc = journal_open(&journal, &options.journal, NULL)) == ERR_BUSY && clock_monotonic_us() < end)
        usleep(1000);
    assert_int_equal(rc, 0);
    journal_close(&journal);
    read_dir(*state, false, &found);
    assert_int_equal(found.of[0].records, 1);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(what_is_appended_is_in_the_journal),
        IN_DIR(a_reader_follows_the_writer),
        IN_DIR(always_syncs_at_once),
        IN_DIR(a_hung_disk_holds_nobody),
        IN_DIR(a_failed_sync_loses_nothing),
        IN_DIR(a_full_disk_drops_the_oldest),
        IN_DIR(without_inodes_nothing_is_lost),
        IN_DIR(killed_writers_lose_nothing),
        IN_DIR(several_runs_wait_in_one_ring),
        IN_DIR(what_is_in_both_comes_once),
        IN_DIR(a_damaged_record_in_the_ring_is_passed),
        IN_DIR(a_new_directory_has_a_ring_of_its_own),
        IN_DIR(closing_does_not_wait_for_ever),
    };
    log_set_level(LOG_LEVEL_ERROR); /* the disk fails often here */
    if (mkdtemp(ring_dir) == NULL)
        return EXIT_FAILURE;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    testdir_empty(ring_dir);
    (void)rmdir(ring_dir);
    return failures;
}
