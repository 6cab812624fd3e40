/* SPDX-License-Identifier: Apache-2.0
 *
 * sift: see sift.h. What is said about rows lies in tables and is joined: ten thousand erasures cost one
 * pass. Values from outside go through appenders only.
 */
#include "store/duckdb/sift.h"

#include "store/duckdb/fault.h"
#include "store/duckdb/layout.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_ROWS = 64 * 1024 };

#define LOWER(column) "translate(" column ", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"

static const char *const address_columns[] = {"sender", "recipient", "sasl_username", "sasl_sender"};

static size_t kept_events(const struct store_rewrite *how, bool explicitly)
{
    size_t count = 0;
    for (size_t i = 0; i < how->keep_count; i++)
        count += how->keeps[i].kind == STORE_KIND_EVENTS && (how->keeps[i].tenant != 0) == explicitly;
    return count;
}

static int from_appender(duckdb_appender appender, struct err *err)
{
    duckdb_error_data data = duckdb_appender_error_data(appender);
    int rc = fault_set(err, duckdb_error_data_error_type(data), "duckdb", duckdb_error_data_message(data));
    duckdb_destroy_error_data(&data);
    return rc;
}

static int open_appender(duckdb_connection connection, const char *table, duckdb_appender *out,
                         struct err *err)
{
    if (duckdb_appender_create_ext(connection, "scratch", NULL, table, out) == DuckDBSuccess)
        return 0;
    int rc = from_appender(*out, err);
    (void)duckdb_appender_destroy(out);
    return rc;
}

static int close_appender(duckdb_appender *appender, int rc, struct err *err)
{
    if (rc == 0 && duckdb_appender_close(*appender) != DuckDBSuccess)
        rc = from_appender(*appender, err);
    (void)duckdb_appender_destroy(appender);
    return rc;
}

/* As a JSON text has it. */
static int as_json(struct slice text, struct buf *out)
{
    int rc = 0;
    buf_clear(out);
    for (size_t i = 0; rc == 0 && i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            rc = buf_add(out, "\\", 1);
        rc = rc != 0 ? rc : buf_add(out, text.p + i, 1);
    }
    return rc;
}

static int add_erasures(duckdb_connection connection, const struct store_rewrite *how, struct err *err)
{
    duckdb_appender appender = NULL;
    struct buf json;
    int rc = fault_run(connection,
                       "CREATE TABLE scratch.erased (tenant UINTEGER, address VARCHAR, as_json VARCHAR, "
                       "before TIMESTAMP)",
                       NULL, err);
    if (rc == 0)
        rc = open_appender(connection, "erased", &appender, err);
    if (rc != 0)
        return rc;
    buf_init(&json, 1 << 20);
    for (size_t i = 0; rc == 0 && i < how->erasure_count; i++) {
        const struct store_erasure *erasure = &how->erasures[i];
        rc = as_json(erasure->address, &json);
        if (rc != 0)
            rc = err_set(err, rc, "an address to be erased is too long");
        else if (duckdb_append_uint32(appender, erasure->tenant) != DuckDBSuccess ||
                 duckdb_append_varchar_length(appender, erasure->address.p, erasure->address.n) !=
                     DuckDBSuccess ||
                 duckdb_append_varchar_length(appender, json.p, json.n) != DuckDBSuccess ||
                 duckdb_append_timestamp(appender, (duckdb_timestamp){erasure->before_us}) != DuckDBSuccess ||
                 duckdb_appender_end_row(appender) != DuckDBSuccess)
            rc = from_appender(appender, err);
    }
    buf_fini(&json);
    return close_appender(&appender, rc, err);
}

static int add_keeps(duckdb_connection connection, const struct store_rewrite *how, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 64 << 20);
    int rc = buf_addf(&sql, "CREATE TABLE scratch.kept (tenant UINTEGER, before TIMESTAMP); ");
    for (size_t i = 0; rc == 0 && i < how->keep_count; i++)
        if (how->keeps[i].kind == STORE_KIND_EVENTS && how->keeps[i].tenant != 0)
            rc = buf_addf(&sql, "INSERT INTO scratch.kept VALUES (%lu, make_timestamp(%lld)); ",
                          (unsigned long)how->keeps[i].tenant, (long long)how->keeps[i].before_us);
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql.p, NULL, err);
    buf_fini(&sql);
    return rc;
}

/* The tenant's rows that say something about direction. */
static int add_source(struct buf *sql, const struct store_rewrite *how, bool has_before, int64_t since,
                      const char *columns, const char *also)
{
    unsigned long tenant = how->reclassify_tenant;
    int rc = buf_addf(sql, "(SELECT %s FROM old.events WHERE tenant = %lu%s", columns, tenant, also);
    if (rc == 0 && has_before)
        rc = buf_addf(sql,
                      " UNION ALL SELECT %s FROM before.events WHERE tenant = %lu AND stage = 'RCPT' AND "
                      "hub_ts >= make_timestamp(%lld)",
                      columns, tenant, (long long)since);
    return rc != 0 ? rc : buf_addf(sql, ")");
}

