/* SPDX-License-Identifier: Apache-2.0
 *
 * store: GET /api/v1/store/check: reads all that the store keeps and says what it found. It takes as long as
 * reading takes.
 */
#include "call.h"

static int add(void *arg, const char *part, const char *what, bool good)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    rc = rc != 0 ? rc : buf_addf(call->reply, "{\"part\":");
    rc = rc != 0 ? rc : field_write(call->reply, slice_of(part));
    rc = rc != 0 ? rc : buf_addf(call->reply, ",\"found\":");
    rc = rc != 0 ? rc : field_write(call->reply, slice_of(what));
    return rc != 0 ? rc : buf_addf(call->reply, ",\"good\":%s}", good ? "true" : "false");
}

int store_check(struct api_call *call)
{
    if (call->context->store == NULL)
        return err_set(&call->err, ERR_UNAVAILABLE, "the store is not open");
    int rc = call_rows_begin(call);
    if (rc == 0)
        rc = store_verify(call->context->store, add, call, &call->err);
    return rc == 0 ? call_rows_end(call) : rc;
}
