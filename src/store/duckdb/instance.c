/* SPDX-License-Identifier: Apache-2.0
 *
 * instance: see instance.h. What the settings are for:
 *   storage version    the newest that this DuckDB writes: dictionary and FSST texts in one, which halves a
 * row checkpoint         when the WAL has this many bytes, so that it and the start after a kill stay short
 *   temp directory     below our own, bounded, so that a large question can't fill the disk
 *   external access    off, and locked with the first question: no statement can read or write another file,
 * or load an extension
 */
#include "store/duckdb/instance.h"

#include "base/nice.h"
#include "store/duckdb/fault.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECKPOINT_BYTES "64MB"
enum { TEMP_PER_MEMORY = 4 };

static unsigned long long memory_mb(const struct instance *instance)
{
    uint64_t mb = instance->memory_bytes >> 20;
    return mb < INSTANCE_MEMORY_MIN_MB ? INSTANCE_MEMORY_MIN_MB : mb;
}

static int set_all(duckdb_config config, const struct instance *instance, struct err *err)
{
    char memory[32], temp_size[32], temp[PATH_MAX];
    (void)snprintf(memory, sizeof memory, "%dMiB", INSTANCE_MEMORY_MIN_MB);
    (void)snprintf(temp_size, sizeof temp_size, "%lluMiB", memory_mb(instance) * TEMP_PER_MEMORY);
    (void)snprintf(temp, sizeof temp, "%s/%s", instance->dir, instance->temp);
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

static int open_database(struct instance *instance, struct err *err)
{
    duckdb_config config = NULL;
    char *text = NULL;
    if (duckdb_create_config(&config) != DuckDBSuccess)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = set_all(config, instance, err);
    if (rc == 0 && duckdb_open_ext(NULL, &instance->database, config, &text) != DuckDBSuccess)
        rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb", text);
    duckdb_free(text);
    duckdb_destroy_config(&config);
    return rc;
}

/* No single quote gets in: instance_init refuses it. */
static int lock_down(struct instance *instance, duckdb_connection connection, struct err *err)
{
    char sql[PATH_MAX + 64];
    (void)snprintf(sql, sizeof sql, "SET allowed_directories=['%s/']", instance->dir);
    int rc = fault_run(connection, sql, NULL, err);
    if (rc == 0)
        rc = fault_run(connection, "SET enable_external_access=false", NULL, err);
    return rc;
}

/* More threads than processors would only take the writer's turns. */
static unsigned threads_of(const struct instance *instance)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors > 0 && processors < (long)instance->threads ? (unsigned)processors : instance->threads;
}

struct unfolding {
    struct instance *instance;
    struct err *err;
    int rc;
};

/* DuckDB's own threads are made by whoever sets their number, and inherit its priority. */
static void *unfold(void *arg)
{
    struct unfolding *unfolding = arg;
    struct instance *instance = unfolding->instance;
    duckdb_connection connection = NULL;
    char sql[128];
    (void)snprintf(sql, sizeof sql, "SET memory_limit='%lluMiB'; SET threads=%u; SET lock_configuration=true",
                   memory_mb(instance), threads_of(instance));
    nice_lower(NICE_BACKGROUND);
    int rc = instance_connect(instance, &connection, unfolding->err);
    if (rc == 0)
        rc = fault_run(connection, sql, NULL, unfolding->err);
    duckdb_disconnect(&connection);
    unfolding->rc = rc;
    return NULL;
}

/* Questions' threads are to give way also when it is the writer who lacks memory. */
static int unfold_apart(struct instance *instance, struct err *err)
{
    struct unfolding unfolding = {.instance = instance, .err = err};
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, unfold, &unfolding);
    if (rc != 0)
        return err_errno(err, rc, "duckdb's threads can't be started");
    (void)pthread_join(thread, NULL);
    return unfolding.rc;
}

int instance_unfold(struct instance *instance, struct err *err)
{
    (void)pthread_mutex_lock(&instance->mutex);
    int rc = instance->unfolded ? 0 : unfold_apart(instance, err);
    instance->unfolded = rc == 0;
    (void)pthread_mutex_unlock(&instance->mutex);
    return rc;
}

bool instance_is_unfolded(struct instance *instance)
{
    (void)pthread_mutex_lock(&instance->mutex);
    bool is = instance->unfolded;
    (void)pthread_mutex_unlock(&instance->mutex);
    return is;
}

int instance_open(struct instance *instance, struct err *err)
{
    duckdb_connection connection = NULL;
    int rc = open_database(instance, err);
    if (rc == 0)
        rc = instance_connect(instance, &connection, err);
    if (rc == 0)
        rc = lock_down(instance, connection, err);
    duckdb_disconnect(&connection);
    if (rc != 0)
        instance_shut(instance);
    return rc;
}

int instance_init(struct instance *instance, const char *dir, const char *temp, uint64_t memory_bytes,
                  uint32_t threads, struct err *err)
{
    *instance = (struct instance){.temp = temp, .memory_bytes = memory_bytes, .threads = threads};
    if (strlen(dir) >= sizeof instance->dir || strchr(dir, '\'') != NULL)
        return err_set(err, ERR_LIMIT,
                       "the store's directory must be shorter than %zu bytes and have no quote",
                       sizeof instance->dir);
    (void)strcpy(instance->dir, dir);
    (void)pthread_mutex_init(&instance->mutex, NULL);
    return 0;
}

void instance_shut(struct instance *instance)
{
    duckdb_close(&instance->database);
    (void)pthread_mutex_lock(&instance->mutex);
    instance->unfolded = false;
    (void)pthread_mutex_unlock(&instance->mutex);
}

void instance_fini(struct instance *instance)
{
    instance_shut(instance);
    (void)pthread_mutex_destroy(&instance->mutex);
}

int instance_connect(struct instance *instance, duckdb_connection *out, struct err *err)
{
    if (duckdb_connect(instance->database, out) != DuckDBSuccess)
        return err_set(err, ERR_ENGINE, "duckdb: no connection could be made");
    return 0;
}
