/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern: see pattern.h.
 */
#include "pattern.h"

bool pattern_fits(const char *pattern, struct slice path, struct slice *part)
{
    const char *star = strchr(pattern, '*');
    *part = (struct slice){NULL, 0};
    if (star == NULL)
        return slice_equal(path, slice_of(pattern));
    struct slice before = {pattern, (size_t)(star - pattern)}, behind = slice_of(star + 1);
    if (path.n <= before.n + behind.n || memcmp(path.p, before.p, before.n) != 0 ||
        memcmp(path.p + path.n - behind.n, behind.p, behind.n) != 0)
        return false;
    *part = (struct slice){path.p + before.n, path.n - before.n - behind.n};
    return memchr(part->p, '/', part->n) == NULL;
}
