/* SPDX-License-Identifier: Apache-2.0
 *
 * place: what the conformance tests stand on: a store of the engine under test (ENGINE) in a directory of its
 * own, and short ways to fill it and to ask it. Failures end the test.
 */
#ifndef STORE_PLACE_H
#define STORE_PLACE_H

#include "base/test.h"
#include "store/fixture.h"
#include "store/store.h"

struct place {
    char *dir, *path; /* path is below dir, and does not exist yet */
    struct store *store;
};

struct answer {
    struct buf totals; /* a row as text, with its NUL */
    struct buf text;   /* rows, NUL-terminated each */
    size_t rows, stop_after;
    bool truncated;
};

int place_set_up(void **state); /* *state: a struct place with an empty store */
int place_tear_down(void **state);
void place_reopen(struct place *place);

/* The cursor that the tests store with `offset`; to append all of a fixture and commit; what must be stored.
 */
struct store_cursor place_cursor(uint64_t offset);
void place_store(struct place *place, const struct fixture *fixture, uint64_t offset);
void place_cursor_is(struct place *place, uint64_t offset, uint64_t rows);

/* tenant: the scope, 0 for all. place_answers demands the first row's text and the number of rows. */
int place_take_row(void *answer, const struct cell *cells, size_t count);
int place_ask(struct place *place, const char *json, uint32_t tenant, struct answer *answer, struct err *err);
void place_answers(struct place *place, const char *json, uint32_t tenant, const char *first, size_t rows);

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_set_up, place_tear_down)

#endif
