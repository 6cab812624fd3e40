/* SPDX-License-Identifier: Apache-2.0
 *
 * derive: what an event has in a column, the derived ones of event/derived.def too, and how that is written.
 * What derived columns are is said here and nowhere else; an engine says the same in its own words, and is
 * held against this by the conformance suite. Pure.
 */
#ifndef QUERY_DERIVE_H
#define QUERY_DERIVE_H

#include "query/query.h"

enum { QUERY_CELL_BYTES = 64 };

/* The event's value in that column; times go by the question's zone. Texts are the event's own, or static. */
void query_value_of(const struct query *query, const struct event *event, enum column column,
                    struct query_value *out);

/* A value as the cell of an answer. Addresses and ids are written into text, which the cell borrows. */
struct cell query_cell(enum column column, const struct query_value *value, char text[QUERY_CELL_BYTES]);

/* How many of the 16 bytes' bits a NETWORK column keeps. */
unsigned query_network_bits(enum column column, bool is_v4);

/* size_class goes in tens from the second of these to the last. */
#define QUERY_SIZE_FIRST UINT64_C(1)
#define QUERY_SIZE_LOW   UINT64_C(1000)
#define QUERY_SIZE_HIGH  UINT64_C(100000000)

#define QUERY_DAY_US (24 * 3600 * US_PER_SECOND)

#endif
