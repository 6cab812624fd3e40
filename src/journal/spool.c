/* SPDX-License-Identifier: Apache-2.0
 *
 * spool: the producer's side and the thread that carries the ring into the journal. See spool.h.
 *
 * While records come the thread drains every 20 ms, or when the ring is half full: a record costs the
 * producer no system call, and the few answers that a drain holds up on the same processor are fewer than 1
 * in 100. When none came for a while it sleeps until the producer wakes it. In `always` mode somebody waits
 * for each sync, so it sleeps at once when there is nothing to do.
 */
#include "spool.h"

#include "drain.h"
#include "ringdir.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LISTENERS = 4, STACK_BYTES = 256 * 1024, QUIET_NAPS = 5 };
enum { NAPS_IN_A_SYNC = 5, NAP_MAX_US = 20000, RETRY_US = 50000 };
enum { LOAD_BYTES = 512 * 1024 /* a drain of more means load */ };

/* What the thread is doing, as far as the producer must know. */
enum { RUNNING, NAPPING /* wake at half full */, IDLE /* wake at once */, RETRYING };

struct listener {
    void (*synced)(void *arg);
    void *arg;
};

struct spool {
    struct journal *journal;
    struct ring ring;
    struct drain drain;
    bool always;
    int64_t sync_interval_us, nap_us;
    uint64_t recovered;
    struct spool_shipped shipped;
    pthread_t thread;
    struct listener listeners[LISTENERS];
    _Atomic size_t n_listeners;

    /* producer */
    uint32_t seed;
    uint64_t next_seq;
    _Atomic uint64_t accepted, lost;

    _Alignas(64) _Atomic uint32_t doing;
    _Atomic bool stop, loaded; /* loaded: the last drain carried much */
    _Atomic uint64_t synced_seq, drained, write_errors;
    _Atomic int64_t busy_since_us; /* inside a write or a sync; 0: not */
    _Atomic uint64_t seals_wanted, seals_done, sealed_before;

    /* thread */
    int64_t unsynced_since_us; /* 0: all is synced */
    unsigned quiet_naps;
    int64_t warned_us;

    pthread_mutex_t end_lock;
    pthread_cond_t ended_cond;
    bool ended;
};

