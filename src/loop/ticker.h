/* SPDX-License-Identifier: Apache-2.0
 *
 * ticker: a timer with an owner. Handles die twice: ticker_destroy detaches, the close callback frees. Loop
 * thread; a call that sets it costs no system call.
 */
#ifndef LOOP_TICKER_H
#define LOOP_TICKER_H

#include "base/err.h"

#include <uv.h>

struct ticker;

MUST_CHECK int ticker_create(struct ticker **out, uv_loop_t *loop, void (*call)(void *arg), void *arg);
void ticker_destroy(struct ticker **ticker); /* nulls *ticker; safe on NULL */

/* Calls after first_ms, then each repeat_ms (0: once). Setting it again replaces what was set. */
void ticker_set(struct ticker *ticker, uint64_t first_ms, uint64_t repeat_ms);
void ticker_stop(struct ticker *ticker);

#endif
