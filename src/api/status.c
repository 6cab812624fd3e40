/* SPDX-License-Identifier: Apache-2.0
 *
 * status: GET /api/v1/status. The running hub's own figures, or that none is running.
 */
#include "call.h"

int status_get(struct api_call *call)
{
    const struct api_context *context = call->context;
    if (context->status != NULL)
        return call_reply_failed(call, context->status(context->arg, call->reply));
    return buf_addf(call->reply, "{\"running\":false,\"version\":\"" VERSION "\"}");
}
