/* SPDX-License-Identifier: Apache-2.0
 *
 * match: a question's filters, evaluated here instead of by an engine: for events that nobody has stored yet
 * (live push) and for the recount that engines are held against. Pure; a checked question may be shared by
 * any number of threads.
 */
#ifndef QUERY_MATCH_H
#define QUERY_MATCH_H

#include "query/query.h"

#include <jansson.h>

/* Reads filters alone: what a question has as "where". The question that comes of it has no measures, so no
 * engine takes it; its scope stays UNSET. json_bytes: of the document, bounds the texts. Errors as
 * query_parse. */
MUST_CHECK int query_parse_filters(const json_t *where, size_t json_bytes, struct query **out,
                                   struct err *err);

/* Whether the event is of the question's scope and all its filters hold. Its range is not looked at. Without
 * a scope nothing matches. */
bool query_match(const struct query *query, const struct event *event);

#endif
