/* SPDX-License-Identifier: Apache-2.0
 *
 * signals: SIGTERM and SIGINT (stop) and SIGHUP (reload) as calls on the loop; SIGPIPE is ignored from here
 * on. Loop thread.
 */
#ifndef LOOP_SIGNALS_H
#define LOOP_SIGNALS_H

#include "base/err.h"

#include <uv.h>

struct signals;

struct signals_calls {
    void (*stop)(void *arg, int signum);
    void (*reload)(void *arg);
};

/* SIGHUP waits from now on until signals_open: a reload that comes between the pid file and the loop must not
 * end the process. Before other threads start. */
void signals_defer_reload(void);

MUST_CHECK int signals_open(struct signals **out, uv_loop_t *loop, const struct signals_calls *calls,
                            void *arg, struct err *err); /* *calls must outlive it */
void signals_close(struct signals **signals);            /* nulls *signals; safe on NULL */

#endif
