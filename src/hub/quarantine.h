/* SPDX-License-Identifier: Apache-2.0
 *
 * quarantine: what the loader could not take, kept as files for the operator: why, whose, and the bytes as
 * they came. Bounded in files and bytes; beyond that only counted. Keeping the same thing twice (after a
 * rewind or a restart) makes one file. One thread at a time.
 */
#ifndef HUB_QUARANTINE_H
#define HUB_QUARANTINE_H

#include "base/text.h"

#include <limits.h>

enum { QUARANTINE_FILES = 10000, QUARANTINE_BYTES = 256 * 1024 * 1024 };

struct quarantine {
    char dir[PATH_MAX];
    uint64_t files, bytes; /* there now */
    bool full_said;
};

/* Makes dir (0700) and counts what is in it. ERR_IO, ERR_DENIED, ERR_FULL, ERR_LIMIT (the path). */
MUST_CHECK int quarantine_open(struct quarantine *quarantine, const char *dir, struct err *err);

/* Writes DIR/name: the head (lines of text), an empty line, the bytes. Failing is logged, never more. */
void quarantine_keep(struct quarantine *quarantine, const char *name, const char *head, struct slice bytes);

#endif
