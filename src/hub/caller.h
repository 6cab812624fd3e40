/* SPDX-License-Identifier: Apache-2.0
 *
 * caller: who asks over HTTP: an API key as a bearer token (RFC 6750), or a person by the cookie of a
 * session. A key's tenant and scopes come from the key and from nothing else; people are the operator. What
 * changes something by cookie has to come from our own pages, and to say so by the session's second token.
 */
#ifndef HUB_CALLER_H
#define HUB_CALLER_H

#include "api/api.h"
#include "http/http.h"

struct caller {
    struct api_caller who; /* name lies in this struct */
    char name[ACCOUNT_NAME_BYTES];
    uint64_t number; /* a key's, or a person's; 0: nobody's */
    bool secure;     /* the client came by TLS, here or at a proxy on this machine */
};

/* For routes that are open to all: nobody. False: the request comes from another site's page; it was
 * answered.
 */
bool caller_nobody(struct caller *out, const struct http_request *request, struct http_reply *reply);

/* False: it was answered, with 401, 403 or 503. Any thread. */
bool caller_known(struct caller *out, struct account *account, const struct account_session_limits *limits,
                  const struct http_request *request, struct http_reply *reply);

#endif
