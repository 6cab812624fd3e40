/* SPDX-License-Identifier: Apache-2.0
 *
 * log: one line an occurrence, lower case, subject first, fixed keys, reason in brackets. A warning tells the
 * operator what to do. No secrets and no message content ever go here. Severity ladder: error (we failed at
 * something), warning (act before it becomes one), info (state changes), debug (off by default).
 * Control characters in arguments are written as \xNN, so that hostile input can't forge a line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "err.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum { LOG_LINE_BYTES = 2048 }; /* longer lines are cut */

/* Sets program name (borrowed for the process's life), level and output: "stderr", "syslog" or "file:/path".
 * Once, before other threads start; without it lines go to stderr at info. */
MUST_CHECK int log_open(const char *program, enum log_level level, const char *output, struct err *err);

/* Opens the log file again after rotation (SIGHUP). Nothing to do for stderr and syslog. */
MUST_CHECK int log_reopen(struct err *err);

/* Any thread, any time after log_open; 'error', 'warning', 'info', 'debug' → level. */
void log_set_level(enum log_level level);
MUST_CHECK int log_level_parse(const char *name, enum log_level *level);

/* From here on a thread writes the lines, so that a log whose disk (or whose reader) hangs holds nobody: 64
 * lines wait, those beyond are counted, and the log says how many once it takes lines again. Once, after
 * every fork. log_drain waits for what is on its way, for whole seconds, before the process ends. */
MUST_CHECK int log_background(struct err *err);
void log_drain(int64_t timeout_us);

/* Writes one line with one write(2). Any thread; never fails, never allocates. */
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
