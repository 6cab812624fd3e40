/* SPDX-License-Identifier: Apache-2.0
 *
 * where: a condition of the command line ("direction=in") as filters of a question (query.h). What '=' means
 * follows from the value and the column's type: a list (commas) is in, networks on an address column are
 * cidr, "a..b", "a.." and "..b" on numbers and times are half-open ranges, nothing at all is absent. "!=" is
 * ne, "^=" prefix, "$=" suffix, "~=" contains; '!' in front of a condition negates it; " || " between
 * conditions asks that one of them hold. Pure.
 */
#ifndef CLI_WHERE_H
#define CLI_WHERE_H

#include "base/text.h"

#include <jansson.h>

enum { WHERE_VALUES = 1000 };

/* Appends one filter to the array. ERR_USAGE with what is allowed; ERR_NO_MEMORY. */
MUST_CHECK int where_parse(const char *text, json_t *filters, struct err *err);

#endif
