/* SPDX-License-Identifier: Apache-2.0
 *
 * schema: what the account file looks like, as steps from one version to the next (PRAGMA user_version).
 * Steps are only ever added. What no caller may forget is in triggers: limits, rule versions, the audit's
 * bound. Tenant ids are never used twice: stored events name them.
 */
#ifndef ACCOUNT_SCHEMA_H
#define ACCOUNT_SCHEMA_H

#include "db.h"

enum { SCHEMA_APPLICATION_ID = 0x4d414143 /* "MAAC" */ };

/* Brings the file up to this release's version. ERR_VERSION: a newer release wrote it. ERR_CORRUPT: it is no
 * account file. */
MUST_CHECK int schema_migrate(struct account *a, struct err *err);

#endif
