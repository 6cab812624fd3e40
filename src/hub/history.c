/* SPDX-License-Identifier: Apache-2.0
 *
 * history: see history.h. A ring; the latest minute may still change.
 */
#include "history.h"

#include <stdlib.h>

struct history {
    struct history_figures last; /* what counters stood at; not in the snapshot */
    bool counted;                /* last holds something */
    size_t first, count;
    struct history_minute minutes[HISTORY_MINUTES];
};

static uint32_t clamp(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static uint32_t plus(uint32_t sum, uint64_t before, uint64_t now)
{
    return clamp(sum + (now >= before ? now - before : now)); /* fell: it counts from 0 again */
}

static struct history_minute *minute_of(struct history *h, uint32_t minute)
{
    if (h->count > 0) {
        struct history_minute *latest = &h->minutes[(h->first + h->count - 1) % HISTORY_MINUTES];
        if (latest->minute >= minute)
            return latest; /* or the clock was set back */
    }
    if (h->count == HISTORY_MINUTES)
        h->first = (h->first + 1) % HISTORY_MINUTES;
    else
        h->count++;
    struct history_minute *fresh = &h->minutes[(h->first + h->count - 1) % HISTORY_MINUTES];
    *fresh = (struct history_minute){.minute = minute};
    return fresh;
}

void history_note(struct history **history, const struct history_figures *figures, int64_t now_us)
{
    if (*history == NULL && (*history = calloc(1, sizeof **history)) == NULL)
        return;
    struct history *h = *history;
    struct history_minute *minute = minute_of(h, (uint32_t)(now_us / 60000000));
    if (!h->counted)
        h->last = *figures; /* what was before nobody knows when */
    h->counted = true;
#define X(name) minute->name = plus(minute->name, h->last.name, figures->name);
    HISTORY_COUNTERS(X)
#undef X
#define X(name) minute->name = clamp(figures->name);
    HISTORY_LEVELS(X)
#undef X
    h->last = *figures;
}

void history_destroy(struct history **history)
{
    free(*history);
    *history = NULL;
}

bool history_get(const struct history *h, size_t i, struct history_minute *out)
{
    if (h == NULL || i >= h->count)
        return false;
    *out = h->minutes[(h->first + i) % HISTORY_MINUTES];
    return true;
}

void history_encode(const struct history *history, struct bytes_writer *w)
{
    struct history_minute minute;
    bytes_put_u8(w, history != NULL ? (uint8_t)history->count : 0);
    for (size_t i = 0; history_get(history, i, &minute); i++) {
        bytes_put_u32(w, minute.minute);
#define X(name) bytes_put_u32(w, minute.name);
        HISTORY_COUNTERS(X)
        HISTORY_LEVELS(X)
#undef X
    }
}

int history_decode(struct history **history, struct bytes_reader *r)
{
    size_t count = bytes_get_u8(r);
    if (r->failed || count > HISTORY_MINUTES)
        return ERR_CORRUPT;
    if (count == 0)
        return 0;
    struct history *h = *history = calloc(1, sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    for (h->count = 0; h->count < count; h->count++) {
        struct history_minute *minute = &h->minutes[h->count];
        minute->minute = bytes_get_u32(r);
#define X(name) minute->name = bytes_get_u32(r);
        HISTORY_COUNTERS(X)
        HISTORY_LEVELS(X)
#undef X
    }
    return r->failed ? ERR_CORRUPT : 0;
}
