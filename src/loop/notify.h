/* SPDX-License-Identifier: Apache-2.0
 *
 * notify: what the supervisor hears (sd_notify(3)): ready, reloading, stopping, and the watchdog's sign of
 * life, which is sent from the loop and so only while the loop turns. Does nothing without a supervisor.
 */
#ifndef LOOP_NOTIFY_H
#define LOOP_NOTIFY_H

#include "ticker.h"

void notify_ready(const char *status); /* status: one line for `systemctl status` */
void notify_reloading(void);           /* notify_ready ends it */
void notify_stopping(void);

/* A ticker that sends WATCHDOG=1 three times in each WatchdogSec=; *out is NULL when none is set. */
MUST_CHECK int notify_watchdog(struct ticker **out, uv_loop_t *loop);

#endif
