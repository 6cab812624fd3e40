/* SPDX-License-Identifier: Apache-2.0
 *
 * pattern: the paths that routes are written as. One '*', in the middle or at the end, stands for one part of
 * a path that is not empty. Pure.
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "text.h"

/* Does the path (without its query string) fit? *part is then what stood for '*', still percent-encoded, and
 * empty for a pattern without one. */
bool pattern_fits(const char *pattern, struct slice path, struct slice *part);

#endif
