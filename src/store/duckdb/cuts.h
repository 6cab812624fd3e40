/* SPDX-License-Identifier: Apache-2.0
 *
 * cuts: where a table ordered by tenant and ts is cut, so that each piece has a bounded number of rows and
 * can be sorted by itself. Counted, not sorted.
 */
#ifndef STORE_DUCKDB_CUTS_H
#define STORE_DUCKDB_CUTS_H

#include "base/err.h"

#include <duckdb.h>
#include <stddef.h>

/* A piece begins here: at that tenant, at that ts. */
struct cut {
    uint32_t tenant;
    int64_t ts;
};

struct cuts {
    struct cut *list; /* owned */
    size_t count, room;
};

/* Of the rows of table, pieces of at most max_rows each; more only where a single second of a single tenant
 * has more. The first cut is before all rows. ERR_NO_MEMORY, ERR_ENGINE, ERR_LIMIT. */
MUST_CHECK int cuts_find(duckdb_connection connection, const char *table, uint64_t max_rows, struct cuts *out,
                         struct err *err);
void cuts_fini(struct cuts *cuts);

#endif
