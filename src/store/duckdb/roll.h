/* SPDX-License-Identifier: Apache-2.0
 *
 * roll: makes the roll-ups of marked periods anew, from their events, by the same statements that answer
 * questions: so an hour's roll-up is what an exact question about that hour would say. One step takes the
 * hours of one day, or one day, of many tenants: it costs little more than one hour of one of them. It is one
 * transaction, in which the marks go that it saw. Any thread, on a connection of its own.
 */
#ifndef STORE_DUCKDB_ROLL_H
#define STORE_DUCKDB_ROLL_H

#include "store/duckdb/compile.h"
#include "store/duckdb/marks.h"
#include "store/duckdb/parts.h"
#include "store/rollup.h"

enum {
    ROLL_PERIODS = 1024,     /* in one step */
    ROLL_TOP = 1000,         /* of each column's values, in a period with many events … */
    ROLL_TOP_MIN = 16,       /* … and in one with few: so many, … */
    ROLL_TOP_SHARE = 64,     /* … or one for so many events */
    ROLL_BUSY_EVENTS = 32768 /* a period with many: hours have the cubes of BUSY, and both have sketches */
};

struct roll_one {
    uint32_t tenant;
    int64_t start;
    uint64_t events;
};

/* One step's periods: all daily, or all hourly and of one day. */
struct roll {
    struct marks *marks; /* borrowed, as all of these */
    struct parts *parts;
    const char *const *names; /* of parts that may have rows of the periods, during a step */
    size_t name_count;
    bool daily;
    size_t count;
    struct roll_one list[ROLL_PERIODS];
};

/* Which marks are due. */
struct roll_limits {
    int64_t now_us;    /* the period is over, and an hour behind it for what is late */
    int64_t before_us; /* it begins before this */
    int64_t quiet_us;  /* its last row was committed before this (monotonic) */
};

/* The oldest marked periods that are due; count 0: there are none. */
MUST_CHECK int roll_due(struct roll *roll, duckdb_connection connection, const struct roll_limits *limits,
                        struct err *err);
/* How many marks are due, quiet or not. */
MUST_CHECK int roll_count_due(duckdb_connection connection, const struct roll_limits *limits, uint64_t *count,
                              struct err *err);

/* ERR_CANCELLED, ERR_LIMIT (memory), ERR_FULL, ERR_ENGINE …: nothing was changed. */
MUST_CHECK int roll_them(struct roll *roll, duckdb_connection connection, struct err *err);

/* The statements of a step (roll_sql.c), each a complete text. only_busy: of the periods with many events.
 * ERR_LIMIT, ERR_NO_MEMORY. */
MUST_CHECK int roll_sql_count(const struct roll *roll, struct statement *out);
MUST_CHECK int roll_sql_cube(const struct roll *roll, enum rollup_cube cube, bool only_busy,
                             struct statement *out);
MUST_CHECK int roll_sql_sketch(const struct roll *roll, enum rollup_cube cube, enum measure measure,
                               struct statement *out);
MUST_CHECK int roll_sql_delete(const struct roll *roll, const char *table, bool has_daily,
                               struct statement *out);
MUST_CHECK int roll_sql_note(const struct roll *roll, unsigned cubes, unsigned busy_cubes,
                             struct statement *out);

const char *roll_table(const struct roll *roll);

#endif
