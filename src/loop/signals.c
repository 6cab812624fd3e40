/* SPDX-License-Identifier: Apache-2.0
 *
 * signals: three uv_signal_t of one owner, freed when the last of them is closed. See signals.h.
 */
#include "signals.h"

#include <signal.h>
#include <stdlib.h>

static const int watched[] = {SIGTERM, SIGINT, SIGHUP};
enum { WATCHED = sizeof watched / sizeof *watched };

struct signals {
    uv_signal_t handle[WATCHED];
    const struct signals_calls *calls;
    void *arg;
    int open;
};

static void on_signal(uv_signal_t *handle, int signum)
{
    struct signals *signals = handle->data;
    if (signum == SIGHUP)
        signals->calls->reload(signals->arg);
    else
        signals->calls->stop(signals->arg, signum);
}

static void on_closed(uv_handle_t *handle)
{
    struct signals *signals = handle->data;
    if (--signals->open == 0)
        free(signals);
}

static void mask_reload(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(how, &set, NULL);
}

void signals_defer_reload(void)
{
    mask_reload(SIG_BLOCK);
}

int signals_open(struct signals **out, uv_loop_t *loop, const struct signals_calls *calls, void *arg,
                 struct err *err)
{
    struct signals *signals = calloc(1, sizeof *signals);
    if (signals == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for signals");
    signals->calls = calls;
    signals->arg = arg;
    (void)signal(SIGPIPE, SIG_IGN);
    int status = 0;
    for (int i = 0; i < WATCHED && status == 0; i++) {
        status = uv_signal_init(loop, &signals->handle[i]);
        if (status != 0)
            break;
        signals->handle[i].data = signals;
        signals->open++;
        status = uv_signal_start(&signals->handle[i], on_signal, watched[i]);
    }
    if (status != 0) {
        if (signals->open == 0)
            free(signals);
        else
            signals_close(&signals);
        return err_set(err, ERR_IO, "signals cannot be watched: %s", uv_strerror(status));
    }
    mask_reload(SIG_UNBLOCK);
    *out = signals;
    return 0;
}

void signals_close(struct signals **signals)
{
    struct signals *self = *signals;
    *signals = NULL;
    for (int i = 0, n = self == NULL ? 0 : self->open; i < n; i++)
        uv_close((uv_handle_t *)&self->handle[i], on_closed);
}
