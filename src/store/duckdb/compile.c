/* SPDX-License-Identifier: Apache-2.0
 *
 * compile: see compile.h. The statement's shape:
 *   events   the rows of all parts asked; DuckDB carries conditions and columns into each of them
 *   asked    the rows asked for, each with its bucket b, dimensions d0…, and what the measures need
 *   sizes    (with bytes) each message's size, from its END-OF-MESSAGE
 *   counted  (with bytes, where a message may have several rows in a group) each message once a group
 *   weighed  (likewise) the bytes of each group
 * then the grouping. What each measure counts is query_measure_counts' to say.
 */
#include "store/duckdb/compiler.h"

#include <stdio.h>
#include <stdlib.h>

enum { SQL_BYTES = 256 * 1024 };

void compiler_begin(struct compiler *c)
{
    statement_init(c->out);
}

int compiler_end(struct compiler *c, struct err *err)
{
    if (c->rc == 0)
        c->rc = buf_add(&c->out->sql, "", 1);
    if (c->rc != 0)
        statement_fini(c->out);
    return c->rc != 0 ? err_set(err, c->rc, "the question is too large for one statement, or has no scope")
                      : 0;
}

void compiler_events(struct compiler *c, enum query_rows rows)
{
    add(c, " FROM events WHERE true");
    int rc = c->rc != 0 ? c->rc : query_conditions(c->query, rows, compiler_condition, c);
    c->rc = c->rc != 0 ? c->rc : rc;
}

/* "b, d0, d1", each with prefix in front; with another bucket, or NULL. */
static void add_keys_with(struct compiler *c, const char *bucket, const char *prefix)
{
    const char *comma = "";
    if (bucket != NULL) {
        add(c, "%s%s", prefix, bucket);
        comma = ", ";
    }
    for (size_t i = 0; i < c->query->dimension_count; i++) {
        add(c, "%s%sd%zu", comma, prefix, i);
        comma = ", ";
    }
}

static void add_keys(struct compiler *c, const char *prefix)
{
    add_keys_with(c, c->query->interval_us > 0 ? "b" : NULL, prefix);
}

/* A bucket is cheaper to group by before it is scaled back to microseconds, which each group needs once. */
enum bucket_form {
    BUCKET_NONE,
    BUCKET_WHOLE,  /* b: where it begins */
    BUCKET_NUMBER, /* k: counts intervals */
    BUCKET_CLOCK,  /* k: as date_trunc has it */
};

static const char *clock_unit(int64_t interval_us)
{
    return interval_us == 60 * US_PER_SECOND      ? "minute"
           : interval_us == 3600 * US_PER_SECOND  ? "hour"
           : interval_us == 86400 * US_PER_SECOND ? "day"
                                                  : NULL;
}

static enum bucket_form bucket_form(const struct query *query)
{
    size_t count;
    if (query->interval_us == 0)
        return BUCKET_NONE;
    const struct query_piece *pieces = query_pieces(query, &count);
    if (count > 1 || query->interval_months > 0)
        return BUCKET_WHOLE;
    return pieces[0].offset_us == 0 && clock_unit(query->interval_us) != NULL &&
                   query_origin(query) % query->interval_us == 0
               ? BUCKET_CLOCK
               : BUCKET_NUMBER;
}

static const char *const bucket_names[] = {[BUCKET_WHOLE] = "b", [BUCKET_NUMBER] = "k", [BUCKET_CLOCK] = "k"};

/* As they stand in asked and in counted. */
static void add_raw_keys(struct compiler *c, const char *prefix)
{
    add_keys_with(c, bucket_names[bucket_form(c->query)], prefix);
}

/* Of asked or counted, with the bucket where it begins. */
static void add_scaled_keys(struct compiler *c)
{
    const struct query *query = c->query;
    enum bucket_form form = bucket_form(query);
    char scaled[96];
    size_t count;
    if (form == BUCKET_NUMBER)
        (void)snprintf(scaled, sizeof scaled, "k * %lld + (%lld) AS b", (long long)query->interval_us,
                       (long long)(query_origin(query) - query_pieces(query, &count)[0].offset_us));
    else
        (void)snprintf(scaled, sizeof scaled, "%s", form == BUCKET_CLOCK ? "epoch_us(k) AS b" : "b");
    add_keys_with(c, form == BUCKET_NONE ? NULL : scaled, "");
}

