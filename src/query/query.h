/* SPDX-License-Identifier: Apache-2.0
 *
 * query: the engine-neutral question, checked and bounded before any engine sees it. Built from JSON (the
 * API's body, which the CLI makes from its flags) by query_parse; the scope (whose rows) is never part of the
 * JSON: the caller sets it from the authenticated session, and query_check refuses a question without one.
 * Engines compile this struct; no SQL or pipeline text exists anywhere else.
 *
 * JSON: {"measures":["messages","requests"],"by":["sender_domain"],"where":[{"column":"direction","op":"eq",
 *        "values":["in"]}],"from":"2026-03-01T00:00:00Z","to":…,"since":"24h","interval":"1h",
 *        "order":[{"by":"messages","desc":true}],"limit":100,"timezone":…,"first_day":…,"totals":…,"fill":…,
 *        "top":…,"rest":…,"compare":…,"mode":"exact"}
 * Answer: {"rows":[{"sender_domain":…,"messages":…,"requests":…}],"from":…,"to":…,"truncated":false,
 *          "mode":"exact","approximate":[]}
 *
 * Measures (measures.def) and what they count are in docs/reference/query.md; query_measure_counts says which
 * events carry a measure, and every engine asks it.
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "base/buf.h"
#include "base/clock.h"
#include "event/event.h"

#include <stdatomic.h>

enum measure {
#define MEASURE(name, doc)          MEASURE_##name,
#define DISTINCT(name, column, doc) MEASURE_##name,
#include "measures.def"
#undef MEASURE
#undef DISTINCT
    MEASURE_COUNT
};

enum {
    QUERY_MEASURES = 8,
    QUERY_DIMENSIONS = 4,
    QUERY_FILTERS = 64,  /* groups counted */
    QUERY_DEPTH = 6,     /* of groups within each other */
    QUERY_VALUES = 1000, /* of all filters together */
    QUERY_VALUE_BYTES = 1024,
    QUERY_ORDERS = 4,
    QUERY_LIMIT = 100000,
    QUERY_BUCKETS = 10000, /* interval buckets in the range */
    QUERY_PIECES = 512,    /* changes of a zone's clocks within the range */
    QUERY_FIGURES = 12,
    QUERY_TOP = 100,
    QUERY_FILTERS_ALL = QUERY_FILTERS + 2 + QUERY_TOP * (QUERY_DIMENSIONS + 1), /* with those of top */
    QUERY_COLUMN_BYTES = 64, /* of the name of an answer's column, with its NUL */
    QUERY_JSON_BYTES = 256 * 1024,
    QUERY_DEFAULT_ROWS = 1000,
};
#define QUERY_DEFAULT_RANGE_US   (24 * 3600 * US_PER_SECOND)
#define QUERY_DEFAULT_TIMEOUT_US (30 * US_PER_SECOND)
#define QUERY_LATEST_US          INT64_C(253402300800000000) /* 10000-01-01: what RFC 3339 can write ends here */
/* A message's END-OF-MESSAGE is looked for this far outside the range. */
#define QUERY_MESSAGE_US (3600 * US_PER_SECOND)

/* EQ takes one value, NE (none of these), IN, PREFIX, SUFFIX, CONTAINS and CIDR (any of these) at least one;
 * RANGE is [values[0], values[1]), where absent leaves that side open; EMPTY takes none. A filter holds or it
 * does not: for NULL only NE (unless absent is among its values), EMPTY, and EQ and IN of absent hold. */
enum query_op {
    OP_EQ,
    OP_NE,
    OP_IN,
    OP_PREFIX,
    OP_CIDR,
    OP_RANGE,
    OP_SUFFIX,
    OP_CONTAINS,
    OP_EMPTY,
    OP_COUNT
};

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

/* A test of one column, or a group: AND and OR of at least one filter, NOT of exactly one. A group's filters
 * stand behind it. */
