/* SPDX-License-Identifier: Apache-2.0
 *
 * reshape: see reshape.h.
 */
#include "store/duckdb/reshape.h"

#include "base/buf.h"
#include "base/log.h"
#include "store/duckdb/fault.h"
#include "store/duckdb/guess.h"
#include "store/duckdb/rolled.h"

#include <stdio.h>

#define MADE    "reshaped"
#define MADE_IN MADE "."

/* Answers the one text of the first row; "" when it is NULL or there is none. */
static int read_text(duckdb_connection connection, const char *sql, struct buf *out, struct err *err)
{
    duckdb_result result = {0};
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess) {
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    } else {
        char *text = duckdb_value_varchar(&result, 0, 0);
        buf_clear(out);
        rc = buf_addf(out, "%s", text != NULL ? text : "");
        duckdb_free(text);
        if (rc != 0)
            err_set(err, rc, "out of memory");
    }
    duckdb_destroy_result(&result);
    return rc;
}

/* "daily, tenant, …": what a table has in both files; "": it is not in the old one. */
static int common_columns(duckdb_connection connection, const char *table, struct buf *out, struct err *err)
{
    char sql[512];
    (void)snprintf(
        sql, sizeof sql,
        "SELECT string_agg(n.column_name, ', ' ORDER BY n.column_index) FROM duckdb_columns() n JOIN "
        "duckdb_columns() o USING (table_name, column_name) WHERE n.database_name = '" MADE
        "' AND o.database_name = '" ROLLED_CATALOG "' AND table_name = '%s'",
        table);
    return read_text(connection, sql, out, err);
}

static int take_along(duckdb_connection connection, const char *table, struct err *err)
{
    struct buf columns, sql;
    buf_init(&columns, 8192);
    buf_init(&sql, 32768);
    int rc = common_columns(connection, table, &columns, err);
    if (rc == 0 && columns.n > 0) {
        rc = buf_addf(&sql, "INSERT INTO " MADE_IN "%s (%s) SELECT %s FROM " ROLLED_IN "%s", table, columns.p,
                      columns.p, table);
        rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql.p, NULL, err);
    }
    buf_fini(&sql);
    buf_fini(&columns);
    return rc;
}

/* A release that didn't note which periods are kept marked what the writer or a rewriting changed, and did
 * not mark what retention took: so counts tell. Also of what may have lost such notes with its WAL. */
static int note_kept_if_unknown(struct parts *parts, duckdb_connection connection, struct err *err)
{
    struct buf known;
    buf_init(&known, 64);
    int rc = read_text(connection,
                       "SELECT count(*) FROM duckdb_columns() WHERE database_name = '" ROLLED_CATALOG
                       "' AND table_name = 'rolled_periods' AND column_name = 'kept'",
                       &known, err);
    bool is_known = rc == 0 && strcmp(known.p, "0") != 0;
    buf_fini(&known);
    return rc != 0 || (is_known && !parts->rollups_doubtful) ? rc : guess_kept(parts, connection, MADE, err);
}

static int fill(struct parts *parts, duckdb_connection connection, struct err *err)
{
    int rc = rolled_create(connection, MADE, err);
    for (size_t i = 0; rc == 0 && rolled_tables[i] != NULL; i++)
        rc = take_along(connection, rolled_tables[i], err);
    if (rc == 0)
        rc = note_kept_if_unknown(parts, connection, err);
    return rc != 0 ? rc : rolled_mark_all(connection, MADE, parts, err);
}

static int must_be_whole(const char *path, struct err *err)
{
    return part_is_whole(path) ? 0 : err_set(err, ERR_BUSY, "%s has yet to be checkpointed; try again", path);
}

/* The new one complete, the old one without a WAL that would be taken for the new one's. */
static int finish(const char *path, const char *temporary, duckdb_connection connection, struct err *err)
{
    int rc = fault_run(connection, "CHECKPOINT " MADE, NULL, err);
    if (rc == 0)
        rc = part_detach(MADE, connection, err);
    if (rc == 0)
        rc = must_be_whole(temporary, err);
    if (rc == 0)
        rc = fault_run(connection, "CHECKPOINT " ROLLED_CATALOG, NULL, err);
    if (rc == 0)
        rc = must_be_whole(path, err);
    return rc != 0 ? rc : part_detach(ROLLED_CATALOG, connection, err);
}

int reshape(struct parts *parts, duckdb_connection connection, struct err *err)
{
    char path[PATH_MAX], temporary[PATH_MAX + 8];
    bool fatal = false;
    rolled_path(parts, path);
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int rc = rolled_check_room(parts, err);
    if (rc == 0)
        rc = part_attach(temporary, MADE, false, connection, &fatal, err);
    if (rc == 0)
        rc = fill(parts, connection, err);
    if (rc == 0)
        rc = finish(path, temporary, connection, err);
    if (rc != 0) { /* leaves the room to the mail that comes in */
        (void)!part_detach(MADE, connection, NULL);
        part_unlink(temporary);
        return rc;
    }
    rc = part_install(temporary, path, err);
    if (rc == 0)
        rc = part_attach(path, ROLLED_CATALOG, false, connection, &fatal, err);
    if (rc == 0)
        log_info("store: %s was brought to this release's definition; what has events is rolled anew", path);
    return rc;
}
