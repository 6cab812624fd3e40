/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs: GET POST /api/v1/jobs, GET DELETE /api/v1/jobs/ID. A POST says the kind and its arguments:
 *
 *   {"kind":"erase","tenant":"acme","address":"user@example.com"}   (no address: the whole tenant; operator)
 *   {"kind":"reclassify","tenant":"acme","from":"2026-01-01"}        (from, to: optional)
 *   {"kind":"retain"}, {"kind":"order"}                             (operator; the hub asks for them itself
 * too)
 *   {"kind":"backup","to":"/absolute/path"}                         (operator)
 *
 * An erasure's tombstone is there in the same transaction as its job: from then on nothing that it covers is
 * stored. The address stands in the tombstone alone, not in the list of jobs, nor in the audit.
 */
#include "account/job.h"
#include "account/tombstone.h"
#include "base/clock.h"
#include "nouns.h"

#include <stdio.h>
#include <stdlib.h>

enum { JOBS_LISTED = 1000, JOBS_USUAL = 100 };

/* --- reading ------------------------------------------------------------------------------------------- */

static int write_time(struct buf *out, const char *name, int64_t ts)
{
    char text[CLOCK_TEXT_BYTES];
    if (ts == 0)
        return buf_addf(out, ",\"%s\":null", name);
    clock_format(ts, text);
    return buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

/* The name of a tenant that may be gone, or of none (0). */
static int write_tenant(struct api_call *call, uint32_t tenant)
{
    char name[ACCOUNT_NAME_BYTES];
    int rc =
        tenant == 0 ? ERR_NOT_FOUND : account_tenant_name(call->context->account, tenant, name, &call->err);
    if (rc == 0)
        return buf_addf(call->reply, ",\"tenant\":\"%s\",\"tenant_id\":%u", name, tenant);
    if (rc != ERR_NOT_FOUND)
        return rc;
    call->err.detail[0] = '\0';
    return tenant == 0 ? buf_addf(call->reply, ",\"tenant\":null,\"tenant_id\":null")
                       : buf_addf(call->reply, ",\"tenant\":null,\"tenant_id\":%u", tenant);
}

static int write_outcome(struct buf *out, const struct account_job *job)
{
    const char *why = NULL;
    int code = job->state == JOB_FAILED ? account_job_failure(job, &why) : 0;
    int rc = buf_addf(out, ",\"result\":%s,\"error\":", job->state == JOB_DONE ? job->result : "null");
    if (rc == 0)
        rc = why != NULL ? field_write(out, slice_of(why)) : buf_addf(out, "null");
    if (rc != 0)
        return rc;
    return code != 0 ? buf_addf(out, ",\"code\":\"%s\"", err_name(code)) : buf_addf(out, ",\"code\":null");
}

static int write_job(struct api_call *call, const struct account_job *job)
{
    struct buf *out = call->reply;
    int rc = buf_addf(out, "{\"id\":%llu,\"kind\":\"%s\"", (unsigned long long)job->id, job->kind);
    if (rc == 0)
        rc = write_tenant(call, job->tenant);
    if (rc == 0)
        rc = buf_addf(out, ",\"state\":\"%s\",\"cancelling\":%s,\"done\":%llu,\"all\":%llu,\"arguments\":%s",
                      account_job_state(job->state),
                      job->cancel && job->state == JOB_RUNNING ? "true" : "false",
                      (unsigned long long)job->done, (unsigned long long)job->all, job->arguments);
    if (rc == 0)
        rc = write_outcome(out, job);
    if (rc == 0)
        rc = write_time(out, "created", job->created_us);
    if (rc == 0)
        rc = write_time(out, "started", job->started_us);
    if (rc == 0)
        rc = write_time(out, "ended", job->ended_us);
    if (rc == 0)
        rc = buf_addf(out, ",\"who\":");
    if (rc == 0)
        rc = field_write(out, slice_of(job->who));
    return rc != 0 ? rc : buf_addf(out, "}");
}

static int job_row(void *arg, const struct account_job *job)
{
    struct api_call *call = arg;
    int rc = call_row(call);
    return rc != 0 ? rc : write_job(call, job);
}

static int job_alone(void *arg, const struct account_job *job)
{
    return write_job(arg, job);
}

static int number_parameter(struct api_call *call, const char *name, uint64_t max, uint64_t *out)
{
    char text[32];
    int rc = call_parameter(call, name, text, sizeof text);
    if (rc == ERR_NOT_FOUND) {
        call->err.detail[0] = '\0';
        return 0;
    }
    if (rc == 0 && text_to_u64(slice_of(text), max, out) != 0)
        rc = err_set(&call->err, ERR_INVALID, "?%s= must be a number up to %llu", name,
                     (unsigned long long)max);
    return rc;
}

int jobs_list(struct api_call *call)
{
    uint32_t tenant;
    uint64_t before = 0, limit = JOBS_USUAL;
    int rc = call_tenant_parameter(call, false, &tenant);
    if (rc == 0)
        rc = number_parameter(call, "before", INT64_MAX, &before);
    if (rc == 0)
        rc = number_parameter(call, "limit", JOBS_LISTED, &limit);
    if (rc == 0)
        rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_job_list(call->context->account, tenant, before, (unsigned)limit, job_row, call,
                              &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

/* The id in the path. What is no number is no job. */
static int path_id(struct api_call *call, uint64_t *id)
{
    if (text_to_u64(slice_of(call->name), INT64_MAX, id) != 0 || *id == 0)
        return err_set(&call->err, ERR_NOT_FOUND, "there is no such job");
    return 0;
}

/* Whose jobs the caller may see: 0: all. */
static uint32_t own_tenant(const struct api_call *call)
{
    const struct api_caller *caller = &call->request->caller;
    return caller->operator_ ? 0 : caller->tenant;
}

int jobs_get(struct api_call *call)
{
    uint64_t id;
    int rc = path_id(call, &id);
    return rc != 0
               ? rc
               : account_job_get(call->context->account, own_tenant(call), id, job_alone, call, &call->err);
}

/* --- asking for one ------------------------------------------------------------------------------------ */

struct wish {
    struct api_call *call;
    const char *kind;
    uint32_t tenant;
    uint64_t id;
};

static int read_tenant(struct api_call *call, const struct field *item, uint32_t *tenant)
{
    struct field id = field_member(item, "tenant_id");
    if (id.json == NULL)
        return noun_tenant(call, item, tenant);
    json_int_t number = json_integer_value(id.json);
    if (!call->request->caller.operator_)
        return field_fail(&id, ERR_DENIED, "is for the operator");
    if (!json_is_integer(id.json) || number < 1 || number > UINT32_MAX)
        return field_fail(&id, ERR_INVALID, "must be the number of a tenant, which may be removed already");
    *tenant = (uint32_t)number;
    return 0;
}

int job_wish_erasure(struct api_call *call, uint32_t tenant, const char *address, uint64_t *id)
{
    char arguments[64];
    struct account_tombstone tombstone = {.tenant = tenant,
                                          .address = address,
                                          .before_us = clock_real_us(),
                                          .who = call->request->caller.name};
    struct account_job job = {
        .tenant = tenant, .kind = "erase", .arguments = arguments, .who = tombstone.who};
    uint64_t stone = 0;
    int rc = account_tombstone_add(call->context->account, &tombstone, &stone, &call->err);
    (void)snprintf(arguments, sizeof arguments, "{\"tombstone\":%llu}", (unsigned long long)stone);
    return rc != 0 ? rc : account_job_add(call->context->account, &job, id, &call->err);
}

static int wish_erase(struct wish *wish, const struct field *item)
{
    const char *address = "";
    struct field member = field_member(item, "address");
    int rc = field_object(item, "kind tenant tenant_id address");
    if (rc == 0)
        rc = read_tenant(wish->call, item, &wish->tenant);
    if (rc == 0 && member.json != NULL)
        rc = field_text(item, "address", NULL, &address);
    if (rc != 0)
        return rc;
    if (member.json != NULL && address[0] == '\0')
        return field_fail(&member, ERR_INVALID, "must be an address; leave it out for the whole tenant");
    if (address[0] == '\0' && !wish->call->request->caller.operator_)
        return err_set(&wish->call->err, ERR_DENIED, "erasing a whole tenant is for the operator");
    return job_wish_erasure(wish->call, wish->tenant, address, &wish->id);
}

static int wish_backup(struct wish *wish, const struct field *item)
{
    const char *to = NULL;
    struct field member = field_member(item, "to");
    int rc = field_object(item, "kind to");
    if (rc == 0)
        rc = field_text(item, "to", NULL, &to);
    if (rc != 0)
        return rc;
    if (to[0] != '/' || strlen(to) > 3000)
        return field_fail(&member, ERR_INVALID,
                          "must be an absolute path of a directory, or .tar.zst file, that isn't there yet");
    char *arguments = json_dumps(wish->call->body, JSON_COMPACT);
    if (arguments == NULL)
        return err_set(&wish->call->err, ERR_NO_MEMORY, "out of memory");
    struct account_job job = {
        .kind = "backup", .arguments = arguments, .who = wish->call->request->caller.name};
    rc = account_job_add(wish->call->context->account, &job, &wish->id, &wish->call->err);
    free(arguments);
    return rc;
}

static int add_plain(struct wish *wish, const char *kind, const char *arguments)
{
    struct account_job job = {.tenant = wish->tenant,
                              .kind = kind,
                              .arguments = arguments,
                              .who = wish->call->request->caller.name};
    return account_job_add(wish->call->context->account, &job, &wish->id, &wish->call->err);
}

static int wish_retain(struct wish *wish, const struct field *item)
{
    int rc = field_object(item, "kind");
    return rc != 0 ? rc : add_plain(wish, "retain", "{}");
}

static int wish_order(struct wish *wish, const struct field *item)
{
    int rc = field_object(item, "kind");
    return rc != 0 ? rc : add_plain(wish, "order", "{}");
}

static int read_moment(const struct field *item, const char *name, int64_t *out)
{
    const char *text = NULL;
    struct field member = field_member(item, name);
    if (member.json == NULL)
        return 0;
    int rc = field_text(item, name, NULL, &text);
    if (rc == 0 && (clock_parse(slice_of(text), out) != 0 || *out < 0))
        rc = field_fail(&member, ERR_INVALID, "must be a date or time such as 2027-01-31T12:00:00Z");
    return rc;
}

static int wish_reclassify(struct wish *wish, const struct field *item)
{
    int64_t from = 0, to = INT64_MAX;
    char arguments[96];
    int rc = field_object(item, "kind tenant from to");
    if (rc == 0)
        rc = noun_tenant(wish->call, item, &wish->tenant);
    if (rc == 0)
        rc = read_moment(item, "from", &from);
    if (rc == 0)
        rc = read_moment(item, "to", &to);
    (void)snprintf(arguments, sizeof arguments, "{\"from\":%lld,\"to\":%lld}", (long long)from,
                   (long long)to);
    return rc != 0 ? rc : add_plain(wish, "reclassify", arguments);
}

static const struct job_kind {
    const char *name;
    int (*wish)(struct wish *wish, const struct field *item); /* checks, and adds the job */
    bool tenants; /* may ask for it for themselves, with scope manage */
} kinds[] = {
    {"erase", wish_erase, true},    {"backup", wish_backup, false}, {"reclassify", wish_reclassify, true},
    {"retain", wish_retain, false}, {"order", wish_order, false},
};

static int find_kind(const struct field *item, const struct job_kind **out)
{
    const char *name = NULL;
    struct field member = field_member(item, "kind");
    int rc = json_is_object(item->json) ? field_text(item, "kind", NULL, &name)
                                        : field_fail(item, ERR_INVALID, "must be an object with a kind");
    for (size_t i = 0; rc == 0 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = &kinds[i];
            return 0;
        }
    return rc != 0 ? rc : field_fail(&member, ERR_INVALID, "is no kind of job");
}

static int add_job(struct account *a, void *arg, struct err *err)
{
    struct wish *wish = arg;
    struct api_call *call = wish->call;
    struct field root = field_root(call->body, err);
    const struct job_kind *kind = NULL;
    char detail[96];
    int rc = find_kind(&root, &kind);
    if (rc == 0 && !kind->tenants && !call->request->caller.operator_)
        rc = err_set(err, ERR_DENIED, "jobs of this kind are for the operator");
    if (rc == 0)
        rc = kind->wish(wish, &root);
    if (rc != 0)
        return rc;
    (void)snprintf(detail, sizeof detail, "%s, job %llu", kind->name, (unsigned long long)wish->id);
    return account_audit(a, wish->tenant, call->request->caller.name, "job add", detail, err);
}

void jobs_tell(const struct api_call *call, uint64_t cancelled)
{
    if (call->context->jobs != NULL)
        call->context->jobs(call->context->arg, cancelled);
}

int jobs_add(struct api_call *call)
{
    struct wish wish = {.call = call};
    if (call->body == NULL)
        return err_set(&call->err, ERR_INVALID, "a JSON body is needed");
    int rc = account_atomically(call->context->account, add_job, &wish, &call->err);
    if (rc != 0)
        return rc;
    jobs_tell(call, 0);
    call->status = 202;
    rc = account_job_get(call->context->account, 0, wish.id, job_alone, call, &call->err);
    return rc != 0 ? rc
                   : buf_addf(call->fields, "Location: /api/v1/jobs/%llu\r\n", (unsigned long long)wish.id);
}

/* --- cancelling ---------------------------------------------------------------------------------------- */

static int cancel_one(struct account *a, void *arg, struct err *err)
{
    const struct wish *wish = arg;
    enum job_state state;
    char detail[32];
    (void)snprintf(detail, sizeof detail, "job %llu", (unsigned long long)wish->id);
    int rc = account_job_cancel(a, wish->tenant, wish->id, &state, err);
    return rc != 0
               ? rc
               : account_audit(a, wish->tenant, wish->call->request->caller.name, "job cancel", detail, err);
}

int jobs_cancel(struct api_call *call)
{
    struct wish wish = {.call = call, .tenant = own_tenant(call)};
    int rc = path_id(call, &wish.id);
    if (rc == 0)
        rc = account_atomically(call->context->account, cancel_one, &wish, &call->err);
    if (rc != 0)
        return rc;
    jobs_tell(call, wish.id);
    return account_job_get(call->context->account, 0, wish.id, job_alone, call, &call->err);
}
