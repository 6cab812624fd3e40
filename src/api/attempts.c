/* SPDX-License-Identifier: Apache-2.0
 *
 * attempts: see attempts.h. A place is found by a keyed hash, so that nobody can choose whom he shares one
 * with.
 */
#include "attempts.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

enum { WAYS = 4, SETS = ATTEMPTS_PLACES / WAYS, NAME_BYTES = 128 };
#define FORGOTTEN_US (INT64_C(3600) * 1000000)
#define FIRST_US     (INT64_C(1) * 1000000)

struct place {
    uint64_t key; /* 0: free */
    int64_t tried_us, next_us;
    unsigned failures;
};

struct attempts {
    pthread_mutex_t lock;
    unsigned char key[crypto_shorthash_KEYBYTES];
    struct place names[SETS][WAYS], addresses[SETS][WAYS];
};

int attempts_create(struct attempts **out, struct err *err)
{
    struct attempts *attempts = calloc(1, sizeof *attempts);
    if (attempts == NULL || pthread_mutex_init(&attempts->lock, NULL) != 0) {
        free(attempts);
        return err_set(err, ERR_NO_MEMORY, "no memory to count failed logins");
    }
    crypto_shorthash_keygen(attempts->key);
    *out = attempts;
    return 0;
}

void attempts_destroy(struct attempts **attempts)
{
    if (*attempts == NULL)
        return;
    (void)pthread_mutex_destroy(&(*attempts)->lock);
    free(*attempts);
    *attempts = NULL;
}

static uint64_t hash(const struct attempts *attempts, const void *bytes, size_t n)
{
    uint64_t key;
    _Static_assert(sizeof key == crypto_shorthash_BYTES, "a hash is a key");
    (void)crypto_shorthash((unsigned char *)&key, bytes, n, attempts->key);
    return key | 1;
}

static struct place *place_of(struct place sets[SETS][WAYS], uint64_t key, int64_t now_us)
{
    struct place *set = sets[key / 2 % SETS], *oldest = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            if (now_us - set[i].tried_us > FORGOTTEN_US)
                set[i].failures = 0;
            return &set[i];
        }
        if (set[i].tried_us < oldest->tried_us)
            oldest = &set[i];
    }
    *oldest = (struct place){.key = key, .tried_us = now_us, .next_us = now_us};
    return oldest;
}

struct pair {
    struct place *name, *address;
};

static struct pair places_of(struct attempts *attempts, const struct attempt *attempt)
{
    char name[NAME_BYTES];
    struct ip site = ip_site(attempt->from);
    struct slice typed = {attempt->name.p, attempt->name.n < NAME_BYTES ? attempt->name.n : NAME_BYTES};
    text_lower(typed, name);
    return (struct pair){
        place_of(attempts->names, hash(attempts, name, typed.n), attempt->now_us),
        place_of(attempts->addresses, hash(attempts, site.b, sizeof site.b), attempt->now_us),
    };
}

static void count(struct place *place, int64_t now_us, int64_t most_us)
{
    int64_t delay_us = 0;
    place->failures += place->failures < 64;
    if (place->failures > ATTEMPTS_FREE) {
        unsigned doubled = place->failures - ATTEMPTS_FREE - 1;
        delay_us = doubled < 20 ? FIRST_US << doubled : most_us;
    }
    place->tried_us = now_us;
    place->next_us = now_us + (delay_us < most_us ? delay_us : most_us);
}

int64_t attempts_begin(struct attempts *attempts, const struct attempt *attempt)
{
    (void)pthread_mutex_lock(&attempts->lock);
    struct pair pair = places_of(attempts, attempt);
    int64_t next_us = pair.name->next_us > pair.address->next_us ? pair.name->next_us : pair.address->next_us;
    if (next_us <= attempt->now_us) {
        count(pair.name, attempt->now_us, ATTEMPTS_NAME_US);
        count(pair.address, attempt->now_us,
              ip_is_loopback(attempt->from) ? ATTEMPTS_LOOPBACK_US : ATTEMPTS_ADDRESS_US);
    }
    (void)pthread_mutex_unlock(&attempts->lock);
    return next_us <= attempt->now_us ? 0 : next_us - attempt->now_us;
}

static void take_back(struct place *place, int64_t now_us)
{
    place->failures -= place->failures > 0;
    place->next_us = now_us;
}

/* Who has an account of his own must not buy new tries for his address with it: only this one is forgotten.
 */
void attempts_end(struct attempts *attempts, const struct attempt *attempt, enum attempt_end end)
{
    (void)pthread_mutex_lock(&attempts->lock);
    struct pair pair = places_of(attempts, attempt);
    take_back(pair.name, attempt->now_us);
    take_back(pair.address, attempt->now_us);
    if (end == ATTEMPT_GOOD)
        pair.name->failures = 0;
    (void)pthread_mutex_unlock(&attempts->lock);
}
