/* SPDX-License-Identifier: Apache-2.0
 *
 * search: free text → the filter that finds what it looks like. Pure.
 */
#ifndef API_SEARCH_H
#define API_SEARCH_H

#include "base/text.h"

#include <jansson.h>

/* {"or": […]} or one test, as a question's "where" has them (query.h); NULL: no memory. text: UTF-8, not
 * empty. */
json_t *search_filter(struct slice text);

#endif
