/* SPDX-License-Identifier: Apache-2.0
 *
 * inlet: see inlet.h.
 */
#include "inlet.h"

#include "base/clock.h"
#include "base/log.h"
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
    char dir[PATH_BYTES];
    struct spool *spool;
    struct uplink *uplink;
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
static int take_key(struct inlet *inlet, struct account *account, char secret[ACCOUNT_KEY_TEXT_BYTES],
                    struct err *err)
{
    char path[PATH_BYTES + 16];
    struct account_key key;
    struct ip anywhere = {0};
    (void)snprintf(path, sizeof path, "%s/api.key", inlet->dir);
    if (read_key(path, secret) == 0 &&
        account_key_check(account, slice_of(secret), &anywhere, SCOPE_INGEST, clock_real_us(), &key, err) ==
            0 &&
        key.tenant == inlet->tenant)
        return 0;
    int rc = account_key_find(account, inlet->tenant, inlet->name, &key, err);
    if (rc == 0)
        rc = account_key_revoke(account, inlet->tenant, key.id, err);
    else if (rc == ERR_NOT_FOUND)
        rc = 0;
    key = (struct account_key){.tenant = inlet->tenant, .name = inlet->name, .scopes = SCOPE_INGEST};
    if (rc == 0)
        rc = account_key_add(account, &key, NULL, secret, NULL, err);
    return rc != 0 ? rc : write_key(path, secret, err);
}

static int open_spool(struct inlet *inlet, struct err *err)
{
    char dir[PATH_BYTES + 16], runtime[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES];
    process_runtime_dirs("mail-analytics", runtime);
    (void)snprintf(dir, sizeof dir, "%s/spool", inlet->dir);
    struct spool_options options = {
        .journal = {.dir = dir, .max_bytes = INLET_SPOOL_BYTES, .compress_level = 1},
        .ring_dirs = {runtime[0], runtime[1], "/dev/shm"},
        .ring_bytes = INLET_RING_BYTES,
        .sync = SPOOL_SYNC_INTERVAL,
        .sync_interval_us = SYNC_INTERVAL_US,
    };
    return spool_open(&inlet->spool, &options, err);
}

static int start_uplink(struct inlet *inlet, const struct inlet_options *options, const char *secret,
                        struct err *err)
{
    char key_file[PATH_BYTES + 16];
    (void)snprintf(key_file, sizeof key_file, "%s/edge.key", inlet->dir);
    struct uplink_options uplink = {
        .server = options->server,
        .server_key = options->server_key,
        .key_file = key_file,
        .api_key = secret,
        .edge_id = inlet->name,
        .keepalive_us = KEEPALIVE_US,
    };
    return uplink_start(&inlet->uplink, &uplink, inlet->spool, err);
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

int inlet_open(struct inlet **out, const struct inlet_options *options, struct account *account,
               uint32_t tenant, const struct ip *address, struct err *err)
{
    char secret[ACCOUNT_KEY_TEXT_BYTES] = "";
    struct inlet *inlet = calloc(1, sizeof *inlet);
    if (inlet == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    inlet->address = *address;
    inlet->tenant = tenant;
    name_inlet(inlet, options->dir);
    int rc = make_directory(inlet->dir, err);
    if (rc == 0)
        rc = take_key(inlet, account, secret, err);
    if (rc == 0)
        rc = open_spool(inlet, err);
    if (rc == 0)
        rc = start_uplink(inlet, options, secret, err);
    sodium_memzero(secret, sizeof secret);
    if (rc != 0)
        inlet_close(&inlet, 0);
    *out = inlet;
    return rc;
}

void inlet_close(struct inlet **inlet, int64_t drain_us)
{
    struct inlet *self = *inlet;
    struct err err = {0};
    *inlet = NULL;
    if (self == NULL)
        return;
    if (self->uplink != NULL)
        uplink_stop(&self->uplink, drain_us);
    if (self->spool != NULL && spool_close(&self->spool, drain_us + US_PER_SECOND, &err) != 0)
        log_warning("%s: %s", self->dir, err_detail(&err));
    free(self);
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

int inlet_keep(struct inlet *inlet, int64_t ts_us, struct slice request, uint64_t *seq)
{
    return inlet->shut ? ERR_DENIED : spool_append(inlet->spool, RECORD_POLICY, ts_us, request, seq);
}

void inlet_shut(struct inlet *inlet, bool shut)
{
    inlet->shut = shut;
}

bool inlet_is_shut(const struct inlet *inlet)
{
    return inlet->shut;
}