static void futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    (void)syscall(SYS_futex, (uint32_t *)word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static void wake(struct spool *spool)
{
    atomic_store(&spool->doing, RUNNING);
    futex(&spool->doing, FUTEX_WAKE, 1, NULL);
}

/* --- the thread ---------------------------------------------------------------------------------------- */

static bool must_run(struct spool *spool, uint32_t how)
{
    uint64_t used = ring_head(&spool->ring) - ring_tail(&spool->ring);
    if (how != RETRYING && (used > spool->ring.bytes / 2 || (how == IDLE && used != 0)))
        return true;
    if (how != RETRYING && atomic_load(&spool->seals_wanted) != atomic_load(&spool->seals_done))
        return true;
    return atomic_load(&spool->stop) && how != RETRYING;
}

/* Sleeps for at most timeout_us (0: no limit), unless there is a reason not to; the producer cuts it short.
 */
static void sleep_as(struct spool *spool, uint32_t how, int64_t timeout_us)
{
    struct timespec timeout = {timeout_us / US_PER_SECOND, timeout_us % US_PER_SECOND * 1000};
    atomic_store(&spool->doing, how);
    if (!must_run(spool, how))
        futex(&spool->doing, FUTEX_WAIT, how, timeout_us != 0 ? &timeout : NULL);
    atomic_store(&spool->doing, RUNNING);
}

static void failed(struct spool *spool, const struct err *err)
{
    int64_t now = clock_monotonic_us();
    atomic_fetch_add(&spool->write_errors, 1);
    if (spool->warned_us == 0 || now - spool->warned_us > 10 * US_PER_SECOND) {
        spool->warned_us = now;
        log_warning("spool: %s; records wait in memory and are tried again", err_detail(err));
    }
}

/* One stretch from ring to journal; room is made on a full disk. */
static int write_some(struct spool *spool, struct err *err)
{
    uint64_t live;
    atomic_store(&spool->busy_since_us, clock_monotonic_us());
    int rc = drain_stretch(&spool->drain, &live, err);
    while (rc == ERR_FULL) {
        failed(spool, err);
        if (active_free_space(spool->journal, err) != 0)
            break;
        rc = drain_stretch(&spool->drain, &live, err);
    }
    atomic_store(&spool->busy_since_us, 0);
    if (rc == 0) {
        atomic_fetch_add(&spool->drained, live);
        if (spool->unsynced_since_us == 0)
            spool->unsynced_since_us = clock_monotonic_us();
    } else if (rc != ERR_END && rc != ERR_FULL) {
        failed(spool, err);
    }
    return rc;
}

static int sync_all(struct spool *spool, bool seal, struct err *err)
{
    atomic_store(&spool->busy_since_us, clock_monotonic_us());
    int rc = seal ? journal_rotate(spool->journal, err) : journal_sync(spool->journal, err);
    atomic_store(&spool->busy_since_us, 0);
    if (rc != 0) {
        failed(spool, err);
        return rc;
    }
    atomic_store(&spool->synced_seq, journal_synced_seq(spool->journal));
    spool->unsynced_since_us = 0;
    for (size_t i = 0; i < atomic_load(&spool->n_listeners); i++)
        spool->listeners[i].synced(spool->listeners[i].arg);
    return 0;
}

static void note_sealed(struct spool *spool, uint64_t seals)
{
    atomic_store(&spool->sealed_before, journal_behind_all(spool->journal));
    atomic_store(&spool->seals_done, seals);
}

static int64_t sync_due_in(const struct spool *spool)
{
    int64_t due = spool->unsynced_since_us + spool->sync_interval_us - spool->nap_us - clock_monotonic_us();
    return spool->unsynced_since_us == 0 ? INT64_MAX : spool->always || due < 0 ? 0 : due;
}

/* Drains what is there now, or until a sync is due; syncs when it is, also when the disk took nothing more.
 */
static int work(struct spool *spool, bool stopping, bool *moved)
{
    struct err err = {0};
    uint64_t seals = atomic_load(&spool->seals_wanted), target = ring_head(&spool->ring); /* in this order */
    int rc = 0;
    *moved = false;
    uint64_t from = ring_tail(&spool->ring);
    while (rc == 0 && ring_tail(&spool->ring) < target && (spool->always || sync_due_in(spool) > 0)) {
        rc = write_some(spool, &err);
        *moved |= rc == 0;
    }
    bool loaded = ring_tail(&spool->ring) - from > LOAD_BYTES;
    ring_keep(&spool->ring, loaded);
    atomic_store(&spool->loaded, loaded);
    bool seal = rc == 0 && ring_tail(&spool->ring) >= target && seals != atomic_load(&spool->seals_done);
    if (seal || (spool->unsynced_since_us != 0 && (sync_due_in(spool) <= 0 || stopping))) {
        int synced = sync_all(spool, seal, &err);
        rc = rc != 0 ? rc : synced;
        if (synced == 0 && seal)
            note_sealed(spool, seals);
    }
    return rc;
}

static void rest(struct spool *spool, bool moved)
{
    int64_t due = sync_due_in(spool), nap = due < spool->nap_us ? due : spool->nap_us;
    if (moved || due != INT64_MAX)
        spool->quiet_naps = 0;
    if (spool->always || (!moved && spool->quiet_naps++ >= QUIET_NAPS)) {
        sleep_as(spool, IDLE, 0);
    } else if (nap > 0) {
        sleep_as(spool, NAPPING, nap);
    }
}

static void *run(void *arg)
{
    struct spool *spool = arg;
    for (;;) {
        bool moved, stopping = atomic_load(&spool->stop);
        if (work(spool, stopping, &moved) != 0)
            sleep_as(spool, RETRYING, RETRY_US);
        else if (!stopping)
            rest(spool, moved);
        else if (ring_head(&spool->ring) == ring_tail(&spool->ring) && spool->unsynced_since_us == 0)
            break;
    }
    atomic_store(&spool->busy_since_us, clock_monotonic_us());
    journal_close(&spool->journal);
    pthread_mutex_lock(&spool->end_lock);
    spool->ended = true;
    pthread_cond_signal(&spool->ended_cond);
    pthread_mutex_unlock(&spool->end_lock);
    return NULL;
}

/* --- open and close ------------------------------------------------------------------------------------ */

/* Signals stay with the program's other threads. */
static int start_thread(struct spool *spool, struct err *err)
{
    sigset_t all, old;
    pthread_attr_t attr;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int errnum = pthread_create(&spool->thread, &attr, run, spool);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (errnum != 0)
        return err_errno(err, errnum, "spool's thread cannot be started");
    (void)pthread_setname_np(spool->thread, "spool");
    return 0;
}

static int open_ring(struct spool *spool, const struct spool_options *options, struct err *err)
{
    struct epoch epoch;
    struct ringdir_options ringdir = {.spool = spool->journal->dir,
                                      .dir = options->ring_dir,
                                      .dirs = options->ring_dirs,
                                      .bytes = options->ring_bytes};
    journal_epoch(spool->journal, &epoch);
    spool->seed = record_seed(&epoch);
    int rc = ringdir_open(&spool->ring, &ringdir, &epoch, err);
    if (rc != 0)
        return rc;
    spool->drain = (struct drain){.ring = &spool->ring, .journal = spool->journal};
    spool->recovered = drain_count_found(&spool->drain);
    if (spool->recovered != 0)
        log_info("spool %s: %" PRIu64 " records of an earlier run were still in its ring",
                 options->journal.dir, spool->recovered);
    return 0;
}

static void free_spool(struct spool *spool)
{
    ring_close(&spool->ring);
    journal_close(&spool->journal);
    pthread_mutex_destroy(&spool->end_lock);
    pthread_cond_destroy(&spool->ended_cond);
    free(spool);
}

int spool_open(struct spool **out, const struct spool_options *options, struct err *err)
{
    *out = NULL;
    struct spool *spool = aligned_alloc(64, (sizeof *spool + 63) / 64 * 64);
    if (spool == NULL)
        return err_set(err, ERR_NO_MEMORY, "spool cannot be opened: out of memory");
    *spool = (struct spool){.ring = {.fd = -1},
                            .always = options->sync == SPOOL_SYNC_ALWAYS,
                            .sync_interval_us = options->sync_interval_us,
                            .next_seq = 1};
    spool->nap_us = spool->sync_interval_us / NAPS_IN_A_SYNC;
    if (spool->nap_us > NAP_MAX_US)
        spool->nap_us = NAP_MAX_US;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&spool->end_lock, NULL);
    pthread_cond_init(&spool->ended_cond, &attr);
    pthread_condattr_destroy(&attr);
    int rc = journal_open(&spool->journal, &options->journal, err);
    if (rc == 0)
        rc = standins_load(options->journal.dir, &spool->shipped.standins, err);
    if (rc == 0)
        rc = open_ring(spool, options, err);
    if (rc == 0)
        rc = start_thread(spool, err);
    if (rc != 0) {
        free_spool(spool);
        return rc;
    }
    *out = spool;
    return 0;
}

