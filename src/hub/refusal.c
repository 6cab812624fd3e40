/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal: see refusal.h. One slot a network's hash: a collision gives the slot to the newcomer, which errs
 * towards a line too many.
 */
#include "refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

struct slot {
    struct ip network;
    int64_t written_us;
    uint32_t written, kept_back; /* lines */
};

struct refusal_log {
    struct slot slots[REFUSAL_SLOTS];
};

int refusal_log_create(struct refusal_log **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ERR_NO_MEMORY : 0;
}

void refusal_log_destroy(struct refusal_log **log)
{
    free(*log);
    *log = NULL;
}

static struct slot *slot_of(struct refusal_log *log, const struct ip *address, int64_t now_us)
{
    struct ip network = ip_site(address);
    struct slot *slot = &log->slots[XXH3_64bits(network.b, sizeof network.b) % REFUSAL_SLOTS];
    if (ip_compare(&slot->network, &network) != 0 || slot->written == 0)
        *slot = (struct slot){.network = network};
    else if (now_us - slot->written_us >= REFUSAL_QUIET_US)
        slot->written = 0; /* a new burst */
    return slot;
}

static bool due(struct slot *slot, int64_t now_us)
{
    if (slot->written >= REFUSAL_BURST && now_us - slot->written_us < REFUSAL_REPEAT_US) {
        slot->kept_back++;
        return false;
    }
    slot->written++;
    slot->written_us = now_us;
    return true;
}

bool refusal_log_line(struct refusal_log *log, const struct ip *address, enum refusal code, struct slice edge,
                      const char *reason, int64_t now_us, char *line)
{
    if (frame_refusal_greets_now(code))
        return false;
    struct slot *slot = slot_of(log, address, now_us);
    if (!due(slot, now_us))
        return false;
    char text[IP_TEXT_BYTES], repeats[32] = "";
    ip_format(address, text);
    if (slot->kept_back > 0)
        (void)snprintf(repeats, sizeof repeats, " repeats=%u", slot->kept_back);
    slot->kept_back = 0;
    (void)snprintf(line, REFUSAL_LINE_BYTES, "peer refused address=%s code=%s%s%.*s reason=\"%s\"%s", text,
                   frame_refusal_name(code), edge.n > 0 ? " edge=" : "", (int)edge.n, edge.p, reason,
                   repeats);
    return true;
}
