/* SPDX-License-Identifier: Apache-2.0
 *
 * roller: the thread that rolls marked periods (roll.h) once they are over and nothing came to them for a
 * while, the oldest first, one transaction each. It works beside the writer, whose commits wait for it only
 * while it begins a transaction, and rests three times as long as it worked.
 */
#ifndef STORE_DUCKDB_ROLLER_H
#define STORE_DUCKDB_ROLLER_H

#include "store/duckdb/pool.h"
#include "store/duckdb/roll.h"

struct roller {
    struct pool *pool;       /* borrowed, as all of these */
    struct roll roll;        /* the step at hand */
    pthread_mutex_t working; /* one step at a time */
    pthread_mutex_t mutex;   /* of stopping */
    pthread_cond_t stopped;
    pthread_t thread;
    bool started, stopping;
};

MUST_CHECK int roller_open(struct roller *roller, struct pool *pool, struct parts *parts, struct marks *marks,
                           struct err *err);
void roller_close(struct roller *roller); /* ends what it does; safe on zeroed memory */

/* Rolls, on the caller's thread, what was over at now_us and begins before before_us, however quiet it is: as
 * many periods as are marked when it begins, so that it ends however much comes late. Any thread. */
MUST_CHECK int roller_run(struct roller *roller, int64_t now_us, int64_t before_us,
                          const atomic_bool *cancelled, struct err *err);

/* Between these two nothing is rolled. The same thread for both, and it may take a while. */
void roller_hold(struct roller *roller);
void roller_release(struct roller *roller);

#endif
