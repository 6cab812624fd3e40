/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture: what the store's tests share: random mail traffic as events, scratch directories, one answer as
 * lines of text. The same seed gives the same events. For tests and benches only.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "query/query.h"

#define FIXTURE_START_US (INT64_C(1772323200) * US_PER_SECOND) /* 2026-03-01T00:00:00Z */
#define FIXTURE_RANGE_US (48 * 3600 * US_PER_SECOND)

struct fixture {
    uint64_t random; /* state */
    struct event *events;
    size_t count, room;
    struct buf texts; /* what the events' texts point to */
};

/* Whole messages of three tenants, every stage, retries, several directions, hostile texts. Aborts without
 * memory. */
void fixture_init(struct fixture *fixture, uint64_t seed, size_t messages);
void fixture_fini(struct fixture *fixture);

uint64_t fixture_random(uint64_t *state);                /* splitmix64 */
uint64_t fixture_below(uint64_t *state, uint64_t bound); /* 0 … bound - 1 */

/* A new directory below TMPDIR (or /tmp); remove takes everything in it. */
char *fixture_directory(void);
void fixture_remove(char *dir);

/* The path of the one file in dir whose name begins with "events-" and ends so (".duckdb", ".duckdb.wal"; the
 * last by name, when there are several); "" when there is none. */
void fixture_part(const char *dir, const char *ending, char out[4096]);

/* A row as text: "2026-03-01T00:00:00.000000Z|example.test|NULL" and "|7|3" for the measures behind. */
void fixture_row(struct buf *out, const struct cell *cells, size_t count);

#endif
