/* SPDX-License-Identifier: Apache-2.0
 *
 * tombstone: what was erased and must not come back: an address of a tenant, or the whole tenant, as far as
 * it was received before a moment. The loader passes what one covers, so that neither a rebuild from the
 * journal nor an older backup brings it back. They outlive their tenant (ids are never used twice). One
 * handle a thread.
 */
#ifndef ACCOUNT_TOMBSTONE_H
#define ACCOUNT_TOMBSTONE_H

#include "account.h"

enum { TOMBSTONE_ADDRESS_BYTES = 512 };

struct account_tombstone {
    uint64_t id;
    uint32_t tenant;
    const char *address; /* lower case (ASCII); "": the whole tenant */
    int64_t before_us;   /* covers what has a hub_ts before it */
    int64_t created_us;
    const char *who;
};

/* Takes tenant, address, before_us and who; the address is stored in lower case. The same again with a later
 * before_us moves it. ERR_INVALID: empty or odd address bytes (a control character), ERR_LIMIT. */
MUST_CHECK int account_tombstone_add(struct account *a, const struct account_tombstone *tombstone,
                                     uint64_t *id, struct err *err);
/* By tenant and address; tenant 0: all. */
MUST_CHECK int account_tombstone_list(struct account *a, uint32_t tenant,
                                      int (*row)(void *, const struct account_tombstone *), void *arg,
                                      struct err *err);
/* ERR_NOT_FOUND. */
MUST_CHECK int account_tombstone_get(struct account *a, uint64_t id,
                                     int (*row)(void *, const struct account_tombstone *), void *arg,
                                     struct err *err);
/* Forgets it: for when no journal and no backup is older. ERR_NOT_FOUND. */
MUST_CHECK int account_tombstone_remove(struct account *a, uint32_t tenant, uint64_t id, struct err *err);

#endif
