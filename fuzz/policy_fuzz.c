/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_fuzz: framing and parsing agree on any bytes, however they are cut.
 */
#include "fuzz.h"
#include "policy/policy.h"

#include <stdlib.h>

static bool reached;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice bytes = {(const char *)data, n};
    size_t used = 0, dripped = 0, seen = 0;
    int whole = policy_frame(bytes, NULL, &used, NULL),
        rc = policy_frame((struct slice){bytes.p, n / 2}, &seen, &dripped, NULL);
    if (rc == ERR_MORE)
        rc = policy_frame(bytes, &seen, &dripped, NULL);
    if (whole == 0 && (rc != 0 || used != dripped || used > n))
        abort();
    struct policy_request request;
    if (policy_parse((struct slice){bytes.p, whole == 0 ? used : n}, &request, NULL) != 0 && whole == 0)
        abort();
    reached = reached || whole == 0;
    return 0;
}

const char *fuzz_unreached(void)
{
    return reached ? NULL : "a whole request";
}
