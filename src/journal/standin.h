/* SPDX-License-Identifier: Apache-2.0
 *
 * standin: the names under which the hub knows records whose epoch another process has used too (a machine
 * that was set back together with its memory). A small file beside the segments, DIR/standins, replaced as a
 * whole and durable before the first record leaves under a new name: the name must hold as long as the
 * records do, and they outlive the process. One thread.
 */
#ifndef JOURNAL_STANDIN_H
#define JOURNAL_STANDIN_H

#include "journal.h"

enum { STANDINS = 64 /* one for each time that a machine was set back; beyond it the oldest is forgotten */ };

struct standin {
    struct epoch epoch, name;
    uint64_t base; /* seqs up to this one keep the name that they had; the next one is seq 1 */
};

struct standins {
    uint32_t count;
    struct standin entry[STANDINS]; /* in the order in which they were given */
};

/* Reads DIR/standins; none when there is no file, or a damaged one (logged). ERR_VERSION (written by a newer
 * release), ERR_DENIED, ERR_IO. */
MUST_CHECK int standins_load(const char *dir, struct standins *out, struct err *err);

/* Stores the list with one more in it, then adds it to *standins. ERR_FULL, ERR_DENIED, ERR_IO: *standins and
 * the file are as they were. */
MUST_CHECK int standins_add(const char *dir, struct standins *standins, const struct standin *standin,
                            struct err *err);

/* The name of that record, NULL: its own. */
const struct standin *standins_find(const struct standins *standins, const struct epoch *epoch, uint64_t seq);

#endif
