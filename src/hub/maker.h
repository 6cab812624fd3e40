/* SPDX-License-Identifier: Apache-2.0
 *
 * maker: the loader's first stage: the journal's records become events in a batch: decode, parse, classify,
 * consolidate. What a tombstone covers (erasures.h) is passed. Knows where it is in the journal as a
 * store_cursor. What can't be read is counted, kept in quarantine, and passed; only the environment stops it.
 * One thread at a time.
 */
#ifndef HUB_MAKER_H
#define HUB_MAKER_H

#include "account/account.h"
#include "hub/quarantine.h"
#include "journal/journal.h"
#include "store/store.h"
#include "wire/batch.h"

#include <stdatomic.h>

enum {
    MAKER_MESSAGES = 128 * 1024, /* that consolidate remembers: 12 MiB and its requests as much again */
    MAKER_REPLAY_EVENTS = 4 * MAKER_MESSAGES,
};

struct maker;

/* Opens the journal reader, the control data and its rules. Everything is borrowed. */
MUST_CHECK int maker_create(struct maker **out, struct journal *journal, const char *account_path,
                            struct quarantine *quarantine, struct err *err);
void maker_destroy(struct maker **maker);

/* The next event is the one at the cursor. ERR_IO. */
MUST_CHECK int maker_seek(struct maker *maker, struct store_cursor cursor, struct err *err);

/* Feeds consolidate what the journal holds before the cursor: two idle times of it, at most
 * MAKER_REPLAY_EVENTS and a segment; then seeks the cursor. Gives up early (0) when *stop becomes true.
 * ERR_IO. */
MUST_CHECK int maker_rebuild(struct maker *maker, struct store_cursor cursor, struct event_batch *scratch,
                             const atomic_bool *stop, struct err *err);

/* Appends events to batch until it has max_rows or is full (0), or the journal has no more for now (ERR_END;
 * there may be rows all the same). *after is the cursor behind the last one. ERR_IO. */
MUST_CHECK int maker_fill(struct maker *maker, struct event_batch *batch, size_t max_rows,
                          struct store_cursor *after, struct err *err);

/* What is at *until or behind it is not read (ERR_END) until the bound is taken away (NULL). */
void maker_bound(struct maker *maker, const struct store_cursor *until);

/* From now on each event that is made is handed over once, in order, at the end of the fill that made it:
 * also after a rewind, and not in a rebuild. */
void maker_publish_to(struct maker *maker, void (*publish)(void *arg, const struct event *rows, size_t count),
                      void *arg);

/* Where the next fill begins. */
struct store_cursor maker_cursor(const struct maker *maker);

/* Fetches rules and tombstones again when the control data changed; looks every 200 ms at most. Besides,
 * filling looks before it makes events that came later than the last look. */
void maker_refresh_rules(struct maker *maker);

/* The same at once. */
void maker_reread_rules(struct maker *maker);

/* Keeps the event that maker_fill made last, as it came. */
void maker_quarantine_last(struct maker *maker, const char *reason);

uint64_t maker_parse_errors(const struct maker *maker); /* since create, each once */
uint64_t
maker_erased(const struct maker *maker); /* passed because a tombstone covers them; after a rewind again */

#endif
