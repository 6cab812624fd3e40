/* SPDX-License-Identifier: Apache-2.0
 *
 * process: what a daemon does to itself at start: detach, raise its descriptor limit, become another user;
 * and what it tells about itself. Before other threads start.
 */
#ifndef LOOP_PROCESS_H
#define LOOP_PROCESS_H

#include "base/err.h"

#include <stdint.h>

/* Forks. The child returns 0 in a new session, *ready_fd for process_ready(); the parent stays until the
 * child is ready (exits 0) or has failed (exits with the child's status), and never returns. ERR_IO. */
MUST_CHECK int process_detach(int *ready_fd, struct err *err);
/* Lets the parent go, and points stdin, stdout and stderr to /dev/null. Nothing to do with -1. */
void process_ready(int *ready_fd);

/* Raises the soft limit of open files to the hard one; ERR_CONFIG when that is below `needed`. */
MUST_CHECK int process_raise_descriptors(uint64_t needed, struct err *err);

/* Becomes `user` with its groups for good. Nothing to do when user is "" or when not root. ERR_CONFIG: no
 * such user. */
MUST_CHECK int process_become(const char *user, struct err *err);
/* Gives path to `user`, as root; nothing to do otherwise. ERR_CONFIG, ERR_DENIED. */
MUST_CHECK int process_give(const char *user, const char *path, struct err *err);

/* Where files of this run time belong, in order: the supervisor's choice (the first directory of
 * $RUNTIME_DIRECTORY), and /run/PROGRAM. "" when there is no choice; none needs to exist. */
enum { PROCESS_RUNTIME_DIRS = 2, PROCESS_DIR_BYTES = 512 };
void process_runtime_dirs(const char *program, char dirs[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES]);

struct process_facts {
    double cpu_seconds;
    double start_seconds; /* Unix time of the first call */
    uint64_t resident_bytes;
    uint64_t open_descriptors;
};

void process_get_facts(struct process_facts *out);

#endif
