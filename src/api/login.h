/* SPDX-License-Identifier: Apache-2.0
 *
 * login: how a browser says who it is (RFC 6265bis): a cookie that holds a session's token, and for requests
 * that change something a second token that only the site's own pages can know and send. Pure.
 */
#ifndef API_LOGIN_H
#define API_LOGIN_H

#include "base/buf.h"

enum { LOGIN_CSRF_BYTES = 44 };
#define LOGIN_CSRF_FIELD "X-CSRF-Token"

/* The session's token in a Cookie field; empty: there is none. secure: the client came by TLS, where the
 * cookie has the prefix __Host-, so that no other host and no plain page can set it. */
struct slice login_token(struct slice cookie, bool secure);

/* Appends the Set-Cookie field that gives the token; "" takes it away. */
MUST_CHECK int login_set_cookie(struct buf *fields, const char *token, bool secure, int64_t lifetime_us);

/* The second token follows from the first, and not the other way round. */
void login_csrf(struct slice token, char out[LOGIN_CSRF_BYTES]);
bool login_csrf_fits(struct slice token, struct slice said); /* in constant time */

/* Does a request come from our own pages? fetch_site: Sec-Fetch-Site; empty ones were not sent. */
bool login_same_site(struct slice fetch_site, struct slice origin, struct slice host);

#endif
