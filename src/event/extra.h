/* SPDX-License-Identifier: Apache-2.0
 *
 * extra: what of a request has no column, as one JSON object (RFC 8259) of strings; a name that came more
 * than once has an array. Bounded: what would go beyond EVENT_EXTRA_BYTES is left out, and the member
 * "..." then says how many values that were. Bytes that are not UTF-8 are written as \xNN first, like in
 * every other text.
 */
#ifndef EVENT_EXTRA_H
#define EVENT_EXTRA_H

#include "policy/policy.h"

enum { EXTRA_PAIRS = POLICY_ATTRS + POLICY_ATTR_COUNT };

struct extra {
    size_t count;
    struct policy_pair pairs[EXTRA_PAIRS];
};

void extra_add(struct extra *extra, struct slice name, struct slice value);

/* Writes the object into out (EVENT_EXTRA_BYTES); returns its length, 0 when there is nothing. *escaped is
 * set when a byte was not UTF-8. */
size_t extra_write(const struct extra *extra, char *out, bool *escaped);

#endif
