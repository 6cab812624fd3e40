/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep: writes the file of the roll-ups (rolled.h) anew with what stays, so that no byte is left of what
 * goes: DuckDB keeps what was deleted in blocks that it has yet to use again. What goes: periods with a mark,
 * whose figures nobody reads and which are rolled again from the rows that are left; periods that are too
 * old; and, in periods whose rows are gone already, the figures of values that were erased.
 *
 * The copy is made while questions, the writer and everything else go on, but for the roller. Then questions
 * wait for a moment in which the files are switched; a kill at any time leaves the old file or the new one.
 */
#ifndef STORE_DUCKDB_SWEEP_H
#define STORE_DUCKDB_SWEEP_H

#include "store/duckdb/roller.h"

/* See store_sweep; one at a time. *lost: the roll-ups are not attached any more, or DuckDB refuses
 * everything: all is to be opened again. */
MUST_CHECK int sweep(struct roller *roller, const struct store_rewrite *how, const atomic_bool *cancelled,
                     bool *lost, struct err *err);

/* Writes what sweep would, with nothing left out but the figures of marked periods, beside the file, and
 * calls each() with its path; then it is removed. What each() answers is answered. See store_rollups; not
 * beside sweep. */
MUST_CHECK int sweep_save(struct roller *roller, const atomic_bool *cancelled,
                          int (*each)(void *arg, const char *path, struct err *err), void *arg, bool *lost,
                          struct err *err);

#endif
