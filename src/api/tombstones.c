/* SPDX-License-Identifier: Apache-2.0
 *
 * tombstones: GET /api/v1/tombstones, DELETE /api/v1/tombstones/ID. They come with erasures (jobs.c).
 * Forgetting one lets what it covered come back, if a journal or a backup still has it.
 */
#include "account/tombstone.h"

#include "base/clock.h"
#include "nouns.h"

#include <stdio.h>

static int tombstone_row(void *arg, const struct account_tombstone *tombstone)
{
    struct api_call *call = arg;
    char name[ACCOUNT_NAME_BYTES], before[CLOCK_TEXT_BYTES];
    bool known = account_tenant_name(call->context->account, tombstone->tenant, name, NULL) == 0;
    clock_format(tombstone->before_us, before);
    int rc = call_row(call);
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"id\":%llu,\"tenant\":%s%s%s,\"tenant_id\":%u,\"address\":",
                      (unsigned long long)tombstone->id, known ? "\"" : "", known ? name : "null",
                      known ? "\"" : "", tombstone->tenant);
    if (rc == 0)
        rc = tombstone->address[0] != '\0' ? field_write(call->reply, slice_of(tombstone->address))
                                           : buf_addf(call->reply, "null");
    if (rc == 0)
        rc = buf_addf(call->reply, ",\"before\":\"%s\",\"who\":", before);
    if (rc == 0)
        rc = field_write(call->reply, slice_of(tombstone->who));
    return rc != 0 ? rc : buf_addf(call->reply, "}");
}

int tombstones_list(struct api_call *call)
{
    uint32_t tenant;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_tombstone_list(call->context->account, tenant, tombstone_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    return account_tombstone_remove(a, 0, *(const uint64_t *)arg, err);
}

int tombstones_remove(struct api_call *call)
{
    uint64_t id;
    if (text_to_u64(slice_of(call->name), INT64_MAX, &id) != 0)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no such tombstone");
    return call_remove(call, "tombstone remove", 0, call->name, remove_one, &id);
}
