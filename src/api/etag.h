/* SPDX-License-Identifier: Apache-2.0
 *
 * etag: entity tags (RFC 9110, 8.8.3 and 13.1): a strong one follows from the bytes of a representation, and
 * the lists in If-Match and If-None-Match are read strictly. Pure.
 */
#ifndef API_ETAG_H
#define API_ETAG_H

#include "base/text.h"

enum { ETAG_BYTES = 35 }; /* with its quotes and its NUL */

/* The tag of a representation, quotes included. */
void etag_of(struct slice representation, char out[ETAG_BYTES]);

/* Is the tag in the list, or the list "*"? weak: W/"…" counts as well (If-None-Match). ERR_INVALID: it is no
 * list of entity tags. */
MUST_CHECK int etag_find(struct slice list, struct slice tag, bool weak, bool *found);

#endif