static bool wait_for_end(struct spool *spool, int64_t timeout_us)
{
    int64_t end = clock_monotonic_us() + timeout_us;
    struct timespec until = {end / US_PER_SECOND, end % US_PER_SECOND * 1000};
    int rc = 0;
    pthread_mutex_lock(&spool->end_lock);
    while (!spool->ended && rc == 0)
        rc = pthread_cond_timedwait(&spool->ended_cond, &spool->end_lock, &until);
    bool ended = spool->ended;
    pthread_mutex_unlock(&spool->end_lock);
    return ended;
}

int spool_close(struct spool **spool, int64_t timeout_us, struct err *err)
{
    struct spool *closing = *spool;
    *spool = NULL;
    if (closing == NULL)
        return 0;
    atomic_store(&closing->stop, true);
    wake(closing);
    if (!wait_for_end(closing, timeout_us)) {
        (void)pthread_detach(closing->thread);
        return err_set(err, ERR_TIMEOUT,
                       "spool: the disk did not take everything in time; the rest waits in "
                       "memory for the next start");
    }
    pthread_join(closing->thread, NULL);
    free_spool(closing);
    return 0;
}

/* --- the producer -------------------------------------------------------------------------------------- */

static void add(_Atomic uint64_t *counter) /* this thread alone writes it */
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

