/* SPDX-License-Identifier: Apache-2.0
 *
 * openapi: GET /api/openapi.json.
 */
#include "call.h"
#include "document.h"

int openapi_get(struct api_call *call)
{
    int rc = buf_add(call->reply, api_document, api_document_bytes);
    return call_reply_failed(call, rc != 0 ? rc : call_tagged(call));
}