/* Values of different tenants are different, though they look alike. */
static bool is_of_tenant(const struct compiler *c, enum column column)
{
    return column == COLUMN_edge && c->query->scope == QUERY_SCOPE_ALL;
}

/* Where the bucket of u, on clocks that are offset ahead, begins, in UTC. */
static void add_start(struct compiler *c, long long offset)
{
    const struct query *query = c->query;
    long long interval = query->interval_us, origin = query_origin(query);
    if (query->interval_months > 0)
        add(c, "(epoch_us(date_trunc('%s', make_timestamp(u + (%lld)))) - (%lld))",
            query->interval_months == 1   ? "month"
            : query->interval_months == 3 ? "quarter"
                                          : "year",
            offset, offset);
    else
        add(c, "((u + (%lld)) // %lld * %lld + (%lld))", offset - origin, interval, interval,
            origin - offset);
}

/* query_pieces, the last first. Only our own numbers stand in it. */
void compiler_bucket(struct compiler *c)
{
    size_t count;
    const struct query_piece *pieces = query_pieces(c->query, &count);
    if (count > 1)
        add(c, "CASE ");
    for (size_t i = count - 1; i > 0; i--) {
        add(c, "WHEN u >= %lld THEN CASE WHEN ", (long long)pieces[i].begin);
        add_start(c, pieces[i].offset_us);
        add(c, " > %lld THEN ", (long long)pieces[i].hold);
        add_start(c, pieces[i].offset_us);
        add(c, " ELSE %lld END ", (long long)pieces[i].first);
    }
    if (count > 1)
        add(c, "ELSE ");
    add_start(c, pieces[0].offset_us);
    add(c, "%s AS b, ", count > 1 ? " END" : "");
}

void compiler_parts(struct compiler *c, const char *const *parts, size_t count)
{
    add(c, "WITH events AS NOT MATERIALIZED (");
    for (size_t i = 0; i < count; i++)
        add(c, "%sSELECT * FROM %s.events", i > 0 ? " UNION ALL " : "", parts[i]);
    add(c, "%s)", count == 0 ? "SELECT * FROM memory.events" : ""); /* which has no rows */
}

static void add_bucket(struct compiler *c)
{
    const struct query *query = c->query;
    size_t count;
    switch (bucket_form(query)) {
    case BUCKET_WHOLE:
        add(c, "epoch_us(ts) AS u, ");
        compiler_bucket(c);
        break;
    case BUCKET_NUMBER:
        add(c, "(epoch_us(ts) + (%lld)) // %lld AS k, ",
            (long long)(query_pieces(query, &count)[0].offset_us - query_origin(query)),
            (long long)query->interval_us);
        break;
    case BUCKET_CLOCK:
        add(c, "date_trunc('%s', ts) AS k, ", clock_unit(query->interval_us));
        break;
    case BUCKET_NONE:
        break;
    }
}

static void add_asked(struct compiler *c, const char *before)
{
    add(c, "%sasked AS NOT MATERIALIZED (SELECT ", before);
    add_bucket(c);
    for (size_t i = 0; i < c->query->dimension_count; i++) {
        compiler_column(c, c->query->dimensions[i]);
        add(c, " AS d%zu, ", i);
    }
    for (size_t i = 0; i < c->query->measure_count; i++) {
        enum column column = query_measure_column(c->query->measures[i]);
        if (column != COLUMN_COUNT)
            add(c, "%s%s AS v%zu, ", is_of_tenant(c, column) ? "(tenant, edge)" : "",
                is_of_tenant(c, column) ? "" : event_columns[column].name, i);
    }
    add(c, "message_id, recipients, first_of_message, stage");
    compiler_events(c, QUERY_ROWS_ASKED);
    add(c, ")");
}

