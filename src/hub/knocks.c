/* SPDX-License-Identifier: Apache-2.0
 *
 * knocks: see knocks.h.
 */
#include "knocks.h"

#include <stdlib.h>
#include <xxhash.h>

struct slot {
    struct ip site;
    int64_t since_us; /* what came before is paid for by time */
    int64_t owed;     /* handshakes that nobody stood for yet */
};

struct knocks {
    struct slot slots[KNOCKS_SLOTS];
};

int knocks_create(struct knocks **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ERR_NO_MEMORY : 0;
}

void knocks_destroy(struct knocks **knocks)
{
    free(*knocks);
    *knocks = NULL;
}

static struct slot *slot_of(struct knocks *knocks, const struct ip *site)
{
    return &knocks->slots[XXH3_64bits(site->b, sizeof site->b) % KNOCKS_SLOTS];
}

static void let_time_pay(struct slot *slot, int64_t now_us)
{
    int64_t paid = (now_us - slot->since_us) / KNOCKS_AGAIN_US;
    slot->owed = paid < slot->owed ? slot->owed - paid : 0;
    slot->since_us = slot->owed > 0 ? slot->since_us + paid * KNOCKS_AGAIN_US : now_us;
}

bool knocks_admit(struct knocks *knocks, const struct ip *address, int64_t now_us)
{
    struct ip site = ip_site(address);
    struct slot *slot = slot_of(knocks, &site);
    if (ip_compare(&slot->site, &site) != 0 || slot->owed == 0)
        *slot = (struct slot){.site = site, .since_us = now_us};
    let_time_pay(slot, now_us);
    if (slot->owed == KNOCKS_BURST)
        return false;
    slot->owed++;
    return true;
}

void knocks_forgive(struct knocks *knocks, const struct ip *address)
{
    struct ip site = ip_site(address);
    struct slot *slot = slot_of(knocks, &site);
    if (ip_compare(&slot->site, &site) == 0)
        slot->owed = 0;
}
