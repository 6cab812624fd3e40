/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite: see rewrite.h. The new file gets its own name when it is complete, closed and synced
 * (parts_replace); until then a kill leaves only files that end in .tmp….
 */
#include "store/duckdb/rewrite.h"

#include "store/duckdb/cuts.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"
#include "store/duckdb/sift.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_US (3600 * US_PER_SECOND) /* as long as consolidate waits for the rest of a message */

struct rewriting {
    struct parts *parts;
    const struct store_rewrite *how;
    const atomic_bool *cancelled;
    void (*progress)(void *arg, uint64_t done, uint64_t all);
    void *arg;
    struct err *err;
    struct original original;
    struct part made; /* the next generation */
    char temporary[PATH_MAX + 8], scratch[PATH_MAX + 16];
    struct instance instance;
    duckdb_connection connection;
    bool in_two; /* passes */
    uint64_t done, all, left;
};

static int run(struct rewriting *r, const char *sql)
{
    return fault_run(r->connection, sql, NULL, r->err);
}

static int go_on(const struct rewriting *r)
{
    return r->cancelled != NULL && atomic_load(r->cancelled)
               ? err_set(r->err, ERR_CANCELLED, "the rewriting was cancelled")
               : 0;
}

static int attach(struct rewriting *r, const char *path, const char *name, bool read_only)
{
    bool fatal = false;
    return part_attach(path, name, read_only, r->connection, &fatal, r->err);
}

static int open_instance(struct rewriting *r, uint64_t memory_bytes)
{
    uint64_t least = (uint64_t)REWRITE_MEMORY_MIN_MB << 20, quarter = memory_bytes / 4;
    int rc = instance_init(&r->instance, r->parts->instance->dir, REWRITE_TEMP,
                           quarter > least ? quarter : least, 1, r->err);
    if (rc != 0)
        return rc;
    rc = instance_open(&r->instance, r->err);
    if (rc == 0)
        rc = instance_unfold(&r->instance, r->err);
    if (rc == 0)
        rc = instance_connect(&r->instance, &r->connection, r->err);
    if (rc != 0)
        instance_fini(&r->instance);
    return rc;
}

static void close_instance(struct rewriting *r)
{
    duckdb_disconnect(&r->connection);
    instance_fini(&r->instance);
    part_unlink(r->scratch);
}

static int open_files(struct rewriting *r)
{
    part_unlink(r->temporary);
    part_unlink(r->scratch);
    int rc = attach(r, r->original.path, "old", true);
    if (rc == 0 && r->original.before[0] != '\0')
        rc = attach(r, r->original.before, "before", true);
    if (rc == 0)
        rc = attach(r, r->scratch, "scratch", false);
    if (rc == 0)
        rc = attach(r, r->temporary, "made", false);
    if (rc == 0)
        rc = layout_create(r->connection, "made", &r->made.info, r->err);
    return rc;
}

