/* SPDX-License-Identifier: Apache-2.0
 *
 * erasures: tombstones (account/tombstone.h) in memory, and which events they cover: those of the tenant
 * whose hub_ts lies before the tombstone's moment, and of which the address is sender, recipient,
 * sasl_username or sasl_sender (without regard to ASCII case), or stands in extra. One thread at a time.
 */
#ifndef HUB_ERASURES_H
#define HUB_ERASURES_H

#include "account/account.h"
#include "event/event.h"

struct erasure {
    uint32_t tenant;
    struct slice address; /* lower case; empty: the whole tenant */
    int64_t before_us;
};

struct erasures;

/* Those of one tenant, or all (0). As account_tombstone_list. */
MUST_CHECK int erasures_load(struct erasures **out, struct account *a, uint32_t tenant, struct err *err);
void erasures_destroy(struct erasures **erasures);

/* By tenant and address. */
const struct erasure *erasures_list(const struct erasures *erasures, size_t *count);

/* May it cover anything of the tenant received then? Cheap: for what is new it never does. */
bool erasures_concern(const struct erasures *erasures, uint32_t tenant, int64_t hub_ts);
bool erasures_cover(struct erasures *erasures, const struct event *event);
/* For bytes that are no request: does an address of the tenant stand in them, or is all of it covered? */
bool erasures_cover_bytes(struct erasures *erasures, uint32_t tenant, int64_t hub_ts, struct slice bytes);

#endif
