/* SPDX-License-Identifier: Apache-2.0
 *
 * spools: see spools.h.
 */
#include "hub/spools.h"

#include "base/clock.h"
#include "base/log.h"
#include "journal/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { PATH_BYTES = 1400, LOOK_MS = 50 };
#define PATIENCE_US (10 * US_PER_SECOND) /* an uplink removes what is retired every second */

struct forgetting {
    struct account *account;
    const atomic_bool *cancelled;
    struct direct_spool open[DIRECT_INLETS];
    size_t open_count;
    uint64_t waiting;
    struct err *err;
};

static int check(const struct forgetting *f)
{
    return atomic_load(f->cancelled) ? err_set(f->err, ERR_CANCELLED, "the job was cancelled") : 0;
}

/* The rest goes on: a job that begins anew for it would close a part of the store each time. */
static void pass(struct forgetting *f, const char *path, const char *why)
{
    f->waiting++;
    log_warning("erasure: the spool in %s is left as it is: %s; then erase again", path, why);
}

/* --- one journal --------------------------------------------------------------------------------------- */

struct overwriting {
    struct journal_pos acked;
    bool all;        /* nobody will take the rest */
    uint64_t beyond; /* records that stay */
};

static bool is_blank(struct slice bytes)
{
    return bytes.n == 0 || (bytes.p[0] == '\0' && memcmp(bytes.p, bytes.p + 1, bytes.n - 1) == 0);
}

static int overwrite(void *arg, const struct journal_record *record, uint8_t *payload, bool *changed,
                     struct err *err)
{
    struct overwriting *o = arg;
    (void)err;
    if (!o->all && journal_pos_compare(record->next, o->acked) > 0) {
        o->beyond++;
    } else if (!is_blank(record->payload)) {
        memset(payload, 0, record->payload.n);
        *changed = true;
    }
    return 0;
}

/* Directories are named TENANT-ADDRESS. */
static int is_orphaned(const struct forgetting *f, const char *name, bool *orphaned)
{
    struct slice rest = slice_of(name), number;
    char ignored[ACCOUNT_NAME_BYTES];
    uint64_t tenant = 0;
    *orphaned = false;
    if (!slice_split(&rest, '-', &number) || text_to_u64(number, UINT32_MAX, &tenant) != 0)
        return 0;
    int rc = account_tenant_name(f->account, (uint32_t)tenant, ignored, f->err);
    *orphaned = rc == ERR_NOT_FOUND;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Sealed segments with numbers below `before`. */
static int overwrite_acked(struct forgetting *f, struct journal *journal, const char *name, uint64_t before)
{
    struct overwriting o = {.acked = journal_retired(journal)};
    uint64_t number = 0, records;
    bool changed;
    int rc = is_orphaned(f, name, &o.all);
    while (rc == 0 && journal_next_sealed(journal, number, &number, &records) == 0 && number < before) {
        rc = journal_scrub(journal, number, overwrite, &o, &changed, f->err);
        if (rc == ERR_NOT_FOUND) /* retired meanwhile */
            rc = 0;
        if (rc == 0)
            rc = check(f);
    }
    f->waiting += o.beyond > 0;
    return rc == 0 ? journal_scrub_quarantine(journal, f->err) : rc;
}

/* --- those that are open ------------------------------------------------------------------------------- */

static bool is_gone(struct spool *spool)
{
    uint64_t before = spool_sealed_before(spool), oldest, next;
    journal_span(spool_journal(spool), &oldest, &next);
    return before != 0 && (oldest == 0 || oldest >= before);
}

static bool all_gone(const struct forgetting *f)
{
    bool gone = true;
    for (size_t i = 0; i < f->open_count; i++)
        gone = gone && is_gone(f->open[i].spool);
    return gone;
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static int forget_open(struct forgetting *f)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    int rc = 0;
    for (size_t i = 0; i < f->open_count; i++)
        spool_seal(f->open[i].spool);
    while (rc == 0 && !all_gone(f) && clock_monotonic_us() < until_us) {
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
        rc = check(f);
    }
    for (size_t i = 0; rc == 0 && i < f->open_count; i++) {
        uint64_t before = spool_sealed_before(f->open[i].spool);
        if (before == 0)
            pass(f, f->open[i].dir, "its disk can't be written to; look at it");
        else
            rc = overwrite_acked(f, spool_journal(f->open[i].spool), last_name(f->open[i].dir), before);
    }
    return rc;
}

/* --- those that nobody has open ------------------------------------------------------------------------ */

static int forget_shut(struct forgetting *f, const char *path, const char *name)
{
    struct journal_options options = {.dir = path, .max_bytes = INLET_SPOOL_BYTES};
    struct journal *journal = NULL;
    bool worked = true;
    int rc = journal_open(&journal, &options, f->err);
    if (rc == ERR_BUSY) {
        pass(f, path, "it is just being opened");
        return 0;
    }
    while (rc == 0 && worked && (rc = check(f)) == 0)
        rc = journal_maintain(journal, clock_real_us(), 0, &worked, f->err);
    if (rc == 0)
        rc = overwrite_acked(f, journal, name, UINT64_MAX);
    journal_close(&journal);
    return rc;
}

static bool is_open(const struct forgetting *f, const char *name)
{
    for (size_t i = 0; i < f->open_count; i++)
        if (strcmp(last_name(f->open[i].dir), name) == 0)
            return true;
    return false;
}

static int look_at(struct forgetting *f, const char *dir, const char *name)
{
    char path[PATH_BYTES];
    struct stat st;
    (void)snprintf(path, sizeof path, "%.1024s/%.255s/spool", dir, name);
    if (name[0] == '.' || is_open(f, name) || lstat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return 0;
    return forget_shut(f, path, name);
}

int spools_forget(const char *dir, struct direct *direct, struct account *account,
                  const atomic_bool *cancelled, uint64_t *waiting, struct err *err)
{
    struct forgetting f = {.account = account, .cancelled = cancelled, .err = err};
    DIR *names = opendir(dir);
    *waiting = 0;
    if (names == NULL)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s can't be read", dir);
    f.open_count = direct != NULL ? direct_get_spools(direct, f.open) : 0;
    int rc = forget_open(&f);
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;)
        rc = look_at(&f, dir, entry->d_name);
    (void)closedir(names);
    *waiting = f.waiting;
    return rc;
}
