/* SPDX-License-Identifier: Apache-2.0
 *
 * notify: sd_notify(3) and its watchdog. See notify.h.
 */
#include "notify.h"

#include "base/clock.h"

#include <systemd/sd-daemon.h>

void notify_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s\nMAINPID=%d", status, (int)uv_os_getpid());
}

void notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_monotonic_us());
}

void notify_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

static void sign_of_life(void *arg)
{
    (void)arg;
    (void)sd_notify(0, "WATCHDOG=1");
}

int notify_watchdog(struct ticker **out, uv_loop_t *loop)
{
    uint64_t timeout_us;
    *out = NULL;
    if (sd_watchdog_enabled(0, &timeout_us) <= 0)
        return 0;
    int rc = ticker_create(out, loop, sign_of_life, NULL);
    uint64_t each_ms = timeout_us / 3000 > 0 ? timeout_us / 3000 : 1;
    if (rc == 0)
        ticker_set(*out, 0, each_ms);
    return rc;
}
