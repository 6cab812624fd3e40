/* SPDX-License-Identifier: Apache-2.0
 *
 * random_question: questions that a fixture's rows answer, all columns, operations and intervals in turn.
 */
#ifndef STORE_RANDOM_QUESTION_H
#define STORE_RANDOM_QUESTION_H

#include "store/fixture.h"

/* JSON as query_parse takes it, for free(); the same *random makes the same question. */
char *random_question(const struct fixture *fixture, uint64_t *random);
/* Likewise one in mode fast, most of the kind that roll-ups can answer. */
char *random_panel(const struct fixture *fixture, uint64_t *random);

#endif
