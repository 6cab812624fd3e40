/* SPDX-License-Identifier: Apache-2.0
 *
 * opening: opens the store on a worker thread, and again every few seconds until it works. It may take
 * minutes, as when a new release brings the roll-ups into its form; the loop has all else to do meanwhile.
 */
#ifndef HUB_OPENING_H
#define HUB_OPENING_H

#include "store/store.h"

#include <uv.h>

struct opening;

/* What the strings of `store` point at outlives the opening. The calls run on the loop's thread. */
struct opening_options {
    struct store_options store;
    /* Takes the store. An error: it is closed, and opened again later. */
    int (*opened)(void *arg, struct store *store, struct err *err);
    void (*settled)(void *arg, bool open); /* once: the first try is over, one way or the other */
    void *arg;
};

enum opening_state { OPENING_FIRST, OPENING_FAILED, OPENING_DONE }; /* failed: it is tried again */

/* ERR_NO_MEMORY. */
MUST_CHECK int opening_create(struct opening **out, uv_loop_t *loop, const struct opening_options *options,
                              struct err *err);
void opening_begin(struct opening *opening); /* loop thread */
/* Loop thread. No more tries; one that is under way can't be broken off. The loop is to be run until it has
 * nothing left; a store that comes of it is closed. Safe on NULL. */
void opening_stop(struct opening *opening);
/* After the loop ran out; nulls *opening; safe on NULL. */
void opening_destroy(struct opening **opening);
/* *why: for people, "" when it is done. Any thread. */
enum opening_state opening_get_state(struct opening *opening, char why[ERR_DETAIL_BYTES]);

#endif