/* "recipients > 0": which rows of asked carry measure i. */
static void add_carries(struct compiler *c, size_t i)
{
    static const char *const texts[] = {
        [COUNTS_ALL] = "true",
        [COUNTS_FIRST] = "first_of_message",
        [COUNTS_RECIPIENTS] = "recipients > 0",
        [COUNTS_TRANSACTION] = "stage IN ('MAIL', 'RCPT', 'DATA', 'END-OF-MESSAGE')",
    };
    enum query_counts counts = query_measure_counts(c->query, c->query->measures[i]);
    if (counts == COUNTS_PRESENT)
        add(c, "v%zu IS NOT NULL", i);
    else
        add(c, "%s", texts[counts]);
}

static void add_bytes_tables(struct compiler *c)
{
    add(c, ", sizes AS (SELECT message_id, max(size) AS size");
    compiler_events(c, QUERY_ROWS_SIZES);
    add(c, " GROUP BY message_id)");
    if (!c->distinct_bytes)
        return;
    add(c, ", counted AS (SELECT DISTINCT ");
    add_raw_keys(c, "");
    add(c, "%smessage_id FROM asked WHERE ", c->keys > 0 ? ", " : "");
    add_carries(c, c->bytes);
    add(c, "), weighed AS (SELECT ");
    add_scaled_keys(c);
    add(c, "%ssum(size) AS bytes FROM counted LEFT JOIN sizes USING (message_id)", c->keys > 0 ? ", " : "");
    if (c->keys > 0) {
        add(c, " GROUP BY ");
        add_raw_keys(c, "counted.");
    }
    add(c, ")");
}

/* "count(…) FILTER (WHERE …)" of measure i. */
static void add_count(struct compiler *c, const char *what, size_t i)
{
    add(c, "%s FILTER (", what);
    add_carries(c, i);
    add(c, ")");
}

static void add_measure(struct compiler *c, enum measure measure, size_t i)
{
    switch (measure) {
    case MEASURE_messages:
        add_count(c,
                  query_measure_counts(c->query, measure) == COUNTS_FIRST ? "count(*)"
                                                                          : "count(DISTINCT message_id)",
                  i);
        break;
    case MEASURE_recipients:
        add(c, "coalesce(sum(recipients), 0)");
        break;
    case MEASURE_bytes:
        if (c->distinct_bytes)
            add(c, "0 * count(*)"); /* comes from weighed; an aggregate, for the one row without keys */
        else {
            add(c, "coalesce(");
            add_count(c, "sum(sizes.size)", i);
            add(c, ", 0)");
        }
        break;
    case MEASURE_requests:
        add(c, "count(*)");
        break;
    default: {
        char distinct[48];
        (void)snprintf(distinct, sizeof distinct, "count(DISTINCT v%zu)", i);
        add_count(c, distinct, i);
    }
    }
    add(c, "::UBIGINT AS m%zu", i);
}

/* Rows that carry none of the measures make no group. */
static void add_carrying(struct compiler *c)
{
    for (size_t i = 0; i < c->query->measure_count; i++) {
        add(c, i == 0 ? " WHERE " : " OR ");
        add_carries(c, i);
    }
}

static void add_grouping(struct compiler *c)
{
    add(c, ", grouped AS (SELECT ");
    add_scaled_keys(c);
    for (size_t i = 0; i < c->query->measure_count; i++) {
        add(c, "%s", i > 0 || c->keys > 0 ? ", " : "");
        add_measure(c, c->query->measures[i], i);
    }
    add(c, " FROM asked");
    if (c->has_bytes && !c->distinct_bytes)
        add(c, " LEFT JOIN sizes USING (message_id)");
    add_carrying(c);
    if (c->keys > 0) {
        add(c, " GROUP BY ");
        add_raw_keys(c, "asked.");
    }
    add(c, ")");
}

