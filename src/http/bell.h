/* SPDX-License-Identifier: Apache-2.0
 *
 * bell: how other threads tell the loop that there is news of an exchange. Ringing twice before the loop has
 * heard is ringing once. Of the http room only.
 */
#ifndef HTTP_BELL_H
#define HTTP_BELL_H

#include "base/err.h"

#include <pthread.h>
#include <uv.h>

struct exchange;

struct bell {
    uv_async_t async;
    pthread_mutex_t lock; /* of the list */
    struct exchange *first, **last;
    void (*heard)(struct exchange *exchange);
    void (*closed)(struct bell *bell);
};

/* Loop thread. heard: on the loop. ERR_NO_MEMORY. */
MUST_CHECK int bell_open(struct bell *bell, uv_loop_t *loop, void (*heard)(struct exchange *exchange));
/* Nobody rings any more. closed: the bell's memory may go. */
void bell_close(struct bell *bell, void (*closed)(struct bell *bell));

void bell_ring(struct bell *bell, struct exchange *exchange);   /* any thread */
void bell_forget(struct bell *bell, struct exchange *exchange); /* loop thread: it isn't heard any more */

#endif
