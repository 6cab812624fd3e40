/* SPDX-License-Identifier: Apache-2.0
 *
 * file: see file.h. What the settings are for:
 *   storage version    the newest that this DuckDB writes: dictionary and FSST texts in one, which halves a
 * row checkpoint         when the WAL has this many bytes, so that it and the start after a kill stay short
 *   temp directory     below our own, bounded, so that a large question can't fill the disk
 *   external access    off, and locked with the first question: no statement can read or write another file,
 * or load an extension
 */
#include "store/duckdb/file.h"

#include "base/log.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/schema.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECKPOINT_BYTES "64MB"
enum {
    MEMORY_MIN_MB = 64,
    TEMP_PER_MEMORY = 4
}; /* below it a checkpoint of all columns does not fit (measured) */

static unsigned long long memory_mb(const struct file *file)
{
    uint64_t mb = file->memory_bytes >> 20;
    return mb < MEMORY_MIN_MB ? MEMORY_MIN_MB : mb;
}

static int set_all(duckdb_config config, const struct file *file, struct err *err)
{
    char memory[32], temp_size[32], temp[PATH_MAX];
    (void)snprintf(memory, sizeof memory, "%dMiB", MEMORY_MIN_MB);
    (void)snprintf(temp_size, sizeof temp_size, "%lluMiB", memory_mb(file) * TEMP_PER_MEMORY);
    (void)snprintf(temp, sizeof temp, "%s/tmp", file->dir);
    const char *const settings[][2] = {
        {"storage_compatibility_version", "v1.4.0"},
        {"checkpoint_threshold", CHECKPOINT_BYTES},
        {"memory_limit", memory},
        {"threads", "1"},
        {"temp_directory", temp},
        {"max_temp_directory_size", temp_size},
        {"autoload_known_extensions", "false"},
        {"autoinstall_known_extensions", "false"},
        {"allocator_flush_threshold", "16MiB"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (duckdb_set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return err_set(err, ERR_VERSION, "this DuckDB does not know %s = %s; version 1.4.4 is needed",
                           settings[i][0], settings[i][1]);
    return 0;
}

static int open_database(struct file *file, struct err *err)
{
    duckdb_config config = NULL;
    char *text = NULL;
    if (duckdb_create_config(&config) != DuckDBSuccess)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = set_all(config, file, err);
    if (rc == 0 && duckdb_open_ext(file->path, &file->database, config, &text) != DuckDBSuccess)
        rc = fault_set(err, DUCKDB_ERROR_INVALID, file->path, text);
    duckdb_free(text);
    duckdb_destroy_config(&config);
    return rc;
}

/* No single quote gets in: options with one are refused in file_open. */
static int lock_down(struct file *file, duckdb_connection connection, struct err *err)
{
    char sql[PATH_MAX + 64];
    (void)snprintf(sql, sizeof sql, "SET allowed_directories=['%s/']", file->dir);
    int rc = fault_run(connection, sql, NULL, err);
    if (rc == 0)
        rc = fault_run(connection, "SET enable_external_access=false", NULL, err);
    return rc;
}

static int unfold(struct file *file, struct err *err)
{
    duckdb_connection connection = NULL;
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SET memory_limit='%lluMiB'; SET threads=%u; SET lock_configuration=true",
                   memory_mb(file), file->threads);
    int rc = file_connect(file, &connection, err);
    if (rc == 0)
        rc = fault_run(connection, sql, NULL, err);
    duckdb_disconnect(&connection);
    return rc;
}

int file_unfold(struct file *file, struct err *err)
{
    (void)pthread_mutex_lock(&file->mutex);
    int rc = file->unfolded ? 0 : unfold(file, err);
    file->unfolded = rc == 0;
    (void)pthread_mutex_unlock(&file->mutex);
    return rc;
}

bool file_is_unfolded(struct file *file)
{
    (void)pthread_mutex_lock(&file->mutex);
    bool is = file->unfolded;
    (void)pthread_mutex_unlock(&file->mutex);
    return is;
}

static int try_open(struct file *file, struct err *err)
{
    duckdb_connection connection = NULL;
    int rc = open_database(file, err);
    if (rc == 0)
        rc = file_connect(file, &connection, err);
    if (rc == 0)
        rc = lock_down(file, connection, err);
    if (rc == 0)
        rc = schema_ensure(connection, err);
    duckdb_disconnect(&connection);
    if (rc != 0)
        file_shut(file);
    return rc;
}

static bool is_damage(int code)
{
    return code == ERR_ENGINE;
}

/* Renames path when it exists; false when there was nothing to set aside or it could not be. */
static bool set_aside(const char *path, const struct err *reason)
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
    log_error("store: %s is damaged, kept as %s; what it held is read again from the journal as far as that "
              "reaches (%s)",
              path, aside, reason->detail);
    return true;
}

int file_reopen(struct file *file, struct err *err)
{
    char wal[PATH_MAX + 8];
    struct err reason = {0};
    (void)snprintf(wal, sizeof wal, "%s.wal", file->path);
    int rc = try_open(file, &reason);
    if (is_damage(rc) && set_aside(wal, &reason))
        rc = try_open(file, &reason);
    if (is_damage(rc) && set_aside(file->path, &reason))
        rc = try_open(file, &reason);
    return rc != 0 ? err_set(err, rc, "%s", reason.detail) : 0;
}

static int make_directory(const char *path, struct err *err)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "the store's directory %s can't be made", path);
    return 0;
}

int file_open(struct file *file, const struct store_options *options, struct err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *file = (struct file){.memory_bytes = options->memory_bytes, .threads = cores < 1 ? 1 : (uint32_t)cores};
    if (strlen(options->dir) >= sizeof file->dir || strchr(options->dir, '\'') != NULL)
        return err_set(err, ERR_LIMIT,
                       "the store's directory must be shorter than %zu bytes and have no quote",
                       sizeof file->dir);
    (void)pthread_mutex_init(&file->mutex, NULL);
    (void)strcpy(file->dir, options->dir);
    (void)snprintf(file->path, sizeof file->path, "%s/events-current.duckdb", file->dir);
    int rc = make_directory(file->dir, err);
    if (rc == 0)
        rc = file_reopen(file, err);
    if (rc != 0)
        file_close(file);
    return rc;
}

void file_shut(struct file *file)
{
    duckdb_close(&file->database);
    (void)pthread_mutex_lock(&file->mutex);
    file->unfolded = false;
    (void)pthread_mutex_unlock(&file->mutex);
}

void file_close(struct file *file)
{
    file_shut(file);
    (void)pthread_mutex_destroy(&file->mutex);
}

int file_connect(struct file *file, duckdb_connection *out, struct err *err)
{
    if (duckdb_connect(file->database, out) != DuckDBSuccess)
        return err_set(err, ERR_ENGINE, "%s: no connection could be made", file->path);
    return 0;
}

/* 0 when there is none; UINT64_MAX when that can't be told. */
static uint64_t wal_bytes(const struct file *file)
{
    char wal[PATH_MAX + 8];
    struct stat status;
    (void)snprintf(wal, sizeof wal, "%s.wal", file->path);
    if (stat(wal, &status) != 0)
        return errno == ENOENT ? 0 : UINT64_MAX;
    return (uint64_t)status.st_size;
}

bool file_is_whole(const struct file *file)
{
    return wal_bytes(file) == 0;
}

uint64_t file_bytes(const struct file *file)
{
    struct stat status;
    uint64_t wal = wal_bytes(file);
    return (wal != UINT64_MAX ? wal : 0) + (stat(file->path, &status) == 0 ? (uint64_t)status.st_size : 0);
}
