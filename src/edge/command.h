/* SPDX-License-Identifier: Apache-2.0
 *
 * command: the command line of policy-proxy, apart from serving: help, version, dry runs, -c stop and reload,
 * the verbs check and spool; and the line that says why it could not.
 */
#ifndef EDGE_COMMAND_H
#define EDGE_COMMAND_H

#include "config/config.h"
#include "loop/pidfile.h"

/* Settings and request from files, environment and argv. Log lines go to stderr until command_open_log. */
MUST_CHECK int command_load(struct config **out, int *argc, char **argv, struct err *err);

/* Does what was asked for; *served says that this was all, otherwise it is to serve. */
MUST_CHECK int command_run(const struct config *config, int argc, char **argv, bool *served, struct err *err);

/* For serving: the log; the spool's directory and the pid file (from where on a reload may come). A full disk
 * is a warning: *out stays NULL then. */
MUST_CHECK int command_open_log(const struct proxy_config *settings, struct err *err);
MUST_CHECK int command_open_directory(struct pidfile **out, const struct proxy_config *settings,
                                      struct err *err);

/* One line on stderr when rc is an error; the exit status. */
int command_end(int rc, const struct err *err);

#endif
