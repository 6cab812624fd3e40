/* SPDX-License-Identifier: Apache-2.0
 *
 * part: see part.h.
 */
#include "store/duckdb/part.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void part_init(struct part *part, const char *dir, const struct store_part *info)
{
    *part = (struct part){.info = *info, .checkpointed = info->begin};
    (void)snprintf(part->name, sizeof part->name, "p%" PRIu64 "g%u", info->id, info->generation);
    (void)snprintf(part->path, sizeof part->path, "%s/events-%04d-%02d.%" PRIu64 ".g%u.duckdb", dir,
                   info->year, info->month, info->id, info->generation);
}

bool part_parse(const char *file, struct store_part *out, const char **rest)
{
    int n = 0;
    *out = (struct store_part){.id = 0};
    if (sscanf(file, "events-%4d-%2d.%" SCNu64 ".g%u.duckdb%n", &out->year, &out->month, &out->id,
               &out->generation, &n) != 4 ||
        n == 0)
        return false;
    *rest = file + n;
    return out->id > 0 && out->generation > 0;
}

void part_month(int64_t hub_ts, int *year, int *month)
{
    struct tm tm;
    time_t seconds = (time_t)(hub_ts / US_PER_SECOND);
    (void)gmtime_r(&seconds, &tm);
    *year = tm.tm_year + 1900;
    *month = tm.tm_mon + 1;
}

int part_month_compare(const struct store_part *part, int64_t hub_ts)
{
    int year, month;
    part_month(hub_ts, &year, &month);
    int order = part->year != year ? part->year - year : part->month - month;
    return (order > 0) - (order < 0);
}

int part_attach(const char *path, const char *name, bool read_only, duckdb_connection connection, bool *fatal,
                struct err *err)
{
    char sql[PATH_MAX + 128];
    (void)snprintf(sql, sizeof sql, "ATTACH '%s' AS %s%s", path, name, read_only ? " (READ_ONLY)" : "");
    return fault_run(connection, sql, fatal, err);
}

int part_detach(const char *name, duckdb_connection connection, struct err *err)
{
    char sql[PART_NAME_BYTES + 16];
    (void)snprintf(sql, sizeof sql, "DETACH %s", name);
    return fault_run(connection, sql, NULL, err);
}

static int sync_path(const char *path, int flags, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    int rc = fd < 0 || fsync(fd) != 0 ? err_errno(err, errno, "%s can't be synced", path) : 0;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int part_sync(const char *path, struct err *err)
{
    return sync_path(path, 0, err);
}

int part_install(const char *temporary, const char *path, struct err *err)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", path);
    int rc = sync_path(temporary, 0, err);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_errno(err, errno, "%s can't be renamed", temporary);
    return rc == 0 ? sync_path(dirname(dir), O_DIRECTORY, err) : rc;
}

void part_unlink(const char *path)
{
    char wal[PATH_MAX + 8];
    (void)snprintf(wal, sizeof wal, "%s.wal", path);
    (void)unlink(path);
    (void)unlink(wal);
}

/* The empty file under its temporary name, closed again. */
static int make_temporary(const char *path, const struct store_part *info, duckdb_connection connection,
                          bool *fatal, struct err *err)
{
    static const char name[] = "made";
    part_unlink(path);
    int rc = part_attach(path, name, false, connection, fatal, err);
    if (rc != 0)
        return rc;
    rc = layout_create(connection, name, info, err);
    if (rc == 0)
        rc = fault_run(connection, "CHECKPOINT made", fatal, err);
    int detached = part_detach(name, connection, rc == 0 ? err : NULL);
    return rc != 0 ? rc : detached;
}

int part_make(struct part *part, duckdb_connection connection, bool *fatal, struct err *err)
{
    char temporary[PATH_MAX + 8];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", part->path);
    int rc = make_temporary(temporary, &part->info, connection, fatal, err);
    if (rc == 0)
        rc = part_install(temporary, part->path, err);
    if (rc == 0)
        rc = part_attach(part->path, part->name, false, connection, fatal, err);
    if (rc != 0)
        part_unlink(temporary);
    return rc;
}

int part_checkpoint(struct part *part, duckdb_connection connection, bool *fatal, struct err *err)
{
    char sql[PART_NAME_BYTES + 16];
    (void)snprintf(sql, sizeof sql, "CHECKPOINT %s", part->name);
    int rc = fault_run(connection, sql, fatal, err);
    /* Not even begun (one that fails is fatal): a question has run since before the last commit, and DuckDB
     * keeps what it may still look at. */
    if (rc == ERR_ENGINE && !*fatal)
        rc = err_set(err, ERR_BUSY, "no checkpoint can be made while questions run");
    return rc;
}

/* 0 when there is none; UINT64_MAX when that can't be told. */
static uint64_t wal_bytes(const char *path)
{
    char wal[PATH_MAX + 8];
    struct stat status;
    (void)snprintf(wal, sizeof wal, "%s.wal", path);
    if (stat(wal, &status) != 0)
        return errno == ENOENT ? 0 : UINT64_MAX;
    return (uint64_t)status.st_size;
}

bool part_is_whole(const char *path)
{
    return wal_bytes(path) == 0;
}

uint64_t part_bytes(const char *path)
{
    struct stat status;
    uint64_t wal = wal_bytes(path);
    return (wal != UINT64_MAX ? wal : 0) + (stat(path, &status) == 0 ? (uint64_t)status.st_size : 0);
}

bool part_set_aside(const char *path, const char *then, const struct err *reason)
{
    char aside[PATH_MAX + 64], stamp[CLOCK_TEXT_BYTES];
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    clock_format(clock_real_us(), stamp);
    (void)snprintf(aside, sizeof aside, "%s.damaged-%s", path, stamp);
    if (rename(path, aside) != 0) {
        log_error("store: %s is damaged and can't be renamed (%s); make its directory writable", path,
                  strerror(errno));
        return false;
    }
    log_error("store: %s is damaged, kept as %s; what it held is %s (%s)", path, aside, then, reason->detail);
    return true;
}
