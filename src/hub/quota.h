/* SPDX-License-Identifier: Apache-2.0
 *
 * quota: how many requests one API key or one person may send: a bucket of a minute's worth that fills
 * evenly. The table has a fixed size; who came longest ago makes room and begins anew. Any thread.
 */
#ifndef HUB_QUOTA_H
#define HUB_QUOTA_H

#include "base/buf.h"

enum { QUOTA_PLACES = 8192, QUOTA_WINDOW_S = 60 };

struct quota;

/* per_minute: 0 for no limit. ERR_NO_MEMORY. */
MUST_CHECK int quota_create(struct quota **out, unsigned per_minute, struct err *err);
void quota_destroy(struct quota **quota); /* safe on NULL */

/* Takes one request of who (1 and more) away. *wait_s: 0, or there was none left and how long until there is.
 * Appends the fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers). now_us:
 * monotonic. */
MUST_CHECK int quota_take(struct quota *quota, uint64_t who, int64_t now_us, unsigned *wait_s,
                          struct buf *fields);

#endif
