/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the engine-neutral question, checked and bounded before any engine sees it. Built from JSON (the
 * API's body, which the CLI makes from its flags) by query_parse; the scope (whose rows) is never part of the
 * JSON: the caller sets it from the authenticated session, and query_check refuses a question without one.
 * Engines compile this struct; no SQL or pipeline text exists anywhere else.
 *
 * JSON: {"measures":["messages","requests"],"by":["sender_domain"],"where":[{"column":"direction","op":"eq",
 *        "values":["in"]}],"from":"2026-03-01T00:00:00Z","to":…,"since":"24h","interval":"1h",
 *        "order":[{"by":"messages","desc":true}],"limit":100}
 * Answer: {"rows":[{"sender_domain":…,"messages":…,"requests":…}],"from":…,"to":…,"truncated":false}
 *
 * Measures (measures.def): requests (rows), messages (distinct message_id among events with recipients when a
 * recipient column is filtered or grouped by, else first_of_message), recipients (sum of recipients), bytes
 * (size of each message counted, from END-OF-MESSAGE, joined by message_id), clients (distinct
 * client_address).
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "event/event.h"

enum measure {
#define MEASURE(name, doc) MEASURE_##name,
#include "measures.def"
#undef MEASURE
    MEASURE_COUNT
};

enum {
    QUERY_MEASURES = 8,
    QUERY_DIMENSIONS = 4,
    QUERY_FILTERS = 32,
    QUERY_VALUES = 1000, /* of all filters together */
    QUERY_VALUE_BYTES = 1024,
    QUERY_ORDERS = 4,
    QUERY_LIMIT = 100000,
    QUERY_BUCKETS = 10000, /* interval buckets in the range */
    QUERY_JSON_BYTES = 256 * 1024,
};

enum query_op { OP_EQ, OP_NE, OP_IN, OP_PREFIX, OP_CIDR, OP_RANGE /* [values[0], values[1]) */ };

/* A value already of the column's type: text for TEXT, u64 for numbers, BOOL and enums, i64 for TS, bytes for
 * ID128, prefix for CIDR on IP. Absent (JSON null) asks for the column's NULL. */
struct query_value {
    bool absent;
    struct slice text; /* into the query's own memory */
    uint64_t u64;
    int64_t ts;
    struct id128 id;
    struct ip ip;
    struct ip_prefix prefix;
};

struct query_filter {
    enum column column;
    enum query_op op;
    size_t first_value, value_count; /* in query.values */
};

struct query_order {
    bool by_measure, by_bucket, descending;
    size_t index; /* in measures or dimensions */
};

enum query_scope {
    QUERY_SCOPE_UNSET,
    QUERY_SCOPE_TENANT,
    QUERY_SCOPE_ALL /* the operator at the control socket */
};

struct query {
    enum query_scope scope;
    uint32_t tenant;
    int64_t from, to;    /* ts, half-open */
    int64_t interval_us; /* 0: no buckets; else the first result column is `time`, the bucket's start,
                            UTC-aligned */
    size_t measure_count, dimension_count, filter_count, value_count, order_count;
    enum measure measures[QUERY_MEASURES];
    enum column dimensions[QUERY_DIMENSIONS];
    struct query_filter filters[QUERY_FILTERS];
    struct query_value *values; /* owned */
    struct query_order orders[QUERY_ORDERS];
    uint32_t limit;     /* rows, 1 to QUERY_LIMIT */
    int64_t timeout_us; /* the engine stops then: ERR_TIMEOUT */
    struct buf *text;   /* owned: the bytes of text values */
};

/* Parses and checks one JSON document (UTF-8, at most QUERY_JSON_BYTES, bounded depth). now_us stands for
 * "now" in since and missing from/to. Every mistake is ERR_INVALID or ERR_LIMIT with a detail that names the
 * field and what is allowed. On success the caller owns *out: query_destroy. Scope stays UNSET. */
MUST_CHECK int query_parse(struct slice json, int64_t now_us, struct query **out, struct err *err);
void query_destroy(struct query **query);

/* The last door before an engine: the scope is set and every bound holds (again). */
MUST_CHECK int query_check(const struct query *query, struct err *err);

/* True when a recipient column (recipient, recipient_domain, direction) is filtered or grouped by. */
bool query_about_recipients(const struct query *query);

const char *query_measure_name(enum measure measure);

/* One answer, row by row. The engine calls row() on its thread; cells are valid during the call. Return
 * non-zero to stop (the engine returns that code). Cells: `time` first when interval_us > 0, then dimensions,
 * then measures. */
enum cell_type { CELL_NULL, CELL_U64, CELL_TS, CELL_TEXT, CELL_BOOL };
struct cell {
    enum cell_type type;
    uint64_t u64;
    int64_t ts;
    struct slice text; /* addresses, ids and enums come as their text */
};
struct query_sink {
    int (*row)(void *arg, const struct cell *cells, size_t count);
    void *arg;
};

#endif
