/* SPDX-License-Identifier: Apache-2.0
 *
 * notify: the supervisor's protocols, spoken directly (sd_notify(3), sd_listen_fds(3)): a datagram and three
 * environment variables don't weigh a library of a megabyte with four more behind it. Ready, reloading,
 * stopping; the watchdog's sign of life, which is sent from the loop and so only while the loop turns; the
 * sockets that the supervisor holds. Does nothing without a supervisor. Main thread.
 */
#ifndef LOOP_NOTIFY_H
#define LOOP_NOTIFY_H

#include "ticker.h"

void notify_ready(const char *status);  /* status: one line for `systemctl status` */
void notify_status(const char *status); /* likewise, before ready */
void notify_more_time(unsigned s);      /* before ready: it comes within s seconds, or this is said again */
void notify_reloading(void);            /* notify_ready ends it */
void notify_stopping(void);

/* A ticker that sends WATCHDOG=1 three times in each WatchdogSec=; *out is NULL when none is set. */
MUST_CHECK int notify_watchdog(struct ticker **out, uv_loop_t *loop);

/* The sockets that the supervisor passed to this very process, now close-on-exec: descriptors 3 and on; their
 * number, at most max, 0 without any. Once: the environment variables are removed. */
enum { NOTIFY_FIRST_SOCKET = 3 };
int notify_sockets(int max);

/* Does standard error go to the supervisor's log, which keeps it? (systemd.exec(5), $JOURNAL_STREAM) */
bool notify_stderr_is_kept(void);

#endif
