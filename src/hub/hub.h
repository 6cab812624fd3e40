/* SPDX-License-Identifier: Apache-2.0
 *
 * hub: what `mail-analytics serve` runs. Threads besides the main loop, in the order of the flow:
 *   receive  ROUTER sockets, ZAP, sessions; appends batches to the hub's journal, one fdatasync for all that
 *            came together, then acks (receive.h)
 *   load     reads the journal, parses, classifies, consolidates, stores with its cursor (loader.h)
 *   workers  questions from the control socket (control.h) and over HTTP (web.h), on the loop's thread pool
 * The loop itself has the control socket, HTTP, the metrics, the signals and the supervisor's watchdog. The
 * store is opened by a worker (opening.h), so that one which takes minutes, or can't be opened, stops none of
 * this: the journal keeps what comes. "Ready" is said when the store is open, or could not be.
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include "config/config.h"

/* Runs until SIGTERM or SIGINT; SIGHUP takes log_level anew. Errors are those of the start:
 * afterwards the hub looks after itself. Call before other threads start; the log is open. */
MUST_CHECK int hub_run(const struct config *config, struct err *err);

#endif
