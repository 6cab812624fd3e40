/* SPDX-License-Identifier: Apache-2.0
 *
 * relabel: a change of domains or networks holds for what comes then; events that are stored keep the
 * direction that they have until a job of kind reclassify. The reply says so, in its field Reclassify. See
 * call.h.
 */
#include "call.h"

void call_ruled(struct api_call *call, uint32_t tenant)
{
    unsigned i = 0;
    while (i < call->ruled_count && call->ruled[i] != tenant)
        i++;
    if (i < call->ruled_count)
        return;
    if (i == API_RELABELLED)
        call->ruled_more = true;
    else
        call->ruled[call->ruled_count++] = tenant;
}

static bool was_heard(const struct api_call *call, uint32_t tenant)
{
    const struct api_context *context = call->context;
    return context->heard == NULL || context->heard(context->arg, tenant);
}

int call_tell_ruled(struct api_call *call)
{
    const char *before = "Reclassify: ";
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < call->ruled_count; i++) {
        char name[ACCOUNT_NAME_BYTES];
        /* The change stands: a tenant that can't be named (removed meanwhile) is left out. */
        if (!was_heard(call, call->ruled[i]) ||
            account_tenant_name(call->context->account, call->ruled[i], name, NULL) != 0)
            continue;
        rc = buf_addf(call->fields, "%s%s", before, name);
        before = ", ";
    }
    if (rc == 0 && call->ruled_more) {
        rc = buf_addf(call->fields, "%s*", before);
        before = ", ";
    }
    return rc != 0 || before[0] == 'R' ? rc : buf_add(call->fields, "\r\n", 2);
}