int spool_append(struct spool *spool, uint16_t kind, int64_t ts_us, struct slice payload, uint64_t *seq)
{
    size_t n = RECORD_HEADER_BYTES + payload.n;
    struct record record = {.seq = spool->next_seq, .ts_us = ts_us, .kind = kind};
    if (payload.n > JOURNAL_RECORD_BYTES || n > spool->ring.bytes)
        return ERR_LIMIT;
    uint8_t *p = ring_reserve(&spool->ring, n);
    spool->next_seq++;
    if (p == NULL) {
        add(&spool->lost);
        return ERR_FULL;
    }
    uint8_t *kept = p + RECORD_HEADER_BYTES;
    if (payload.n != 0)
        memcpy(kept, payload.p, payload.n);
    record_encode(spool->seed, &record, (struct slice){(const char *)kept, payload.n}, p);
    add(&spool->accepted);
    ring_publish(&spool->ring, n);
    uint32_t doing = atomic_load(&spool->doing);
    if (doing == IDLE || (doing == NAPPING && ring_used(&spool->ring) > spool->ring.bytes / 2))
        wake(spool);
    if (seq != NULL)
        *seq = record.seq;
    return 0;
}

/* --- for any thread ------------------------------------------------------------------------------------ */

uint64_t spool_synced_seq(const struct spool *spool)
{
    return atomic_load(&spool->synced_seq);
}

int spool_on_sync(struct spool *spool, void (*synced)(void *arg), void *arg)
{
    size_t n = atomic_load(&spool->n_listeners);
    if (n == LISTENERS)
        return ERR_LIMIT;
    spool->listeners[n] = (struct listener){synced, arg};
    atomic_store(&spool->n_listeners, n + 1);
    return 0;
}

void spool_seal(struct spool *spool)
{
    atomic_fetch_add(&spool->seals_wanted, 1);
    wake(spool);
}

uint64_t spool_sealed_before(const struct spool *spool)
{
    bool done = atomic_load(&spool->seals_done) == atomic_load(&spool->seals_wanted);
    return done ? atomic_load(&spool->sealed_before) : 0;
}

bool spool_loaded(const struct spool *spool)
{
    return atomic_load(&spool->loaded);
}

struct journal *spool_journal(struct spool *spool)
{
    return spool->journal;
}

struct spool_shipped *spool_shipped(struct spool *spool)
{
    return &spool->shipped;
}

int spool_rename(struct spool *spool, uint64_t seq, struct err *err)
{
    struct spool_shipped *shipped = &spool->shipped;
    struct standin standin = {.name = shipped->fresh, .base = seq - 1};
    journal_epoch(spool->journal, &standin.epoch);
    int rc = standins_add(spool->journal->dir, &shipped->standins, &standin, err);
    if (rc == 0)
        shipped->renaming = false;
    return rc;
}

void spool_get_stats(const struct spool *spool, struct spool_stats *out)
{
    int64_t since = atomic_load(&spool->busy_since_us);
    int64_t now = clock_monotonic_us();
    uint64_t drained = atomic_load(&spool->drained);
    *out = (struct spool_stats){.accepted = atomic_load(&spool->accepted),
                                .lost_ring_full = atomic_load(&spool->lost),
                                .recovered = spool->recovered,
                                .write_errors = atomic_load(&spool->write_errors),
                                .stalled_us = since != 0 && now > since ? now - since : 0};
    out->unwritten = out->accepted > drained ? out->accepted - drained : 0;
    journal_get_stats(spool->journal, &out->journal);
}
