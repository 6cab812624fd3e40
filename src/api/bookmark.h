/* SPDX-License-Identifier: Apache-2.0
 *
 * bookmark: where a list goes on, as the opaque text that clients hand back. It holds the range that the
 * first page had (so that "now" stays what it was) and the last row's place; it belongs to one question, of
 * which it keeps a hash. It gives no right: what it says only bounds a search that has the caller's tenant in
 * front. Everything in it is checked, whoever wrote it. Pure.
 */
#ifndef API_BOOKMARK_H
#define API_BOOKMARK_H

#include "store/scan.h"

enum { BOOKMARK_BYTES = 800 }; /* with its NUL */

struct bookmark {
    uint64_t question; /* bookmark_hash of what was asked for */
    int64_t from, to;
    struct store_key key; /* at: from 0 to QUERY_LATEST_US */
    char edge[EVENT_EDGE_BYTES];
};

void bookmark_write(const struct bookmark *bookmark, char out[BOOKMARK_BYTES]);
/* out->key.edge points into out. ERR_INVALID. */
MUST_CHECK int bookmark_read(struct slice text, struct bookmark *out);

uint64_t bookmark_hash(struct slice question);

#endif
