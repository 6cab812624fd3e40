/* SPDX-License-Identifier: Apache-2.0
 *
 * lines_fuzz: any bytes are lines; each is an event, whose request is one of the policy protocol and nothing
 * more, or refused with a reason.
 */
#include "fuzz.h"
#include "hub/lines.h"
#include "policy/policy.h"

#include <stdlib.h>

static bool event_reached, refusal_reached;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf request = {.limit = POLICY_REQUEST_BYTES};
    struct slice rest = {(const char *)data, size}, text;
    char reason[LINE_REASON_BYTES];
    struct line line;
    size_t number = 0, used;
    while (lines_next(&rest, &number, &text)) {
        int rc = line_parse(text, &line, &request, reason);
        if (rc == 0 && (policy_frame(buf_slice(&request), NULL, &used, NULL) != 0 || used != request.n ||
                        line.seq == 0 || line.after >= line.seq || !batch_edge_valid(slice_of(line.source))))
            abort();
        if (rc != 0 && reason[0] == '\0')
            abort();
        event_reached |= rc == 0;
        refusal_reached |= rc != 0;
    }
    return 0;
}

const char *fuzz_unreached(void)
{
    return !event_reached ? "an event" : !refusal_reached ? "a refusal" : NULL;
}
