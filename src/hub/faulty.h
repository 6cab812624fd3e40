/* SPDX-License-Identifier: Apache-2.0
 *
 * faulty: a store engine for the loader's tests: passes everything on to a real engine, fails where it is
 * told to, and remembers what was committed. For *_test.c only.
 */
#ifndef HUB_FAULTY_H
#define HUB_FAULTY_H

#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum fault_mode {
    FAULT_NONE,
    FAULT_POISON_APPEND, /* ERR_ENGINE when a row's helo_name is "poison" */
    FAULT_POISON_COMMIT, /* the same, but only the commit says so */
    FAULT_DEAD_IO,       /* every append and commit: ERR_IO */
    FAULT_DEAD_ENGINE,   /* every append and commit: ERR_ENGINE */
    FAULT_NO_CURSOR,     /* and the cursor can't be asked for either */
    FAULT_NO_CHECKPOINT, /* everything works but checkpoints: ERR_IO */
};

/* What the tests look at of a stored row. */
struct seen {
    uint8_t epoch;
    uint64_t seq;
    int64_t ts;
    bool first;
    uint64_t retry_of;
    uint32_t recipients, rule_version;
    uint8_t direction;
};

struct store *faulty_wrap(struct store *inner); /* takes it; store_close closes both */
void faulty_set(struct store *store, enum fault_mode mode);
/* The committed rows so far, a copy; free it. */
struct seen *faulty_seen(struct store *store, size_t *count);
size_t faulty_largest(struct store *store);  /* rows of the largest transaction that was committed */
unsigned faulty_mended(struct store *store); /* appends without rows, which open again what is broken */

#endif
