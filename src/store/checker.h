/* SPDX-License-Identifier: Apache-2.0
 *
 * checker: asks the store under test and holds the answer against a recount: every row, every figure, totals,
 * rest, order, truncation. Failures end the test.
 */
#ifndef STORE_CHECKER_H
#define STORE_CHECKER_H

#include "store/place.h"

struct checked {
    bool fast;            /* roll-ups answered */
    uint32_t approximate; /* measures; their figures may be off, the others' are not */
    double off;           /* how far the worst figure was off, as a part of what was recounted */
};

/* json: a question as query_parse takes it; tenant: the scope, 0 for all. A question that the parser refuses
 * because a column and a measure have one name is skipped. */
struct checked checker_ask(struct place *place, const struct fixture *fixture, const char *json,
                           uint32_t tenant);

#endif
