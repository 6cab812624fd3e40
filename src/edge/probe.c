/* SPDX-License-Identifier: Apache-2.0
 *
 * probe: see probe.h.
 */
#include "probe.h"

#include "base/clock.h"

#define ATTEMPT_US (10 * US_PER_SECOND)

void probe_init(struct probe *p)
{
    *p = (struct probe){.pause_us = PROBE_FIRST_US};
    link_init(&p->link);
}

void probe_fini(struct probe *p)
{
    probe_cancel(p);
    link_fini(&p->link);
}

void probe_cancel(struct probe *p)
{
    resolve_abandon(&p->resolve);
    link_close(&p->link, 0);
    p->found.n = p->tried = 0;
}

void probe_begin(struct probe *p, int64_t now_us, bool lasted)
{
    probe_cancel(p);
    if (lasted)
        p->pause_us = PROBE_FIRST_US;
    p->at_us = now_us + p->pause_us;
}

static void fail(struct probe *p, int64_t now_us)
{
    probe_cancel(p);
    p->pause_us = p->pause_us > PROBE_LONGEST_US / 2 ? PROBE_LONGEST_US : 2 * p->pause_us;
    p->at_us = now_us + p->pause_us;
}

/* The next address, or the end of this attempt. */
static void dial(struct probe *p, const struct curve_keys *keys, const char *server_key, int64_t now_us)
{
    link_close(&p->link, 0);
    p->until_us = now_us + ATTEMPT_US;
    if (p->tried == p->found.n ||
        link_open(&p->link, keys, server_key, p->found.to[p->tried++].endpoint, NULL) != 0)
        fail(p, now_us);
}

bool probe_step(struct probe *p, const struct curve_keys *keys, const char *server, const char *server_key,
                void (*done)(void *arg), void *arg, int64_t now_us)
{
    if (p->resolve != NULL) {
        int rc = resolve_take(&p->resolve, &p->found, NULL);
        if (rc == 0)
            dial(p, keys, server_key, now_us);
        else if (rc != ERR_MORE || now_us >= p->until_us)
            fail(p, now_us);
    } else if (link_is_open(&p->link)) {
        enum curve_event event = link_event(&p->link);
        if (event == CURVE_READY)
            return true;
        if (event != CURVE_NONE || now_us >= p->until_us)
            dial(p, keys, server_key, now_us);
    } else if (now_us >= p->at_us) {
        p->until_us = now_us + ATTEMPT_US;
        if (resolve_start(&p->resolve, server, done, arg, NULL) != 0)
            fail(p, now_us);
    }
    return false;
}

int64_t probe_at_us(const struct probe *p)
{
    return p->resolve != NULL || link_is_open(&p->link) ? p->until_us : p->at_us;
}
