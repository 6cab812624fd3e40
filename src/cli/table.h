/* SPDX-License-Identifier: Apache-2.0
 *
 * table: JSON rows as an aligned table: numbers to the right, "-" for null, lists joined by commas. Control
 * characters, C1 controls and bidirectional overrides are escaped, so that stored mail can't drive a
 * terminal. Widths follow Unicode's wide and combining ranges closely enough for columns to line up. Pure but
 * for out.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/text.h"

#include <jansson.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 16, TABLE_CELL_BYTES = 512 };

/* columns: names of members, in order; rows: an array of objects. ERR_LIMIT: too many columns. */
MUST_CHECK int table_print(FILE *out, const json_t *columns, const json_t *rows);

/* One cell as it is printed; returns its width in terminal columns. Exposed for tests. */
size_t table_cell(const json_t *value, char text[TABLE_CELL_BYTES]);

#endif
