/* SPDX-License-Identifier: Apache-2.0
 *
 * inlet: see inlet.h.
 */
#include "inlet.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "edge/opener.h"
#include "loop/process.h"
#include "wire/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1200 };
#define SYNC_INTERVAL_US (100000)
#define KEEPALIVE_US     (5 * US_PER_SECOND)

struct inlet {
    struct ip address;
    uint32_t tenant;
    bool shut;
    char name[INLET_NAME_BYTES];
    char dir[PATH_BYTES], spool_dir[PATH_BYTES + 16], key_file[PATH_BYTES + 16];
    char runtime[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES];
    struct inlet_options options;
    char secret[ACCOUNT_KEY_TEXT_BYTES]; /* the opener's until it has done, then blank */
    struct uplink_options greeting;      /* points into this struct */
    struct opener *opener;               /* NULL: settled */
    struct spool *spool;
    struct uplink *uplink;
    struct buf stash; /* what came before the spool: struct stashed and its bytes, one after the other */
};

struct stashed {
    int64_t ts_us;
    size_t n;
};

static int make_directory(const char *path, struct err *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : err_errno(err, errno, "%s can't be made", path);
}

static int read_key(const char *path, char secret[ACCOUNT_KEY_TEXT_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return ERR_NOT_FOUND;
    ssize_t n = read(fd, secret, ACCOUNT_KEY_TEXT_BYTES - 1);
    close(fd);
    secret[n > 0 ? n : 0] = '\0';
    return n > 0 ? 0 : ERR_NOT_FOUND;
}

static int write_key(const char *path, const char *secret, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(err, errno, "%s can't be written", path);
    ssize_t n = write(fd, secret, strlen(secret));
    int errnum = n == (ssize_t)strlen(secret) && fsync(fd) == 0 ? 0 : n < 0 ? errno : ENOSPC;
    close(fd);
    return errnum == 0 ? 0 : err_errno(err, errnum, "%s can't be written", path);
}

/* The API key of an earlier start when it still holds, else a new one in its place. It is fixed to no
 * address: a key that is would claim loopback for its tenant. */
static int take_key(struct inlet *inlet, struct account *account, struct err *err)
{
    char *secret = inlet->secret;
    char path[PATH_BYTES + 16];
    struct account_key key;
    struct ip anywhere = {0};
    (void)snprintf(path, sizeof path, "%s/api.key", inlet->dir);
    int rc = read_key(path, secret) != 0 ? ERR_NOT_FOUND
                                         : account_key_check(account, slice_of(secret), &anywhere,
                                                             SCOPE_INGEST, clock_real_us(), &key, err);
    if (rc == 0 && key.tenant == inlet->tenant)
        return 0;
    if (rc != 0 && rc != ERR_NOT_FOUND && rc != ERR_UNAUTHENTICATED && rc != ERR_DENIED)
        return rc; /* it may be good: look again later */
    rc = account_key_find(account, inlet->tenant, inlet->name, &key, err);
    if (rc == 0)
        rc = account_key_revoke(account, inlet->tenant, key.id, err);
    else if (rc == ERR_NOT_FOUND)
        rc = 0;
    key = (struct account_key){.tenant = inlet->tenant, .name = inlet->name, .scopes = SCOPE_INGEST};
    if (rc == 0)
        rc = account_key_add(account, &key, NULL, secret, NULL, err);
    return rc != 0 ? rc : write_key(path, secret, err);
}

/* On the opener's thread, before each attempt. */
static int prepare(void *arg, struct err *err)
{
    struct inlet *inlet = arg;
    struct account *account = NULL;
    int rc = make_directory(inlet->dir, err);
    if (rc == 0)
        rc = account_open(&account, inlet->options.account_path, err);
    if (rc == 0)
        rc = take_key(inlet, account, err);
    account_close(&account);
    return rc;
}

/* On the opener's thread. */
static void done(void *arg)
{
    const struct inlet *inlet = arg;
    inlet->options.opened(inlet->options.arg);
}

static int start_opener(struct inlet *inlet, struct err *err)
{
    const struct inlet_options *options = &inlet->options;
    inlet->greeting = (struct uplink_options){
        .server = options->server,
        .server_key = options->server_key,
        .key_file = inlet->key_file,
        .api_key = inlet->secret,
        .edge_id = inlet->name,
        .keepalive_us = KEEPALIVE_US,
    };
    struct opener_options opener = {
        .prepare = prepare,
        .patient = true,
        .spool = {.journal = {.dir = inlet->spool_dir, .max_bytes = INLET_SPOOL_BYTES, .compress_level = 1},
                  .ring_dirs = {inlet->runtime[0], inlet->runtime[1], "/dev/shm"},
                  .ring_bytes = INLET_RING_BYTES,
                  .sync = SPOOL_SYNC_INTERVAL,
                  .sync_interval_us = SYNC_INTERVAL_US},
        .uplink = &inlet->greeting,
        .done = done,
        .arg = inlet,
    };
    return opener_start(&inlet->opener, &opener, err);
}

/* IPv6 colons have no place in names. */
static void name_inlet(struct inlet *inlet, const char *parent)
{
    char address[IP_TEXT_BYTES];
    ip_format(&inlet->address, address);
    for (char *p = address; *p != '\0'; p++)
        if (*p == ':')
            *p = '_';
    (void)snprintf(inlet->name, sizeof inlet->name, "policy-%u-%.45s", inlet->tenant, address);
    (void)snprintf(inlet->dir, sizeof inlet->dir, "%.1024s/%u-%.45s", parent, inlet->tenant, address);
}

int inlet_open(struct inlet **out, const struct inlet_options *options, uint32_t tenant,
               const struct ip *address, struct err *err)
{
    struct inlet *inlet = calloc(1, sizeof *inlet);
    *out = NULL;
    if (inlet == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    inlet->address = *address;
    inlet->tenant = tenant;
    inlet->options = *options;
    buf_init(&inlet->stash, INLET_STASH_BYTES);
    process_runtime_dirs("mail-analytics", inlet->runtime);
    name_inlet(inlet, options->dir);
    (void)snprintf(inlet->spool_dir, sizeof inlet->spool_dir, "%s/spool", inlet->dir);
    (void)snprintf(inlet->key_file, sizeof inlet->key_file, "%s/edge.key", inlet->dir);
    int rc = start_opener(inlet, err);
    if (rc == 0)
        *out = inlet;
    else
        free(inlet);
    return rc;
}

/* As much as the ring takes. */
static void empty_stash(struct inlet *inlet)
{
    struct stashed next;
    while (inlet->spool != NULL && inlet->stash.n > 0) {
        memcpy(&next, inlet->stash.p, sizeof next);
        struct slice request = {inlet->stash.p + sizeof next, next.n};
        if (spool_append(inlet->spool, RECORD_POLICY, next.ts_us, request, NULL) != 0)
            return;
        buf_consume(&inlet->stash, sizeof next + next.n);
    }
    if (inlet->spool != NULL)
        buf_fini(&inlet->stash);
}

static bool settle(struct inlet *inlet, int64_t wait_us)
{
    struct err err = {0};
    if (inlet->opener == NULL)
        return true;
    int rc = opener_take(&inlet->opener, wait_us, &inlet->spool, &inlet->uplink, &err);
    if (inlet->opener != NULL)
        return false;
    if (rc != 0)
        log_error("%s: nothing is sent: %s; mend it, then restart the hub", inlet->dir, err_detail(&err));
    sodium_memzero(inlet->secret, sizeof inlet->secret);
    return true;
}

bool inlet_settle(struct inlet *inlet, int64_t wait_us)
{
    bool settled = settle(inlet, wait_us);
    if (settled && inlet->stash.n > 0)
        empty_stash(inlet);
    return settled;
}

bool inlet_close(struct inlet **inlet, int64_t drain_us)
{
    struct inlet *self = *inlet;
    struct err err = {0};
    *inlet = NULL;
    if (self == NULL)
        return true;
    if (self->opener != NULL)
        opener_stop(self->opener);
    if (!settle(self, drain_us)) {
        log_warning("%s did not open until the end: look at its disk", self->dir);
        return false;
    }
    empty_stash(self);
    if (self->stash.n > 0)
        log_warning("%s: what was answered before its spool was open is lost", self->dir);
    if (self->uplink != NULL)
        uplink_stop(&self->uplink, drain_us);
    if (self->spool != NULL && spool_close(&self->spool, drain_us + US_PER_SECOND, &err) != 0)
        log_warning("%s: %s", self->dir, err_detail(&err));
    buf_fini(&self->stash);
    free(self);
    return true;
}

struct spool *inlet_spool(const struct inlet *inlet)
{
    return inlet->spool;
}

const char *inlet_directory(const struct inlet *inlet)
{
    return inlet->dir;
}

bool inlet_is(const struct inlet *inlet, const struct ip *address)
{
    return ip_compare(&inlet->address, address) == 0;
}

const struct ip *inlet_address(const struct inlet *inlet)
{
    return &inlet->address;
}

uint32_t inlet_tenant(const struct inlet *inlet)
{
    return inlet->tenant;
}

static int stash(struct inlet *inlet, int64_t ts_us, struct slice request)
{
    struct stashed head = {ts_us, request.n};
    if (buf_reserve(&inlet->stash, sizeof head + request.n) != 0)
        return ERR_FULL;
    int rc = buf_add(&inlet->stash, &head, sizeof head);
    return rc == 0 ? buf_add_slice(&inlet->stash, request) : rc;
}

int inlet_keep(struct inlet *inlet, int64_t ts_us, struct slice request)
{
    if (inlet->shut)
        return ERR_DENIED;
    if (inlet->spool == NULL || inlet->stash.n > 0) {
        (void)inlet_settle(inlet, 0);
        if (inlet->spool == NULL || inlet->stash.n > 0)
            return stash(inlet, ts_us, request);
    }
    return spool_append(inlet->spool, RECORD_POLICY, ts_us, request, NULL);
}

void inlet_shut(struct inlet *inlet, bool shut)
{
    inlet->shut = shut;
}

bool inlet_is_shut(const struct inlet *inlet)
{
    return inlet->shut;
}
