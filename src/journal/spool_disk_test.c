/* SPDX-License-Identifier: Apache-2.0
 *
 * spool, the disk: it hangs, fails, is full or out of inodes; nobody waits, and nothing is lost without being
 * counted.
 */
#include "spooling.h"

#include "tests/shim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

static void a_hung_disk_holds_nobody(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool *spool = spooling_open(&options);
    struct spool_stats stats;
    struct spooling_found found;
    uint64_t accepted = 0, refused = 0, n = 0;
    while (n < 100)
        assert_int_equal(spooling_append(spool, ++n), 0);
    spooling_wait(spool, true);
    accepted = 100;
    disk_hang(true);
    while (refused < 1000) { /* none of these calls may wait */
        int rc = spooling_append(spool, ++n);
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
    spooling_wait(spool, false);
    assert_int_equal(spooling_append(spool, ++n), 0);
    spooling_close(spool);
    spooling_read(*state, true, &found); /* payload and ts hold n, which is the seq: refusals use one up */
    assert_int_equal(found.n, 1);
    assert_int_equal(found.of[0].records, accepted + 1);
    assert_int_equal(found.of[0].last, n);
}

static void a_failed_sync_loses_nothing(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool *spool = spooling_open(&options);
    struct spool_stats stats;
    struct spooling_found found;
    uint64_t n = 0;
    for (unsigned round = 0; round < 5; round++) {
        for (int i = 0; i < 150; i++)
            assert_int_equal(spooling_append(spool, ++n), 0);
        if (round % 2 == 0)
            spooling_wait(spool, true);
        else
            disk_fail_syncs(EIO, round); /* once; three times, so that what is written again fails as well */
    }
    spooling_wait(spool, true);
    disk_fail_syncs(0, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(spooling_append(spool, ++n), 0);
    disk_fail_writes(EIO, 3);
    spooling_wait(spool, true);
    spool_get_stats(spool, &stats);
    assert_true(stats.write_errors >= 4);
    assert_int_equal(stats.journal.dropped, 0);
    assert_int_equal(stats.journal.appended, n);
    assert_int_equal(stats.journal.depth, n);
    spooling_close(spool);
    spooling_read(*state, false, &found);
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
    struct spool_options options = spooling_options(dir);
    options.journal.segment_bytes = 64 * 1024;
    mount_small(dir, "size=1m");
    struct spool *spool = spooling_open(&options);
    struct spool_stats stats;
    struct spooling_found found;
    uint64_t n = 0;
    while (n < 10000) { /* some 6 MB */
        assert_int_equal(spooling_append(spool, ++n), 0);
        if (n % 100 == 0)
            spooling_wait(spool, false);
    }
    spooling_wait(spool, true);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.accepted, 10000);
    assert_true(stats.write_errors > 0);
    assert_true(stats.journal.dropped > 5000);
    assert_int_equal(stats.journal.dropped + stats.journal.depth, 10000);
    spooling_close(spool);
    spooling_read(dir, false, &found);
    assert_int_equal(found.of[0].records, stats.journal.depth);
    assert_int_equal(found.of[0].last, 10000);
    spool = spooling_open(&options);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.dropped + stats.journal.depth, 10000);
    spooling_close(spool);
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
    struct spool_options options = spooling_options(dir);
    options.journal.segment_bytes = 16 * 1024;
    mount_small(dir, "size=16m,nr_inodes=40");
    struct spool *spool = spooling_open(&options);
    struct spool_stats stats;
    struct spooling_found found;
    uint64_t n = 0;
    unsigned taken = take_inodes(dir); /* before there is any segment */
    assert_true(taken > 10);
    for (; n < 100; n++)
        assert_int_equal(spooling_append(spool, n + 1), 0);
    do {
        usleep(1000);
        spool_get_stats(spool, &stats);
    } while (stats.write_errors == 0);
    assert_int_equal(stats.unwritten, 100);
    give_inodes_back(dir, taken);
    spooling_wait(spool, true);
    taken = take_inodes(dir); /* now the present segment has to grow */
    for (; n < 1000; n++) {
        assert_int_equal(spooling_append(spool, n + 1), 0);
        if (n % 100 == 0)
            spooling_wait(spool, false);
    }
    spooling_wait(spool, true);
    spool_get_stats(spool, &stats);
    assert_int_equal(stats.journal.dropped, 0);
    assert_int_equal(stats.journal.depth, 1000);
    give_inodes_back(dir, taken);
    spooling_close(spool);
    spooling_read(dir, false, &found);
    assert_int_equal(found.of[0].records, 1000);
    assert_int_equal(umount(dir), 0);
}

/* Last: it leaves a thread behind, as it must. */
static void closing_does_not_wait_for_ever(void **state)
{
    struct spool_options options = spooling_options(*state);
    struct spool *spool = spooling_open(&options);
    static struct spool *left; /* a leak checker shall find it */
    struct journal *journal;
    struct spooling_found found;
    int rc;
    left = spool;
    disk_hang(true);
    assert_int_equal(spooling_append(spool, 1), 0);
    assert_int_equal(spool_close(&spool, 100000, NULL), ERR_TIMEOUT);
    assert_null(spool);
    assert_non_null(left);
    disk_hang(false);
    int64_t end = clock_monotonic_us() + spooling_limit_us;
    while ((rc = journal_open(&journal, &options.journal, NULL)) == ERR_BUSY && clock_monotonic_us() < end)
        usleep(1000);
    assert_int_equal(rc, 0);
    journal_close(&journal);
    spooling_read(*state, false, &found);
    assert_int_equal(found.of[0].records, 1);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, testdir_make, testdir_remove)
    const struct CMUnitTest tests[] = {
        IN_DIR(a_hung_disk_holds_nobody),       IN_DIR(a_failed_sync_loses_nothing),
        IN_DIR(a_full_disk_drops_the_oldest),   IN_DIR(without_inodes_nothing_is_lost),
        IN_DIR(closing_does_not_wait_for_ever),
    };
    if (spooling_begin() != 0)
        return 1;
    return spooling_end(cmocka_run_group_tests(tests, NULL, NULL));
}
