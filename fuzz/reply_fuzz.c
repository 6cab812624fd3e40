/* SPDX-License-Identifier: Apache-2.0
 *
 * reply_fuzz: any bytes are a reply, the beginning of one, or an error; what is read of it lies within it,
 * and a reply is one however it was cut when it came.
 */
#include "edge/reply.h"
#include "fuzz.h"

#include <stdlib.h>

enum { BODY_BYTES = 4096 };

static bool reply_reached, more_reached;

static void read_one(struct slice bytes, bool tunnel)
{
    struct reply reply, cut;
    int rc = reply_parse(bytes, BODY_BYTES, tunnel, &reply);
    more_reached |= rc == ERR_MORE;
    if (rc != 0)
        return;
    reply_reached = true;
    if (reply.status < 100 || reply.status > 599 || reply.body_bytes > BODY_BYTES ||
        reply.body_at + reply.body_bytes > bytes.n || reply.retry_after_s > REPLY_RETRY_S)
        abort();
    for (size_t n = 0; n < reply.body_at + reply.body_bytes; n += 1 + n / 8)
        if (reply_parse((struct slice){bytes.p, n}, BODY_BYTES, tunnel, &cut) != ERR_MORE)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};
    read_one(bytes, false);
    read_one(bytes, true);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !reply_reached ? "a reply" : !more_reached ? "the beginning of one" : NULL;
}
