/* SPDX-License-Identifier: Apache-2.0
 *
 * ticker: uv_timer_t on the heap. See ticker.h.
 */
#include "ticker.h"

#include <stdlib.h>

struct ticker {
    uv_timer_t handle;
    void (*call)(void *arg);
    void *arg;
};

static void on_timer(uv_timer_t *handle)
{
    struct ticker *ticker = handle->data;
    ticker->call(ticker->arg);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int ticker_create(struct ticker **out, uv_loop_t *loop, void (*call)(void *arg), void *arg)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    if (ticker == NULL)
        return ERR_NO_MEMORY;
    (void)uv_timer_init(loop, &ticker->handle); /* can't fail */
    ticker->handle.data = ticker;
    ticker->call = call;
    ticker->arg = arg;
    *out = ticker;
    return 0;
}

void ticker_destroy(struct ticker **ticker)
{
    if (*ticker != NULL)
        uv_close((uv_handle_t *)&(*ticker)->handle, on_closed);
    *ticker = NULL;
}

void ticker_set(struct ticker *ticker, uint64_t first_ms, uint64_t repeat_ms)
{
    (void)uv_timer_start(&ticker->handle, on_timer, first_ms, repeat_ms);
}

void ticker_stop(struct ticker *ticker)
{
    (void)uv_timer_stop(&ticker->handle);
}
