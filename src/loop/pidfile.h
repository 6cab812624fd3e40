/* SPDX-License-Identifier: Apache-2.0
 *
 * pidfile: the process id of a running program in a file that it keeps locked (flock), so that a number left
 * by a dead process never gets a living stranger signalled.
 */
#ifndef LOOP_PIDFILE_H
#define LOOP_PIDFILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pidfile;

/* The path that no setting names: PROGRAM.pid in the first of process_runtime_dirs that is there for us, so
 * that no hung disk holds a start. Who keeps its state elsewhere than in /var/lib/PROGRAM has a name of its
 * own there, PROGRAM-HASH.pid, since several may run. False: there is no such directory. */
bool pidfile_default(char *out, size_t size, const char *program, const char *state_dir);

/* Makes, locks and writes it, with the caller's pid: after process_detach. ERR_BUSY: its owner lives. On a
 * disk without space it stays empty and the program runs all the same. */
MUST_CHECK int pidfile_open(struct pidfile **out, const char *path, struct err *err);
void pidfile_close(struct pidfile **pidfile); /* blanks the file, nulls *pidfile; safe on NULL */

/* Sends signum to the living owner and, with wait_us > 0, waits until it is gone. ERR_UNAVAILABLE: nobody
 * runs; ERR_TIMEOUT: it is still there; ERR_DENIED. */
MUST_CHECK int pidfile_signal(const char *path, int signum, int64_t wait_us, struct err *err);

#endif
