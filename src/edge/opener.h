/* SPDX-License-Identifier: Apache-2.0
 *
 * opener: opens the spool, and the uplink behind it, on a thread of its own, since both may wait for a disk
 * for as long as it likes, while mail is answered. What the disk (that it is full, too) or an earlier release
 * is to blame for is tried again (back-off 1 to 30 s); a failure of the first attempt that only an operator
 * can mend is left to the caller.
 */
#ifndef EDGE_OPENER_H
#define EDGE_OPENER_H

#include "uplink.h"

struct opener;

struct opener_options {
    int (*prepare)(void *arg, struct err *err); /* before each attempt, on the opener's thread; may be NULL */
    bool patient; /* every failure is tried again, that of the first attempt too */
    struct spool_options spool;
    const struct uplink_options *uplink; /* NULL: records only gather */
    void (*synced)(void *arg);           /* as spool_on_sync; may be NULL */
    void (*done)(void *arg); /* on the opener's thread, once: opener_take has it; must not block */
    void *arg;
};

/* What the options point at stays until opener_take has nulled *opener. */
MUST_CHECK int opener_start(struct opener **out, const struct opener_options *options, struct err *err);
/* Waits at most wait_us: the first call for the first attempt, later ones for the end. *opener stays: still
 * opening (ERR_TIMEOUT), or failed, as the log says (ERR_UNAVAILABLE), and from now on every failure is tried
 * again. Otherwise *opener is nulled and the answer is that of the opening; *spool and *uplink may be there
 * beside an error. */
MUST_CHECK int opener_take(struct opener **opener, int64_t wait_us, struct spool **spool,
                           struct uplink **uplink, struct err *err);
/* No further attempt; opener_take tells when the present one has ended. */
void opener_stop(struct opener *opener);

#endif
