/* SPDX-License-Identifier: Apache-2.0
 *
 * records: `policy-proxy spool [--json]`: what is in the spool, as Postfix sent it or as one JSON object a
 * line. Reads without a lock, beside a running proxy; records that are still in the ring only are not shown.
 */
#ifndef EDGE_RECORDS_H
#define EDGE_RECORDS_H

#include "base/buf.h"
#include "journal/journal.h"

/* Prints every record of the spool below `spool` to stdout. ERR_NOT_FOUND, ERR_IO. */
MUST_CHECK int records_print(const char *spool_dir, bool json, struct err *err);

/* One line with its newline. Bytes that are no UTF-8 are written as \xNN. ERR_NO_MEMORY, ERR_LIMIT. Pure. */
MUST_CHECK int records_to_json(const struct journal_record *record, struct buf *out);

#endif
