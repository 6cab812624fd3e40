/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: reads every value of every part and holds it against what the part says of itself, and the parts
 * against each other. Closed parts are read in an instance of their own, so that what is met there harms
 * nothing else.
 */
#ifndef STORE_DUCKDB_VERIFY_H
#define STORE_DUCKDB_VERIFY_H

#include "store/duckdb/parts.h"
#include "store/duckdb/pool.h"

/* See store_verify. Nothing is rewritten meanwhile. */
MUST_CHECK int verify(struct parts *parts, struct pool *pool,
                      int (*found)(void *arg, const char *part, const char *what, bool good), void *arg,
                      struct err *err);

#endif
