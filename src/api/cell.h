/* SPDX-License-Identifier: Apache-2.0
 *
 * cell: cells of answers and columns of events as JSON. Pure.
 */
#ifndef API_CELL_H
#define API_CELL_H

#include "base/buf.h"
#include "query/query.h"

/* A JSON value. */
MUST_CHECK int cell_write(struct buf *out, const struct cell *cell);

/* An object with those columns of an event; sparse: without the absent ones. */
MUST_CHECK int cell_write_event(struct buf *out, const struct query *query, const struct event *event,
                                const enum column *columns, size_t count, bool sparse);

#endif
