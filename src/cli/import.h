/* SPDX-License-Identifier: Apache-2.0
 *
 * import: the lines of an import file as items of a POST. Fields are separated by commas, without quoting;
 * empty lines and lines that begin with '#' count as lines but give no item. Pure.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "base/text.h"

#include <jansson.h>

enum { IMPORT_BYTES = 8 * 1024 * 1024 };

struct import_lines {
    size_t at, number; /* in the text; of the present line, from 1 */
    struct slice line; /* trimmed */
};

/* The next line with something on it; false at the end. Start with zeroes. */
bool import_next(struct import_lines *lines, struct slice text);
/* The number of the line that gave the item of that index. */
size_t import_number_of(struct slice text, size_t index);

/* Sets the members of item (which has those of the flags) from a line; noun: "tenant", "domain", "network",
 * "apikey". ERR_INVALID says what a line looks like. */
MUST_CHECK int import_line(const char *noun, struct slice line, json_t *item, struct err *err);

#endif
