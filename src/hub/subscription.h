/* SPDX-License-Identifier: Apache-2.0
 *
 * subscription: what a client of /api/v1/live wants to see, from its message. Pure. Whose events is never
 * part of the message: the caller gives the tenant of the authenticated session.
 *
 * JSON: {"where":[{"column":"direction","op":"eq","values":["in"]}],"events":true,"rate":20}, all of it may
 * be left out; where is a question's (docs/reference/query.md).
 */
#ifndef HUB_SUBSCRIPTION_H
#define HUB_SUBSCRIPTION_H

#include "query/query.h"

enum {
    SUBSCRIPTION_BYTES = 16 * 1024, /* a message at most */
    SUBSCRIPTION_RATE = 20,         /* events/s unless the message says otherwise */
    SUBSCRIPTION_RATE_MAX = 200,
};

struct subscription {
    struct query *filter; /* owned; its scope is the tenant's */
    unsigned rate;        /* events/s shown at most; 0: counters only */
    char *text;           /* owned: the same text, the same filter */
};

/* ERR_INVALID and ERR_LIMIT with a detail that names the member; ERR_NO_MEMORY. tenant 0: all of
 * them, for the operator. */
MUST_CHECK int subscription_parse(struct slice json, uint32_t tenant, struct subscription *out,
                                  struct err *err);
void subscription_fini(struct subscription *subscription); /* safe on a zeroed one, and twice */

/* The same tenant, filter and rate: one count serves both. */
bool subscription_equal(const struct subscription *a, const struct subscription *b);

#endif
