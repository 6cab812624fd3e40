/* SPDX-License-Identifier: Apache-2.0
 *
 * cuts: see cuts.h. Rows are counted by tenant and day; a day that is too large is counted again by hours,
 * and so on down to seconds.
 */
#include "store/duckdb/cuts.h"

#include "base/clock.h"
#include "store/duckdb/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t widths_us[] = {INT64_C(86400) * US_PER_SECOND, 3600 * US_PER_SECOND, 60 * US_PER_SECOND,
                                    US_PER_SECOND};
enum { WIDTHS = sizeof widths_us / sizeof *widths_us };

struct search {
    duckdb_connection connection;
    const char *table;
    uint64_t max_rows, rows; /* rows: of the piece at hand so far */
    struct cuts *out;
    struct err *err;
};

static int add_cut(struct search *search, uint32_t tenant, int64_t ts)
{
    struct cuts *cuts = search->out;
    if (cuts->count == cuts->room) {
        size_t room = cuts->room > 0 ? cuts->room * 2 : 64;
        struct cut *larger = realloc(cuts->list, room * sizeof *larger);
        if (larger == NULL)
            return err_set(search->err, ERR_NO_MEMORY, "out of memory");
        cuts->list = larger;
        cuts->room = room;
    }
    cuts->list[cuts->count++] = (struct cut){tenant, ts};
    search->rows = 0;
    return 0;
}

static int search_within(struct search *search, size_t width, const char *where);

/* rows of a tenant from ts on, widths_us[width] long. */
static int add_bucket(struct search *search, size_t width, uint32_t tenant, int64_t ts, uint64_t rows)
{
    if (rows > search->max_rows && width + 1 < WIDTHS) {
        char where[160];
        (void)snprintf(where, sizeof where,
                       " WHERE tenant = %" PRIu32 " AND ts >= make_timestamp(%" PRId64
                       ") AND ts < make_timestamp(%" PRId64 ")",
                       tenant, ts, ts + widths_us[width]);
        return search_within(search, width + 1, where);
    }
    int rc = search->rows > 0 && search->rows + rows > search->max_rows ? add_cut(search, tenant, ts) : 0;
    search->rows += rows;
    return rc;
}

static int add_chunk(struct search *search, size_t width, duckdb_data_chunk chunk)
{
    const uint32_t *tenants = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
    const int64_t *starts = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
    const int64_t *counts = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 2));
    int rc = 0;
    for (idx_t row = 0; rc == 0 && row < duckdb_data_chunk_get_size(chunk); row++)
        rc = add_bucket(search, width, tenants[row], starts[row], (uint64_t)counts[row]);
    return rc;
}

static int search_within(struct search *search, size_t width, const char *where)
{
    char sql[512];
    duckdb_result result;
    int rc = 0;
    (void)snprintf(sql, sizeof sql,
                   "SELECT tenant, epoch_us(ts) // %" PRId64 " * %" PRId64
                   " AS start, count(*) FROM %s%s GROUP BY 1, 2 ORDER BY 1, 2",
                   widths_us[width], widths_us[width], search->table, where);
    if (duckdb_query(search->connection, sql, &result) != DuckDBSuccess)
        rc =
            fault_set(search->err, duckdb_result_error_type(&result), "duckdb", duckdb_result_error(&result));
    while (rc == 0) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
        if (chunk == NULL)
            break;
        rc = add_chunk(search, width, chunk);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return rc;
}

int cuts_find(duckdb_connection connection, const char *table, uint64_t max_rows, struct cuts *out,
              struct err *err)
{
    struct search search = {
        .connection = connection, .table = table, .max_rows = max_rows, .out = out, .err = err};
    *out = (struct cuts){0};
    int rc = add_cut(&search, 0, 0);
    if (rc == 0)
        rc = search_within(&search, 0, "");
    if (rc != 0)
        cuts_fini(out);
    return rc;
}

void cuts_fini(struct cuts *cuts)
{
    free(cuts->list);
    *cuts = (struct cuts){0};
}