/* Runs an INSERT; *rows how many it wrote. */
static int insert(struct rewriting *r, struct buf *sql, int rc, uint64_t *rows)
{
    duckdb_result result = {0};
    if (rc == 0)
        rc = buf_add(sql, "", 1);
    if (rc != 0)
        return err_set(r->err, rc, "out of memory");
    if (duckdb_query(r->connection, sql->p, &result) != DuckDBSuccess)
        rc = fault_set(r->err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    else
        *rows = duckdb_rows_changed(&result);
    duckdb_destroy_result(&result);
    return rc;
}

static void advance(struct rewriting *r, uint64_t rows)
{
    r->done += rows;
    if (r->progress != NULL)
        r->progress(r->arg, r->done, r->all);
}

/* The rows that are left, each stretch sorted, into table. */
static int pass_stretches(struct rewriting *r, const char *table)
{
    struct buf sql;
    int rc = run(r, "BEGIN");
    buf_init(&sql, 1 << 20);
    for (uint64_t first = 0; rc == 0 && first < r->original.info.rows; first += REWRITE_ROWS) {
        uint64_t rows = 0, end = first + REWRITE_ROWS;
        rc = go_on(r);
        if (rc != 0)
            break;
        buf_clear(&sql);
        rc = buf_addf(&sql, "INSERT INTO %s ", table);
        rc = rc != 0 ? rc : sift_add(&sql, r->how, first, end);
        rc = rc != 0 ? rc : buf_addf(&sql, " ORDER BY tenant, ts");
        rc = insert(r, &sql, rc, &rows);
        r->left += rows;
        advance(r, end < r->original.info.rows ? REWRITE_ROWS : r->original.info.rows - first);
    }
    buf_fini(&sql);
    return rc != 0 ? rc : run(r, "COMMIT");
}

/* From one cut up to the next (NULL: to the end). */
static int add_between(struct buf *sql, const struct cut *from, const struct cut *to)
{
    int rc = buf_addf(
        sql, " WHERE tenant >= %" PRIu32 " AND (tenant > %" PRIu32 " OR ts >= make_timestamp(%" PRId64 "))",
        from->tenant, from->tenant, from->ts);
    if (rc == 0 && to != NULL && to->tenant == from->tenant) /* plain conditions skip whole row groups */
        rc = buf_addf(sql,
                      " AND tenant = %" PRIu32 " AND ts >= make_timestamp(%" PRId64
                      ") AND ts < make_timestamp(%" PRId64 ")",
                      to->tenant, from->ts, to->ts);
    else if (rc == 0 && to != NULL)
        rc = buf_addf(
            sql, " AND tenant <= %" PRIu32 " AND (tenant < %" PRIu32 " OR ts < make_timestamp(%" PRId64 "))",
            to->tenant, to->tenant, to->ts);
    return rc;
}

/* Out of the scratch file, in the final order. */
static int pass_pieces(struct rewriting *r)
{
    struct buf sql;
    struct cuts cuts;
    int rc = cuts_find(r->connection, "scratch.events", REWRITE_ROWS, &cuts, r->err);
    if (rc != 0)
        return rc;
    buf_init(&sql, 4096);
    rc = run(r, "BEGIN");
    for (size_t i = 0; rc == 0 && i < cuts.count; i++) {
        uint64_t rows = 0;
        rc = go_on(r);
        if (rc != 0)
            break;
        buf_clear(&sql);
        rc = buf_addf(&sql, "INSERT INTO made.events SELECT * FROM scratch.events");
        rc = rc != 0 ? rc : add_between(&sql, &cuts.list[i], i + 1 < cuts.count ? &cuts.list[i + 1] : NULL);
        rc = rc != 0 ? rc : buf_addf(&sql, " ORDER BY tenant, ts");
        rc = insert(r, &sql, rc, &rows);
        advance(r, rows);
    }
    buf_fini(&sql);
    cuts_fini(&cuts);
    return rc != 0 ? rc : run(r, "COMMIT");
}

/* What the new part says of itself: the old one's place, and what is really in it. */
static int describe(struct rewriting *r)
{
    struct store_part *info = &r->made.info;
    bool fatal = false;
    int rc = layout_count(r->connection, "made", info, r->err);
    if (rc == 0 && info->rows != r->left)
        rc = err_set(r->err, ERR_CORRUPT, "%s was to have %" PRIu64 " rows and has %" PRIu64, r->temporary,
                     r->left, info->rows);
    info->ordered = true;
    if (rc == 0)
        rc = layout_write(r->connection, "made", info, &fatal, r->err);
    if (rc == 0)
        rc = run(r, "CHECKPOINT made");
    return rc == 0 ? part_detach("made", r->connection, r->err) : rc;
}

static int write_anew(struct rewriting *r)
{
    int rc = open_files(r);
    if (rc == 0 && r->in_two)
        rc = run(r, "CREATE TABLE scratch.events AS SELECT * FROM made.events LIMIT 0");
    if (rc == 0)
        rc = sift_prepare(r->connection, r->how, r->original.before[0] != '\0',
                          r->original.info.min_hub_ts - MESSAGE_US, r->cancelled, r->err);
    if (rc == 0)
        rc = pass_stretches(r, r->in_two ? "scratch.events" : "made.events");
    if (rc == 0 && r->in_two)
        rc = pass_pieces(r);
    return rc == 0 ? describe(r) : rc;
}

int rewrite(struct parts *parts, uint64_t memory_bytes, uint64_t id, const struct store_rewrite *how,
            const atomic_bool *cancelled, void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg,
            struct err *err)
{
    static const struct store_rewrite nothing;
    struct rewriting *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    *r = (struct rewriting){.parts = parts,
                            .how = how != NULL ? how : &nothing,
                            .cancelled = cancelled,
                            .progress = progress,
                            .arg = arg,
                            .err = err};
    int rc = parts_original(parts, id, &r->original, &r->made, err);
    if (rc == 0)
        rc = open_instance(r, memory_bytes);
    if (rc != 0)
        goto out;
    r->in_two = !r->original.info.ordered && r->original.info.rows > REWRITE_ROWS;
    r->all = r->original.info.rows * (r->in_two ? 2 : 1);
    (void)snprintf(r->temporary, sizeof r->temporary, "%s.tmp", r->made.path);
    (void)snprintf(r->scratch, sizeof r->scratch, "%s.tmp.scratch", r->made.path);
    rc = write_anew(r);
    close_instance(r);
    if (rc == 0)
        rc = go_on(r);
    if (rc == 0)
        rc = parts_replace(parts, &r->original.info, &r->made, r->temporary, err);
    if (rc != 0)
        part_unlink(r->temporary);
out:
    free(r);
    return rc;
}