enum filter_kind { FILTER_TEST, FILTER_AND, FILTER_OR, FILTER_NOT };
struct query_filter {
    enum column column;
    enum query_op op;
    size_t first_value, value_count; /* in query.values */
    enum filter_kind kind;
    size_t span; /* of a group: how many filters behind it are its own, at every depth */
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

/* What the answer shows of a measure: its share of the total, or how much a second, minute or hour of the
 * bucket, or of the range. */
enum figure_kind { FIGURE_PLAIN, FIGURE_SHARE, FIGURE_PER_SECOND, FIGURE_PER_MINUTE, FIGURE_PER_HOUR };
struct query_figure {
    size_t measure; /* in query.measures */
    enum figure_kind kind;
};

struct query_piece;
struct zone;

struct query {
    enum query_scope scope;
    uint32_t tenant;
    int64_t from, to;    /* ts, half-open */
    int64_t interval_us; /* 0: no buckets; else the first result column is `time`, the bucket's start
                            (query_bucket) */
    unsigned
        interval_months; /* 1, 3 or 12: calendar months instead, and interval_us is the shortest of them */
    unsigned first_day;  /* of weeks, 0 (Monday) to 6: moves intervals that are whole weeks */
    struct zone *zone;   /* owned; NULL: UTC */
    size_t piece_count;  /* 0: UTC, all of it */
    struct query_piece *pieces; /* owned: query_pieces */
    size_t measure_count, dimension_count, filter_count, value_count, order_count;
    enum measure measures[QUERY_MEASURES];
    enum column dimensions[QUERY_DIMENSIONS];
    struct query_filter filters[QUERY_FILTERS_ALL]; /* those of no group: all must hold */
    size_t figure_count; /* 0: the measures as they are, and nothing of what follows. Engines look at none of
                            it, the store does (refine.h) */
    struct query_figure figures[QUERY_FIGURES];
    bool totals;  /* the sink gets them before the first row */
    bool fill;    /* zeros for the buckets of which there is nothing; of each series of top */
    uint32_t top; /* only this many groups (series) by the dimensions, those with most of the first measure in
                     all of the range; 0: all */
    bool rest;    /* what is behind top as well, and a last column that says so of each row */
    bool fast;    /* roll-ups may answer, and some figures may be approximations; the sink is told */
    bool compares;                       /* figures have those of another period beside them */
    int64_t before_from, before_to;      /* that period: query_before_open */
    bool keeps_recipients, keeps_events; /* it is part of a question that is about them */
    struct query_value *values;          /* owned */
    struct query_order orders[QUERY_ORDERS];
    uint32_t limit;     /* rows, 1 to QUERY_LIMIT */
    int64_t timeout_us; /* the engine stops then: ERR_TIMEOUT; QUERY_DEFAULT_TIMEOUT_US from query_parse */
    const atomic_bool *cancelled; /* of whoever asks, who may set it by store_cancel; NULL: nobody will */
    struct buf *text;             /* owned: the bytes of text values */
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
/* True when a column that differs between the events of one message (stage, size, queue_id, …) is. */
bool query_about_events(const struct query *query);

/* True when the filters from at until end name only what all events of a message share. */
bool query_filter_is_of_message(const struct query *query, size_t at, size_t end);

/* Which events carry a measure in this question; an answer has only groups in which at least one event
 * carries one of the measures asked for. Without buckets and dimensions there is always exactly one row. */
enum query_counts {
    COUNTS_ALL,        /* every event */
    COUNTS_PRESENT,    /* with a value in the measure's column (query_measure_column) */
    COUNTS_FIRST,      /* with first_of_message: one of each message */
    COUNTS_RECIPIENTS, /* with recipients > 0: a message may have several, count it once in each group */
    COUNTS_TRANSACTION /* at MAIL, RCPT, DATA or END-OF-MESSAGE: likewise */
};
enum query_counts query_measure_counts(const struct query *query, enum measure measure);

/* The column of which a measure counts the different values; COLUMN_COUNT for the other measures. An edge's
 * id is its tenant's own: (tenant, edge) is what differs. */
enum column query_measure_column(enum measure measure);

/* Start of ts's bucket, and the start of the one behind a bucket; interval_us > 0, ts within the range.
 * Buckets shorter than a day divide it; longer ones are whole days, counted on the zone's clocks from
 * query_origin, Monday 1969-12-29 or, for whole weeks, the first_day behind it; or calendar months. */
#define QUERY_ORIGIN_US (-3 * 24 * 3600 * US_PER_SECOND)
int64_t query_origin(const struct query *query);
int64_t query_bucket(const struct query *query, int64_t ts);
int64_t query_bucket_end(const struct query *query, int64_t start);

/* The question about the period that it is compared with: like it but for range and buckets. *out borrows all
 * but its pieces from query. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int query_before_open(const struct query *query, struct query *out, struct err *err);
void query_before_close(struct query *before);

/* The same for engines, who compile it. From begin to the next piece's, clocks are offset_us ahead of UTC.
 * Let s be where the bucket of the clocks' reading begins, less offset_us: the bucket's start is s when s >
 * hold, else first. At least one piece, the first from INT64_MIN. */
struct query_piece {
    int64_t begin, offset_us, hold, first;
};
const struct query_piece *query_pieces(const struct query *query, size_t *count);

/* The engine-neutral compile step: the conditions that an engine puts on every read of events, all of them
 * joined by AND. The tenant's is added here and nowhere else. Calls each() in order, stops at its first
 * non-zero answer and returns it; ERR_DENIED without a scope. */
enum query_rows {
    QUERY_ROWS_ASKED,  /* tenant, range, filters */
    QUERY_ROWS_ROLLED, /* tenant, filters: of roll-ups, which have no range of their own */
    QUERY_ROWS_SIZES   /* tenant, range ± QUERY_MESSAGE_US, END-OF-MESSAGE, not a retry, size present */
};
struct query_condition {
    enum column column;
    enum query_op op;
    const struct query_value *values; /* valid during the call */
    size_t count;
    enum filter_kind kind;
    size_t first, end; /* of a group: its own filters, from query_condition_at(first) until end */
};
MUST_CHECK int query_conditions(const struct query *query, enum query_rows rows,
                                int (*each)(void *arg, const struct query_condition *condition), void *arg);

/* The filter at that index as a condition; returns the index of the one behind it and all that is its own. */
size_t query_condition_at(const struct query *query, size_t at, struct query_condition *out);

const char *query_measure_name(enum measure measure);
const char *query_op_name(enum query_op op);
const char *query_figure_suffix(enum figure_kind kind); /* ".share"; "" for FIGURE_PLAIN */

/* The answer's columns, in the order of a row's cells. */
size_t query_column_count(const struct query *query);
void query_column_name(const struct query *query, size_t i, char out[QUERY_COLUMN_BYTES]);
/* The one that is the first figure: totals have cells from there on, without rest. */
size_t query_first_figure(const struct query *query);
/* Is it a figure of one of those measures (bits, 1 << its place in query.measures)? */
bool query_column_is_of(const struct query *query, size_t i, uint32_t measures);

/* One answer, row by row. The engine calls row() on its thread; cells are valid during the call. Return
 * non-zero to stop (the engine returns that code). Cells: `time` first when interval_us > 0, then dimensions,
 * then measures; a store hands on figures for measures, and then `rest`. */
enum cell_type { CELL_NULL, CELL_U64, CELL_TS, CELL_TEXT, CELL_BOOL, CELL_F64 };
struct cell {
    enum cell_type type;
    uint64_t u64;
    double f64;
    int64_t ts;
    struct slice text; /* addresses, ids and enums come as their text */
};
struct query_sink {
    int (*row)(void *arg, const struct cell *cells, size_t count);
    void *arg;
    bool truncated;       /* set by the engine: there were more rows than limit */
    bool fast;            /* likewise: roll-ups answered, at least a part of it */
    uint32_t approximate; /* likewise: of which measures figures may be approximations (query_column_is_of) */
    int (*totals)(void *arg, const struct cell *cells, size_t count); /* as row(); may be NULL */
};

#endif