static int append_class(duckdb_appender appender, const struct event *event, struct err *err)
{
    const char *direction = event_direction_name(event->direction);
    bool absent = event->direction == DIRECTION_ABSENT;
    duckdb_uhugeint client = layout_from_bytes(event->client_address.b);
    bool no_client = client.upper == 0 && client.lower == 0;
    if ((no_client ? duckdb_append_null(appender) : duckdb_append_uhugeint(appender, client)) !=
            DuckDBSuccess ||
        duckdb_append_bool(appender, event->sasl_username.n > 0) != DuckDBSuccess ||
        (event->recipient_domain.n == 0
             ? duckdb_append_null(appender)
             : duckdb_append_varchar_length(appender, event->recipient_domain.p,
                                            event->recipient_domain.n)) != DuckDBSuccess ||
        (absent ? duckdb_append_null(appender) : duckdb_append_varchar(appender, direction)) !=
            DuckDBSuccess ||
        duckdb_append_uint32(appender, event->rule_version) != DuckDBSuccess ||
        duckdb_appender_end_row(appender) != DuckDBSuccess)
        return from_appender(appender, err);
    return 0;
}

static bool is_null(duckdb_vector vector, idx_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    return validity != NULL && !duckdb_validity_row_is_valid(validity, row);
}

static int classify_chunk(duckdb_data_chunk chunk, const struct store_rewrite *how, duckdb_appender appender,
                          struct err *err)
{
    duckdb_vector client = duckdb_data_chunk_get_vector(chunk, 0);
    duckdb_vector logged_in = duckdb_data_chunk_get_vector(chunk, 1);
    duckdb_vector domain = duckdb_data_chunk_get_vector(chunk, 2);
    int rc = 0;
    for (idx_t row = 0; rc == 0 && row < duckdb_data_chunk_get_size(chunk); row++) {
        struct event event = {.tenant = how->reclassify_tenant};
        if (!is_null(client, row))
            layout_to_bytes(((duckdb_uhugeint *)duckdb_vector_get_data(client))[row], event.client_address.b);
        if (((bool *)duckdb_vector_get_data(logged_in))[row])
            event.sasl_username = SLICE("somebody");
        if (!is_null(domain, row)) {
            duckdb_string_t *text = (duckdb_string_t *)duckdb_vector_get_data(domain) + row;
            event.recipient_domain =
                (struct slice){duckdb_string_t_data(text), duckdb_string_t_length(*text)};
        }
        rc = how->classify(how->classify_arg, &event);
        if (rc != 0)
            return err_set(err, rc, "the rules could not be applied");
        rc = append_class(appender, &event, err);
    }
    return rc;
}

/* One page of scratch.different becomes classes; *more: there may be another. */
static int classify_page(duckdb_connection connection, const struct store_rewrite *how, uint64_t first,
                         duckdb_appender appender, bool *more, struct err *err)
{
    char sql[160];
    duckdb_result result;
    int rc = 0;
    *more = false;
    (void)snprintf(sql, sizeof sql, "SELECT * FROM scratch.different WHERE rowid >= %llu AND rowid < %llu",
                   (unsigned long long)first, (unsigned long long)first + PAGE_ROWS);
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess)
        rc = fault_set(err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    while (rc == 0) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        if (chunk == NULL)
            break;
        *more = true;
        rc = classify_chunk(chunk, how, appender, err);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

/* What rules look at is far less than there are rows: each combination is classified once. */
static int add_classes(duckdb_connection connection, const struct store_rewrite *how, bool has_before,
                       int64_t since, const atomic_bool *cancelled, struct err *err)
{
    duckdb_appender appender = NULL;
    struct buf sql;
    buf_init(&sql, 4096);
    int rc =
        buf_addf(&sql, "CREATE TABLE scratch.classes (client UHUGEINT, logged_in BOOLEAN, domain VARCHAR, "
                       "direction VARCHAR, rule_version UINTEGER); "
                       "CREATE TABLE scratch.different AS SELECT DISTINCT * FROM ");
    rc = rc != 0 ? rc
                 : add_source(&sql, how, has_before, since,
                              "client_address, sasl_username IS NOT NULL AS logged_in, recipient_domain", "");
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql.p, NULL, err);
    buf_fini(&sql);
    if (rc == 0)
        rc = open_appender(connection, "classes", &appender, err);
    if (rc != 0)
        return rc;
    bool more = true;
    for (uint64_t first = 0; rc == 0 && more; first += PAGE_ROWS)
        rc = cancelled != NULL && atomic_load(cancelled)
                 ? err_set(err, ERR_CANCELLED, "the rewriting was cancelled")
                 : classify_page(connection, how, first, appender, &more, err);
    return close_appender(&appender, rc, err);
}

#define SAME_CLASS(row)                                                                                      \
    "m.client IS NOT DISTINCT FROM " row ".client_address AND m.logged_in = (" row                           \
    ".sasl_username IS NOT NULL) AND m.domain IS NOT DISTINCT FROM " row ".recipient_domain"

/* DATA and END-OF-MESSAGE name no recipient when there are several: their direction is that of the message's
 * recipients (consolidate.h), absent when those differ. */
