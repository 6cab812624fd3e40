/* SPDX-License-Identifier: Apache-2.0
 *
 * quota: see quota.h.
 */
#include "quota.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAYS = 4, SETS = QUOTA_PLACES / WAYS };
#define WINDOW_US (INT64_C(1000000) * QUOTA_WINDOW_S)

struct bucket {
    uint64_t who;    /* 0: free */
    int64_t full_us; /* when it will be full again */
};

struct quota {
    pthread_mutex_t lock;
    unsigned per_minute;
    struct bucket buckets[SETS][WAYS];
};

int quota_create(struct quota **out, unsigned per_minute, struct err *err)
{
    struct quota *quota = calloc(1, sizeof *quota);
    if (quota == NULL || pthread_mutex_init(&quota->lock, NULL) != 0) {
        free(quota);
        return err_set(err, ERR_NO_MEMORY, "no memory to count requests");
    }
    quota->per_minute = per_minute;
    *out = quota;
    return 0;
}

void quota_destroy(struct quota **quota)
{
    if (*quota == NULL)
        return;
    (void)pthread_mutex_destroy(&(*quota)->lock);
    free(*quota);
    *quota = NULL;
}

/* A full bucket is as good as a new one, so the fullest makes room. */
static struct bucket *bucket_of(struct quota *quota, uint64_t who)
{
    struct bucket *set = quota->buckets[who * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (SETS - 1)],
                  *fullest = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].who == who)
            return &set[i];
        if (set[i].full_us < fullest->full_us)
            fullest = &set[i];
    }
    *fullest = (struct bucket){.who = who};
    return fullest;
}

/* In a bucket that is full at full_us, so much is missing at now_us; each request is step_us of it. */
static unsigned left(int64_t missing_us, int64_t step_us)
{
    return missing_us >= WINDOW_US ? 0 : (unsigned)((WINDOW_US - missing_us) / step_us);
}

int quota_take(struct quota *quota, uint64_t who, int64_t now_us, unsigned *wait_s, struct buf *fields)
{
    *wait_s = 0;
    if (quota->per_minute == 0)
        return 0;
    int64_t step_us = WINDOW_US / quota->per_minute;
    (void)pthread_mutex_lock(&quota->lock);
    struct bucket *bucket = bucket_of(quota, who);
    int64_t missing_us = bucket->full_us > now_us ? bucket->full_us - now_us : 0;
    bool taken = missing_us + step_us <= WINDOW_US;
    if (taken)
        bucket->full_us = now_us + (missing_us += step_us);
    (void)pthread_mutex_unlock(&quota->lock);
    if (!taken)
        *wait_s = (unsigned)((missing_us + step_us - WINDOW_US + 999999) / 1000000);
    return buf_addf(fields,
                    "RateLimit-Policy: \"requests\";q=%u;w=%d\r\nRateLimit: \"requests\";r=%u;t=%u\r\n",
                    quota->per_minute, QUOTA_WINDOW_S, left(missing_us, step_us),
                    (unsigned)((missing_us + 999999) / 1000000));
}
