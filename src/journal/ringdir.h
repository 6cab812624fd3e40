/* SPDX-License-Identifier: Apache-2.0
 *
 * ringdir: where rings lie. A ring's name is that of its spool's directory (device, inode, time of birth) and
 * a random part, so that nobody can take a ring's name before it is made, and the next process finds it again
 * by looking through the directories. What somebody else put there is passed over. On the way, rings in which
 * nothing waits and which nobody holds are removed, whosever spool they were.
 */
#ifndef JOURNAL_RINGDIR_H
#define JOURNAL_RINGDIR_H

#include "ring.h"

struct ringdir_options {
    const char *spool;       /* the spool's directory */
    const char *dir;         /* where a new ring is made; NULL or "": the first of dirs that serves */
    const char *const *dirs; /* in order of preference, NULL behind the last; "" is none */
    size_t bytes;
};

/* Does dir serve for a ring: a tmpfs that is ours, or one where strangers can't take files away (sticky)? */
bool ringdir_serves(const char *dir);

/* Opens the ring that holds records of this spool, in dir or dirs, or makes one. Errors as ring_open;
 * ERR_NOT_FOUND also when none of dirs serves. */
MUST_CHECK int ringdir_open(struct ring *ring, const struct ringdir_options *options,
                            const struct epoch *epoch, struct err *err);

#endif
