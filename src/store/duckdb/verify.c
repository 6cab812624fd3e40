/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: see verify.h. DuckDB checks the checksum of each block that it reads, so reading all columns of all
 * rows looks at all of the file that holds rows.
 */
#include "store/duckdb/verify.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VERIFY_TEMP "tmp-verify" /* below the store's directory; nothing is spilled, it stays away */
enum { VERIFY_MEMORY_MB = 128 };
#define OPEN_PART_US (20 * US_PER_SECOND) /* longer would keep its checkpoints away */

struct verifying {
    struct parts *parts;
    struct pool *pool;
    int (*found)(void *arg, const char *part, const char *what, bool good);
    void *arg;
    const struct store_part *part; /* at hand */
    char path[PATH_MAX], name[64]; /* of it; name as it is told */
    struct err *err;
};

static int tell(struct verifying *v, bool good, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int tell(struct verifying *v, bool good, const char *fmt, ...)
{
    char what[ERR_DETAIL_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return v->found(v->arg, v->name, what, good);
}

/* All values of all rows. */
static int read_all(duckdb_connection connection, const char *name, uint64_t *rows, struct err *err)
{
    char sql[160];
    duckdb_result result;
    int rc = 0;
    (void)snprintf(sql, sizeof sql, "SELECT count(*)::UBIGINT, bit_xor(hash(e)) FROM %s.events AS e", name);
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else
        *rows = duckdb_value_uint64(&result, 0, 0);
    duckdb_destroy_result(&result);
    return rc;
}

/* How many rows come behind one that they should stand before. */
static int count_disordered(duckdb_connection connection, const char *name, uint64_t *rows, struct err *err)
{
    char sql[320];
    duckdb_result result;
    int rc = 0;
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*)::UBIGINT FROM (SELECT tenant, ts, lag(tenant) OVER () AS tenant_before, "
                   "lag(ts) OVER () AS ts_before FROM %s.events) WHERE tenant < tenant_before OR (tenant = "
                   "tenant_before AND ts < ts_before)",
                   name);
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else
        *rows = duckdb_value_uint64(&result, 0, 0);
    duckdb_destroy_result(&result);
    return rc;
}

static bool says_the_same(const struct store_part *said, const struct store_part *counted)
{
    return said->rows == counted->rows && said->min_ts == counted->min_ts &&
           said->max_ts == counted->max_ts && said->min_hub_ts == counted->min_hub_ts &&
           said->max_hub_ts == counted->max_hub_ts;
}

/* *damage: what could not be read; then the result is 0 and the rest is left out. */
static int look_at_rows(struct verifying *v, duckdb_connection connection, const char *name,
                        struct err *damage)
{
    struct store_part said = {.id = 0}, counted = {.id = 0};
    uint64_t read = 0, disordered = 0;
    int rc = layout_read(connection, name, &said, damage);
    if (rc == 0)
        rc = read_all(connection, name, &read, damage);
    if (rc == 0)
        rc = layout_count(connection, name, &counted, damage);
    if (rc == 0 && said.ordered)
        rc = count_disordered(connection, name, &disordered, damage);
    if (rc != 0)
        return 0;
    rc = tell(v, true, "every value of %" PRIu64 " rows was read", read);
    if (rc == 0 && !v->part->open) { /* the open one is written meanwhile */
        bool same = says_the_same(&said, &counted) && said.rows == read;
        rc = tell(v, same,
                  same ? "it holds what it says"
                       : "it does not hold what it says: %" PRIu64 " rows of %" PRIu64 ", or other times",
                  counted.rows, said.rows);
    }
    if (rc == 0 && said.ordered)
        rc =
            tell(v, disordered == 0,
                 disordered == 0 ? "its rows are in order" : "%" PRIu64 " rows are not in order", disordered);
    return rc;
}

static int tell_damage(struct verifying *v, const struct err *damage)
{
    return tell(
        v, false,
        "it can't be read: move %s away while the hub is stopped, and what the journal still holds of "
        "it is read again (%.160s)",
        v->path, damage->detail);
}

/* In an instance of its own, which ends with it. */
static int look_at_closed(struct verifying *v)
{
    struct instance instance;
    struct err damage = {0};
    duckdb_connection connection = NULL;
    bool fatal = false;
    int rc = instance_init(&instance, v->parts->instance->dir, VERIFY_TEMP, (uint64_t)VERIFY_MEMORY_MB << 20,
                           1, v->err);
    if (rc != 0)
        return rc;
    rc = instance_open(&instance, v->err);
    if (rc == 0)
        rc = instance_unfold(&instance, v->err);
    if (rc == 0)
        rc = instance_connect(&instance, &connection, v->err);
    if (rc == 0 && part_attach(v->path, "part", true, connection, &fatal, &damage) == 0)
        rc = look_at_rows(v, connection, "part", &damage);
    if (rc == 0 && damage.code != 0)
        rc = tell_damage(v, &damage);
    duckdb_disconnect(&connection);
    instance_fini(&instance);
    return rc;
}

/* Where it is, for another instance would not see what is in memory only. */
static int look_at_open(struct verifying *v)
{
    struct err damage = {0};
    struct part named;
    struct pool_slot *slot;
    int rc = pool_take(v->pool, 0, OPEN_PART_US, NULL, &slot, v->err);
    if (rc != 0)
        return rc;
    part_init(&named, v->parts->instance->dir, v->part);
    pool_begin(v->pool, slot);
    rc = look_at_rows(v, slot->connection, named.name, &damage);
    pool_end(v->pool, slot);
    int verdict = pool_verdict(v->pool, slot);
    pool_give(v->pool, slot);
    if (damage.code == ERR_CANCELLED && verdict == ERR_TIMEOUT)
        return tell(v, true, "it is open and large: its rows are looked at once it is closed");
    if (damage.code == ERR_CANCELLED)
        return err_set(v->err, ERR_BUSY, "the store is busy with itself; try again");
    return rc == 0 && damage.code != 0 ? tell_damage(v, &damage) : rc;
}

/* Against the part before it in the journal (NULL: it is the first). */
static int look_at_place(struct verifying *v, const struct store_part *before)
{
    static const struct store_cursor beginning = {{0, 0}, 0};
    int order = store_cursor_compare(before != NULL ? before->end : beginning, v->part->begin);
    if (order < 0)
        return tell(v, false, "something is missing before it; the loader reads it again from the journal");
    return tell(v, true,
                order == 0 ? "it begins where the one before it ends"
                           : "it begins where the journal was set back to");
}

int verify(struct parts *parts, struct pool *pool,
           int (*found)(void *arg, const char *part, const char *what, bool good), void *arg, struct err *err)
{
    struct store_part *copies;
    struct part named;
    size_t count;
    int rc = parts_copy(parts, &copies, &count, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct verifying v = {
            .parts = parts, .pool = pool, .found = found, .arg = arg, .part = &copies[i], .err = err};
        part_init(&named, parts->instance->dir, &copies[i]);
        (void)strcpy(v.path, named.path);
        (void)snprintf(v.name, sizeof v.name, "%04d-%02d.%" PRIu64 ".g%u", copies[i].year, copies[i].month,
                       copies[i].id, copies[i].generation);
        rc = look_at_place(&v, i > 0 ? &copies[i - 1] : NULL);
        if (rc == 0)
            rc = copies[i].open ? look_at_open(&v) : look_at_closed(&v);
    }
    free(copies);
    return rc;
}
