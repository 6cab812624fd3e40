/* SPDX-License-Identifier: Apache-2.0
 *
 * export: what the formats of the verb share (export.c): where it goes on, and how that is kept. Within the
 * cli room only.
 */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "client.h"

enum { EXPORT_CURSOR_BYTES = 2048 };

struct export
{
    struct cli *cli;
    char path[CLIENT_PATH_BYTES];     /* with all parameters but limit and cursor */
    char cursor[EXPORT_CURSOR_BYTES]; /* "": from the beginning */
    const char *output, *state;       /* NULL: stdout, none */
    int fd;
    bool csv, parquet, follow;
};

/* Reads the state, if there is one: the cursor, and how much of the output is whole, as export_keep was told.
 */
MUST_CHECK int export_resume(struct export *export, uint64_t *whole);
/* Keeps the cursor with it, durably; what it speaks of is on the disk already. */
MUST_CHECK int export_keep(const struct export *export, uint64_t whole);
MUST_CHECK int export_write(struct export *export, struct slice bytes); /* to fd */

/* The verb for --format parquet: the files of a directory, and the number of them in the state. */
MUST_CHECK int export_files(struct export *export);

#endif
