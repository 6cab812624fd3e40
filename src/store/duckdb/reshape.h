/* SPDX-License-Identifier: Apache-2.0
 *
 * reshape: brings the file of roll-ups from another definition (of an older release, or of other cubes) to
 * this release's. What was rolled is taken along as far as both have columns for it; periods whose events are
 * there are marked and rolled anew. It is written as a new file, which takes the old one's name when it is
 * complete and on the disk: a kill at any time, and any failure, leaves the old file or the new one.
 */
#ifndef STORE_DUCKDB_RESHAPE_H
#define STORE_DUCKDB_RESHAPE_H

#include "store/duckdb/parts.h"

/* The file is attached as ROLLED_CATALOG, nothing else uses it, and afterwards it is attached again.
 * ERR_FULL, ERR_LIMIT, ERR_IO, ERR_BUSY, ERR_ENGINE …: the file is as it was. */
MUST_CHECK int reshape(struct parts *parts, duckdb_connection connection, struct err *err);

#endif
