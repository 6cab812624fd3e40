/* SPDX-License-Identifier: Apache-2.0
 *
 * route: which handler, and what its route demands of a request before the body is read. Pure.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "http.h"

enum { HTTP_ALLOW_BYTES = 128 };

/* 0 with *out; or the status (404, 405, 411, 413, 415, 401) with why; allow: the path's methods for 405. */
MUST_CHECK int http_route_find(const struct http_route *routes, size_t count, const struct http_head *head,
                               const struct http_route **out, char allow[static HTTP_ALLOW_BYTES],
                               const char **why);
/* What a route that was found otherwise demands; likewise, but for 404 and 405. */
MUST_CHECK int http_route_check(const struct http_route *route, const struct http_head *head,
                                const char **why);

#endif
