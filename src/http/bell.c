/* SPDX-License-Identifier: Apache-2.0
 *
 * bell: see bell.h.
 */
#include "bell.h"

#include "inside.h"

static struct exchange *take_first(struct bell *bell)
{
    (void)pthread_mutex_lock(&bell->lock);
    struct exchange *exchange = bell->first;
    if (exchange != NULL) {
        bell->first = exchange->next_rung;
        if (bell->first == NULL)
            bell->last = &bell->first;
        exchange->rung = false;
    }
    (void)pthread_mutex_unlock(&bell->lock);
    return exchange;
}

static void on_async(uv_async_t *async)
{
    struct bell *bell = async->data;
    struct exchange *exchange;
    while ((exchange = take_first(bell)) != NULL)
        bell->heard(exchange);
}

int bell_open(struct bell *bell, uv_loop_t *loop, void (*heard)(struct exchange *exchange))
{
    *bell = (struct bell){.heard = heard};
    bell->last = &bell->first;
    bell->async.data = bell;
    if (uv_async_init(loop, &bell->async, on_async) != 0)
        return ERR_NO_MEMORY;
    (void)pthread_mutex_init(&bell->lock, NULL);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct bell *bell = handle->data;
    (void)pthread_mutex_destroy(&bell->lock);
    bell->closed(bell);
}

void bell_close(struct bell *bell, void (*closed)(struct bell *bell))
{
    bell->closed = closed;
    uv_close((uv_handle_t *)&bell->async, on_closed);
}

void bell_ring(struct bell *bell, struct exchange *exchange)
{
    (void)pthread_mutex_lock(&bell->lock);
    if (!exchange->rung) {
        exchange->rung = true;
        exchange->next_rung = NULL;
        *bell->last = exchange;
        bell->last = &exchange->next_rung;
    }
    (void)uv_async_send(&bell->async); /* within the lock: who closes has forgotten the exchange before */
    (void)pthread_mutex_unlock(&bell->lock);
}

void bell_forget(struct bell *bell, struct exchange *exchange)
{
    (void)pthread_mutex_lock(&bell->lock);
    for (struct exchange **at = &bell->first; *at != NULL; at = &(*at)->next_rung)
        if (*at == exchange) {
            *at = exchange->next_rung;
            if (*at == NULL)
                bell->last = at;
            exchange->rung = false;
            break;
        }
    (void)pthread_mutex_unlock(&bell->lock);
}
