/* SPDX-License-Identifier: Apache-2.0
 *
 * opener: one thread, one lock, one outcome. See opener.h.
 */
#include "opener.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_US (1 * US_PER_SECOND)
#define RETRY_MAX_US   (30 * US_PER_SECOND)

struct opener {
    struct opener_options options;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    bool stop;
    bool patient; /* mail is answered already: every failure is tried again */
    bool settled; /* the first attempt is over */
    bool ended;
    int rc;
    struct err err;
    struct spool *spool;
    struct uplink *uplink;
};

static struct timespec deadline(int64_t wait_us)
{
    int64_t end = clock_monotonic_us() + wait_us;
    return (struct timespec){end / US_PER_SECOND, end % US_PER_SECOND * 1000};
}

/* Waits for `flag` at most so long; under the lock. */
static void wait_for(struct opener *opener, const bool *flag, int64_t wait_us)
{
    struct timespec until = deadline(wait_us);
    int rc = 0;
    while (!*flag && rc == 0)
        rc = pthread_cond_timedwait(&opener->changed, &opener->lock, &until);
}

/* False: an operator's mistake, which a first start tells by ending. A disk or a tmpfs that is full is none:
 * it was large enough when it was chosen, and whoever makes room there has no reason to think of mail. */
static bool mends_itself(int rc)
{
    return rc == ERR_IO || rc == ERR_FULL || rc == ERR_VERSION || rc == ERR_CORRUPT || rc == ERR_TIMEOUT ||
           rc == ERR_NO_MEMORY;
}

/* A key file or a disk that fails holds no mail: it is answered, and kept, without a hub. */
static int open_uplink(struct opener *opener, struct err *err)
{
    const struct opener_options *options = &opener->options;
    if (options->uplink == NULL)
        return 0;
    int rc = uplink_start(&opener->uplink, options->uplink, opener->spool, err);
    if (rc == 0 || rc == ERR_CONFIG)
        return rc;
    log_error("nothing is sent, records only gather in %s: %s; mend it, then reload (a hub: restart)",
              options->spool.journal.dir, err_detail(err));
    return 0;
}

static int attempt(struct opener *opener, struct err *err)
{
    *err = (struct err){0};
    const struct opener_options *options = &opener->options;
    int rc = options->prepare != NULL ? options->prepare(options->arg, err) : 0;
    if (rc == 0)
        rc = spool_open(&opener->spool, &options->spool, err);
    if (rc == 0 && options->synced != NULL)
        rc = spool_on_sync(opener->spool, options->synced, options->arg);
    return rc == 0 ? open_uplink(opener, err) : rc;
}

static void pause_before_retry(struct opener *opener, int64_t wait_us)
{
    pthread_mutex_lock(&opener->lock);
    wait_for(opener, &opener->stop, wait_us);
    pthread_mutex_unlock(&opener->lock);
}

/* Done, in vain or not, or false: there is to be another attempt. */
static bool settle(struct opener *opener, int rc, const struct err *err)
{
    pthread_mutex_lock(&opener->lock);
    opener->settled = true;
    opener->ended =
        rc == 0 || opener->spool != NULL || opener->stop || (!opener->patient && !mends_itself(rc));
    bool ended = opener->ended;
    if (ended) {
        opener->rc = rc;
        opener->err = *err;
        opener->options.done(opener->options.arg); /* who takes, and closes what it uses, comes after it */
    } else {
        opener->patient = true;
    }
    pthread_cond_broadcast(&opener->changed);
    pthread_mutex_unlock(&opener->lock);
    return ended;
}

static void *run(void *arg)
{
    struct opener *opener = arg;
    struct err err = {0}, told = {0};
    int64_t wait_us = RETRY_FIRST_US;
    while (!settle(opener, attempt(opener, &err), &err)) {
        if (strcmp(err.detail, told.detail) != 0) /* the same again needs no line again */
            log_warning(
                "spool cannot be opened, mail is answered and NOT kept until it is: %s (mend it; it is "
                "tried again every %d s at least)",
                err_detail(&err), (int)(RETRY_MAX_US / US_PER_SECOND));
        told = err;
        pause_before_retry(opener, wait_us);
        wait_us = wait_us * 2 < RETRY_MAX_US ? wait_us * 2 : RETRY_MAX_US;
    }
    return NULL;
}

static void destroy(struct opener *opener)
{
    pthread_mutex_destroy(&opener->lock);
    pthread_cond_destroy(&opener->changed);
    free(opener);
}

int opener_start(struct opener **out, const struct opener_options *options, struct err *err)
{
    struct opener *opener = calloc(1, sizeof *opener);
    if (opener == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory to open the spool");
    opener->options = *options;
    opener->patient = options->patient;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&opener->lock, NULL);
    pthread_cond_init(&opener->changed, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t all, old; /* signals stay with the loop's thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int errnum = pthread_create(&opener->thread, NULL, run, opener);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (errnum != 0) {
        destroy(opener);
        return err_errno(err, errnum, "the thread that opens the spool cannot be started");
    }
    *out = opener;
    return 0;
}

int opener_take(struct opener **opener, int64_t wait_us, struct spool **spool, struct uplink **uplink,
                struct err *err)
{
    struct opener *self = *opener;
    pthread_mutex_lock(&self->lock);
    wait_for(self, self->patient ? &self->ended : &self->settled, wait_us);
    bool ended = self->ended, failed = self->settled;
    self->patient = true;
    pthread_mutex_unlock(&self->lock);
    if (!ended)
        return failed ? err_set(err, ERR_UNAVAILABLE, "the spool could not be opened yet")
                      : err_set(err, ERR_TIMEOUT, "the spool's disk does not answer");
    (void)pthread_join(self->thread, NULL);
    *spool = self->spool;
    *uplink = self->uplink;
    int rc = self->rc;
    if (rc != 0)
        *err = self->err;
    destroy(self);
    *opener = NULL;
    return rc;
}

void opener_stop(struct opener *opener)
{
    pthread_mutex_lock(&opener->lock);
    opener->stop = true;
    pthread_cond_broadcast(&opener->changed);
    pthread_mutex_unlock(&opener->lock);
}
