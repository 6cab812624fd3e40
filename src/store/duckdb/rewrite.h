/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite: a closed part is written anew, ordered by tenant and ts, in an instance of its own: what fails
 * there, or takes memory, is no concern of the writer and of questions. The rows pass twice: in stretches of
 * their present order, each sorted, into a scratch file; then piece by piece of the final order out of it. So
 * no sort is larger than REWRITE_ROWS, however large the part. What is ordered already, or fits one stretch,
 * passes once.
 */
#ifndef STORE_DUCKDB_REWRITE_H
#define STORE_DUCKDB_REWRITE_H

#include "store/duckdb/parts.h"

#define REWRITE_TEMP "tmp-rewrite" /* below the store's directory: what it spills */
enum { REWRITE_ROWS = 2 * 122880, REWRITE_MEMORY_MIN_MB = 128 };

/* See store_rewrite_part; one at a time. memory_bytes: of the whole store, of which a quarter is taken. */
MUST_CHECK int rewrite(struct parts *parts, uint64_t memory_bytes, uint64_t id,
                       const struct store_rewrite *how, const atomic_bool *cancelled,
                       void (*progress)(void *arg, uint64_t done, uint64_t all), void *arg, struct err *err);

#endif
