/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: batches that pass to and fro between the loader's two threads: empty ones to the maker, filled
 * ones to the store, in order. The store's side can park the maker's, to work with its things itself. All
 * waits end when it is stopped.
 */
#ifndef HUB_EXCHANGE_H
#define HUB_EXCHANGE_H

#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { EXCHANGE_PARTS = 3, PART_ROWS = 4096, PART_TEXT_BYTES = 2 * 1024 * 1024 };

struct part {
    struct event_batch *batch;
    struct store_cursor after; /* behind its last row */
    bool at_end;               /* the journal had no more */
};

struct exchange {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_bool stopping;
    struct part parts[EXCHANGE_PARTS];
    struct part *empty[EXCHANGE_PARTS], *filled[EXCHANGE_PARTS];
    size_t empty_count, filled_count;
    bool woken, nudged, park, parked, ended; /* ended: the maker's thread gives nothing more */
};

MUST_CHECK int exchange_init(struct exchange *exchange);
void exchange_fini(struct exchange *exchange);
void exchange_stop(struct exchange *exchange);

/* The maker's side. take: an empty batch; waits for one, and while parked; NULL when stopped. */
struct part *exchange_take_empty(struct exchange *exchange);
void exchange_put_empty(struct exchange *exchange, struct part *part);
void exchange_put_filled(struct exchange *exchange, struct part *part);
void exchange_end(struct exchange *exchange);
void exchange_sleep(struct exchange *exchange, int64_t us); /* until woken, parked or stopped */
void exchange_wake(struct exchange *exchange);              /* any thread */

/* The store's side. take: the next filled one, or NULL: at the deadline (monotonic; INT64_MAX: none), when it
 * is nudged, or, with *ended, when there will be no more. */
struct part *exchange_take_filled(struct exchange *exchange, int64_t deadline_us, bool *ended);
void exchange_nudge(struct exchange *exchange);     /* any thread */
int64_t exchange_oldest(struct exchange *exchange); /* hub_ts of the next row to be taken; 0: none */
void exchange_park(struct exchange *exchange); /* returns once the maker waits; all parts are empty again */
void exchange_unpark(struct exchange *exchange);
bool exchange_pause(struct exchange *exchange, int64_t us); /* false: stopped */

#endif
