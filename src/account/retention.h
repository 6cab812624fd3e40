/* SPDX-License-Identifier: Apache-2.0
 *
 * retention: how long a tenant's data is kept, for each kind of data, where that differs from the settings
 * keep_events, keep_hourly, keep_daily and keep_audit. One handle a thread.
 */
#ifndef ACCOUNT_RETENTION_H
#define ACCOUNT_RETENTION_H

#include "account.h"

#define RETENTION_KINDS(X) X(EVENTS, "events") X(HOURLY, "hourly") X(DAILY, "daily") X(AUDIT, "audit")
#define X(name, text)      RETENTION_##name,
enum retention_kind { RETENTION_KINDS(X) RETENTION_KIND_COUNT };
#undef X
const char *account_retention_kind(enum retention_kind kind);                            /* static */
MUST_CHECK int account_retention_kind_parse(const char *name, enum retention_kind *out); /* ERR_NOT_FOUND */

struct account_retention {
    uint32_t tenant;
    enum retention_kind kind;
    int64_t keep_us; /* 0: for ever */
};

/* Puts it in the place of what was said before. ERR_INVALID (less than a day), ERR_NOT_FOUND (no such
 * tenant). */
MUST_CHECK int account_retention_set(struct account *a, const struct account_retention *retention,
                                     struct err *err);
/* Back to the setting. ERR_NOT_FOUND. */
MUST_CHECK int account_retention_unset(struct account *a, uint32_t tenant, enum retention_kind kind,
                                       struct err *err);
/* By tenant and kind; tenant 0: all. */
MUST_CHECK int account_retention_list(struct account *a, uint32_t tenant,
                                      int (*row)(void *, const struct account_retention *), void *arg,
                                      struct err *err);

/* Removes audit lines from before that moment: the tenant's, or (0) those of the operator and of all tenants
 * without a retention of their own for them. *removed grows by their number. */
MUST_CHECK int account_audit_expire(struct account *a, uint32_t tenant, int64_t before_us, uint64_t *removed,
                                    struct err *err);

#endif
