/* SPDX-License-Identifier: Apache-2.0
 *
 * fast: answers a question from roll-ups: whole days where they fit into the range and its buckets, whole
 * hours beside them, and the events themselves for what is left: the edges of the range, and periods with a
 * mark (rolled.h). fast.c picks them, fast_sql.c makes the one statement.
 */
#ifndef STORE_DUCKDB_FAST_H
#define STORE_DUCKDB_FAST_H

#include "store/duckdb/compile.h"
#include "store/rollup.h"

#include <duckdb.h>

enum {
    FAST_SPANS = 64,              /* of all sources; with more the question goes to the events */
    FAST_EVENT_SPANS = 16,        /* of events */
    FAST_EXACT_EVENTS = 64 * 1024 /* what so few events can tell exactly is not told approximately */
};

enum fast_source { FAST_EVENTS, FAST_HOURS, FAST_DAYS };
struct fast_span {
    enum fast_source source;
    int64_t begin, end;
};

struct fast_plan {
    enum rollup_cube cube;
    bool sketches;        /* what counts different values comes from sketches */
    uint32_t approximate; /* measures, bits */
    size_t count;
    struct fast_span spans[FAST_SPANS]; /* in the order of time; between them there is nothing */
};

/* What is known of one period: rolled, or marked, in which case it has no cubes. */
struct fast_period {
    int64_t start;
    uint64_t events;
    uint32_t cubes, rests;
    bool sketched;
    bool kept; /* there are no events to ask instead */
};
struct fast_periods {
    struct fast_period *list; /* by start */
    size_t count, room;
};

/* The spans of a question that rollup_answers. False: the events themselves are asked better. Pure. */
bool fast_plan(const struct query *query, enum rollup_cube cube, const struct fast_periods *hours,
               const struct fast_periods *days, struct fast_plan *out);

/* names: of the parts, for what events have to tell. Compiles the question as a fast one, when roll-ups can
 * answer it; *fast says whether they do (if not, *out is as it was). Within one transaction with the
 * statement's execution. */
MUST_CHECK int fast_compile(duckdb_connection connection, const char *const *names, size_t count,
                            const struct query *query, struct statement *out, struct fast_plan *plan,
                            bool *fast, struct err *err);

/* The statement of a plan; its columns are those of compile(). */
MUST_CHECK int fast_sql(const char *const *names, size_t count, const struct query *query,
                        const struct fast_plan *plan, struct statement *out, struct err *err);

#endif
