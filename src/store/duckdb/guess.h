/* SPDX-License-Identifier: Apache-2.0
 *
 * guess: which periods are kept (kept.h), told by counts where the file of the roll-ups doesn't say it: one
 * that was rolled of more events than there are, and has no mark, has lost them to retention. Where events
 * are to be read again from the journal, as a damaged part was set aside, they may also only be missing until
 * then, and nobody knows of which time. Such a period is kept all the same, for what outlived its events
 * can't be rolled again; but the file notes that this was guessed, and as soon as the period has its events
 * again it is a period like any other, and rolled anew.
 */
#ifndef STORE_DUCKDB_GUESS_H
#define STORE_DUCKDB_GUESS_H

#include "store/duckdb/parts.h"

/* In the catalog's rolled_periods, whose marks are in its unrolled. ERR_CORRUPT (a part can't be read),
 * ERR_FULL, ERR_LIMIT, ERR_ENGINE … */
MUST_CHECK int guess_kept(struct parts *parts, duckdb_connection connection, const char *catalog,
                          struct err *err);
/* Looks again at what was guessed, in the file that is attached as ROLLED_CATALOG: in one transaction what is
 * complete is marked, and kept no more. Nothing is rolled meanwhile. The same errors; then nothing has
 * changed. */
MUST_CHECK int guess_again(struct parts *parts, duckdb_connection connection, struct err *err);

#endif
