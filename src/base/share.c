/* SPDX-License-Identifier: Apache-2.0
 *
 * share: see share.h. Places are few, so each is looked at.
 */
#include "base/share.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct place {
    bool taken;
    uint32_t tenant;
};

struct share {
    pthread_mutex_t lock; /* of places */
    unsigned count;
    struct place places[];
};

int share_create(struct share **out, unsigned places, struct err *err)
{
    struct share *share = calloc(1, sizeof *share + places * sizeof *share->places);
    *out = share;
    if (share == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the shares of tenants");
    (void)pthread_mutex_init(&share->lock, NULL);
    share->count = places;
    return 0;
}

void share_destroy(struct share **share)
{
    if (*share == NULL)
        return;
    (void)pthread_mutex_destroy(&(*share)->lock);
    free(*share);
    *share = NULL;
}

bool share_take(struct share *share, uint32_t tenant)
{
    struct place *free_place = NULL;
    unsigned held = 0, half = share->count > 1 ? share->count / 2 : 1;
    (void)pthread_mutex_lock(&share->lock);
    for (struct place *place = share->places; place < share->places + share->count; place++) {
        held += place->taken && place->tenant == tenant;
        if (!place->taken)
            free_place = place;
    }
    bool taken = held < half && free_place != NULL;
    if (taken)
        *free_place = (struct place){true, tenant};
    (void)pthread_mutex_unlock(&share->lock);
    return taken;
}

void share_give(struct share *share, uint32_t tenant)
{
    struct place *place = share->places;
    (void)pthread_mutex_lock(&share->lock);
    while (place < share->places + share->count && !(place->taken && place->tenant == tenant))
        place++;
    assert(place < share->places + share->count);
    place->taken = false;
    (void)pthread_mutex_unlock(&share->lock);
}
