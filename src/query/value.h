/* SPDX-License-Identifier: Apache-2.0
 *
 * value: one JSON value of a filter → a value of the column's type. Of the query room only. Pure.
 */
#ifndef QUERY_VALUE_H
#define QUERY_VALUE_H

#include "query/query.h"

#include <jansson.h>

/* name says where the value stands ("where[0].values[2]"), for the error. Texts are copied behind text->n;
 * the caller reserved room, so that earlier slices stay valid. ERR_INVALID, ERR_LIMIT. */
MUST_CHECK int value_parse(enum column column, enum query_op op, const json_t *json, const char *name,
                           struct buf *text, struct query_value *out, struct err *err);

/* "a number from 0 to 65535": what a value of this column looks like. */
const char *value_expected(enum column column, enum query_op op);

/* The largest value of a number column; 1 for BOOL, the last name's for enums; 0 for the rest. */
uint64_t value_max(enum column column);

/* A name from outside as it may stand in an error: cut, control characters as '?'. Static, per thread. */
const char *value_shown(const char *text);

#endif
