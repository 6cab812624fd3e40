/* SPDX-License-Identifier: Apache-2.0
 *
 * query_fuzz: any bytes as a question. What is taken must pass the last check once it has a scope.
 */
#include "fuzz.h"
#include "query/query.h"

#include <stdlib.h>

static bool reached;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query *query;
    struct err err = {0};
    struct slice json = {(const char *)data, size};
    if (query_parse(json, 1772366400 * US_PER_SECOND, &query, &err) != 0) {
        if (query != NULL || err.detail[0] == '\0')
            abort();
        return 0;
    }
    query->scope = QUERY_SCOPE_ALL;
    if (query_check(query, &err) != 0)
        abort();
    query_destroy(&query);
    reached = true;
    return 0;
}

const char *fuzz_unreached(void)
{
    return reached ? NULL : "a question that is taken";
}