static int add_late(duckdb_connection connection, const struct store_rewrite *how, bool has_before,
                    int64_t since, struct err *err)
{
    struct buf sql;
    buf_init(&sql, 4096);
    int rc = buf_addf(&sql, "CREATE TABLE scratch.late AS SELECT message_id, CASE WHEN min(direction) = "
                            "max(direction) THEN min(direction) END AS direction FROM ");
    rc = rc != 0 ? rc
                 : add_source(&sql, how, has_before, since,
                              "message_id, client_address, sasl_username, recipient_domain",
                              " AND stage = 'RCPT'");
    rc = rc != 0
             ? rc
             : buf_addf(&sql, " AS r JOIN scratch.classes AS m ON (" SAME_CLASS("r") ") GROUP BY message_id");
    rc = rc != 0 ? err_set(err, rc, "out of memory") : fault_run(connection, sql.p, NULL, err);
    buf_fini(&sql);
    return rc;
}

int sift_prepare(duckdb_connection connection, const struct store_rewrite *how, bool has_before,
                 int64_t since, const atomic_bool *cancelled, struct err *err)
{
    int rc = how->erasure_count > 0 ? add_erasures(connection, how, err) : 0;
    if (rc == 0 && kept_events(how, true) > 0)
        rc = add_keeps(connection, how, err);
    if (rc != 0 || how->reclassify_tenant == 0)
        return rc;
    rc = add_classes(connection, how, has_before, since, cancelled, err);
    return rc == 0 ? add_late(connection, how, has_before, since, err) : rc;
}

static int add_erased(struct buf *sql)
{
    int rc = buf_addf(sql, " ANTI JOIN scratch.erased AS x ON (x.address = '' AND x.tenant = e.tenant AND "
                           "e.hub_ts < x.before)");
    for (size_t i = 0; rc == 0 && i < sizeof address_columns / sizeof *address_columns; i++)
        rc =
            buf_addf(sql,
                     " ANTI JOIN scratch.erased AS x%zu ON (x%zu.tenant = e.tenant AND x%zu.address = " LOWER(
                         "e.%s") " AND e.hub_ts < x%zu.before)",
                     i, i, i, address_columns[i], i);
    return rc != 0 ? rc
                   : buf_addf(
                         sql,
                         " ANTI JOIN scratch.erased AS y ON (y.tenant = e.tenant AND y.address <> '' "
                         "AND e.extra IS NOT NULL AND contains(" LOWER("e.extra") ", y.as_json) "
                                                                                  "AND e.hub_ts < y.before)");
}

static int add_kept(struct buf *sql, const struct store_rewrite *how)
{
    bool some = kept_events(how, true) > 0;
    int rc =
        some ? buf_addf(sql, " ANTI JOIN scratch.kept AS k ON (k.tenant = e.tenant AND e.ts < k.before)") : 0;
    for (size_t i = 0; rc == 0 && i < how->keep_count; i++)
        if (how->keeps[i].kind == STORE_KIND_EVENTS && how->keeps[i].tenant == 0)
            return buf_addf(sql, " WHERE (e.ts >= make_timestamp(%lld)%s)",
                            (long long)how->keeps[i].before_us,
                            some ? " OR e.tenant IN (SELECT tenant FROM scratch.kept)" : "");
    return rc;
}

/* What is left, before anything is changed. */
static int add_left(struct buf *sql, const struct store_rewrite *how, uint64_t first, uint64_t end)
{
    int rc =
        buf_addf(sql, "SELECT e.* FROM (SELECT * FROM old.events WHERE rowid >= %llu AND rowid < %llu) AS e",
                 (unsigned long long)first, (unsigned long long)end);
    if (rc == 0 && how->erasure_count > 0)
        rc = add_erased(sql);
    return rc == 0 ? add_kept(sql, how) : rc;
}

int sift_add(struct buf *sql, const struct store_rewrite *how, uint64_t first, uint64_t end)
{
    unsigned long tenant = how->reclassify_tenant;
    if (tenant == 0)
        return add_left(sql, how, first, end);
    int rc =
        buf_addf(sql,
                 "SELECT s.* REPLACE (CASE WHEN s.tenant <> %lu THEN s.direction::VARCHAR "
                 "WHEN s.stage IN ('DATA', 'END-OF-MESSAGE') AND s.recipient IS NULL AND s.instance IS "
                 "NOT NULL THEN CASE WHEN l.message_id IS NULL THEN s.direction::VARCHAR ELSE l.direction "
                 "END ELSE m.direction END AS direction, CASE WHEN s.tenant <> %lu THEN s.rule_version "
                 "ELSE m.rule_version END AS rule_version) FROM (",
                 tenant, tenant);
    rc = rc != 0 ? rc : add_left(sql, how, first, end);
    return rc != 0 ? rc
                   : buf_addf(sql,
                              ") AS s LEFT JOIN scratch.classes AS m ON (s.tenant = %lu AND " SAME_CLASS(
                                  "s") ") LEFT JOIN scratch.late AS l ON (s.tenant = %lu AND l.message_id = "
                                       "s.message_id)",
                              tenant, tenant);
}
