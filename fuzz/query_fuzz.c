/* SPDX-License-Identifier: Apache-2.0
 *
 * query_fuzz: any bytes as a question. What is taken must pass the last check once it has a scope.
 */
#include "query/query.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query *query;
    struct err err = {0};
    struct slice json = {(const char *)data, size};
    if (query_parse(json, 1772366400 * US_PER_SECOND, &query, &err) != 0) {
        assert(query == NULL && err.detail[0] != '\0');
        return 0;
    }
    query->scope = QUERY_SCOPE_ALL;
    int rc = query_check(query, &err);
    assert(rc == 0);
    (void)rc;
    query_destroy(&query);
    return 0;
}