static void add_result(struct compiler *c)
{
    const struct query *query = c->query;
    add(c, " SELECT ");
    add_keys(c, "grouped.");
    for (size_t i = 0; i < query->measure_count; i++) {
        bool weighed = c->distinct_bytes && query->measures[i] == MEASURE_bytes;
        add(c, "%s%s", i > 0 || c->keys > 0 ? ", " : "",
            weighed ? "coalesce(weighed.bytes, 0)::UBIGINT AS " : "");
        add(c, "m%zu", i);
    }
    add(c, " FROM grouped");
    if (!c->distinct_bytes)
        return;
    add(c, " LEFT JOIN weighed ON true");
    if (query->interval_us > 0)
        add(c, " AND grouped.b = weighed.b");
    for (size_t i = 0; i < query->dimension_count; i++)
        add(c, " AND grouped.d%zu IS NOT DISTINCT FROM weighed.d%zu", i, i);
}

/* What was asked for, then every key, so that the same question has the same answer. */
void compiler_order(struct compiler *c)
{
    const struct query *query = c->query;
    size_t first_measure = c->keys + 1, first_dimension = query->interval_us > 0 ? 2 : 1;
    const char *comma = " ORDER BY ";
    for (size_t i = 0; i < query->order_count; i++, comma = ", ") {
        const struct query_order *order = &query->orders[i];
        size_t column = order->by_bucket    ? 1
                        : order->by_measure ? first_measure + order->index
                                            : first_dimension + order->index;
        add(c, "%s%zu %s NULLS LAST", comma, column, order->descending ? "DESC" : "ASC");
    }
    for (size_t i = 0; i < c->keys; i++, comma = ", ")
        add(c, "%s%zu ASC NULLS LAST", comma, i + 1);
    add(c, " LIMIT %lu", (unsigned long)query->limit + 1);
}

void statement_init(struct statement *out)
{
    *out = (struct statement){0};
    buf_init(&out->sql, SQL_BYTES);
}

int statement_end(struct statement *statement)
{
    return buf_add(&statement->sql, "", 1);
}

struct compiler compiler_of(const struct query *query, struct statement *out)
{
    struct compiler c = {.query = query, .out = out};
    for (size_t i = 0; i < query->measure_count; i++)
        if (query->measures[i] == MEASURE_bytes) {
            c.has_bytes = true;
            c.bytes = i;
        }
    c.distinct_bytes = c.has_bytes && query_measure_counts(query, MEASURE_bytes) != COUNTS_FIRST;
    c.keys = query->dimension_count + (query->interval_us > 0);
    return c;
}

static void add_groups(struct compiler *c, const char *before)
{
    add_asked(c, before);
    if (c->has_bytes)
        add_bytes_tables(c);
    add_grouping(c);
    add_result(c);
}

int compile_groups(const struct query *query, struct statement *out)
{
    struct compiler c = compiler_of(query, out);
    add(&c, "(");
    add_groups(&c, "WITH ");
    add(&c, ")");
    return c.rc;
}

int compile_values(const struct query *query, struct statement *out)
{
    struct compiler c = compiler_of(query, out);
    add(&c, "(");
    add_asked(&c, "WITH ");
    add(&c, " SELECT DISTINCT ");
    add_scaled_keys(&c);
    add(&c, "%sv0 FROM asked WHERE ", c.keys > 0 ? ", " : "");
    add_carries(&c, 0);
    add(&c, " AND v0 IS NOT NULL)");
    return c.rc;
}

int compile_messages(const struct query *query, struct statement *out)
{
    struct compiler c = compiler_of(query, out);
    c.distinct_bytes = true;
    add(&c, "(");
    add_asked(&c, "WITH ");
    add_bytes_tables(&c);
    add(&c, " SELECT ");
    add_scaled_keys(&c);
    add(&c, "%smessage_id, coalesce(size, 0) AS size FROM counted LEFT JOIN sizes USING (message_id))",
        c.keys > 0 ? ", " : "");
    return c.rc;
}

int compile(const struct query *query, const char *const *parts, size_t part_count, struct statement *out,
            struct err *err)
{
    struct compiler c = compiler_of(query, out);
    compiler_begin(&c);
    compiler_parts(&c, parts, part_count);
    add_groups(&c, ", ");
    compiler_order(&c);
    return compiler_end(&c, err);
}

void statement_fini(struct statement *statement)
{
    buf_fini(&statement->sql);
    free(statement->params);
    *statement = (struct statement){0};
}
