/* SPDX-License-Identifier: Apache-2.0
 *
 * problem: an error as a problem document (RFC 9457): type, title, status, detail, and as extensions code
 * (errors.def), retryable, and index (the item of an array body that is at fault).
 */
#include "call.h"

static int write_problem(struct buf *out, int rc, const char *detail, long index)
{
    int failed = buf_addf(out,
                          "{\"type\":\"urn:mail-analytics:problem:%s\",\"title\":\"%s\",\"status\":%d,"
                          "\"code\":\"%s\",\"retryable\":%s,\"detail\":",
                          err_name(rc), err_text(rc), err_http_status(rc), err_name(rc),
                          err_retryable(rc) ? "true" : "false");
    if (failed == 0)
        failed = field_write(out, slice_of(detail));
    if (failed == 0 && index >= 0)
        failed = buf_addf(out, ",\"index\":%ld", index);
    return failed != 0 ? failed : buf_addf(out, "}");
}

void problem_write(struct api_call *call, int rc)
{
    call->err.code = rc;
    call->status = err_http_status(rc);
    call->type = API_PROBLEM;
    buf_clear(call->reply);
    if (call->retry_s > 0)
        (void)!buf_addf(call->fields, "Retry-After: %u\r\n", call->retry_s);
    if (write_problem(call->reply, rc, err_detail(&call->err), call->index) != 0)
        buf_clear(call->reply); /* the status still tells */
}
