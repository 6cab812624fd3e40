/* SPDX-License-Identifier: Apache-2.0
 *
 * edit: conditional requests (RFC 9110, 13) on what can be edited: a thing's tag is that of its JSON, looked
 * at and changed within one transaction, so that nobody overwrites what he hasn't seen. See call.h.
 */
#include "call.h"
#include "etag.h"

int call_tag(struct api_call *call)
{
    char tag[ETAG_BYTES];
    etag_of(buf_slice(call->reply), tag);
    return buf_addf(call->fields, "ETag: %s\r\n", tag);
}

int call_tagged(struct api_call *call)
{
    char tag[ETAG_BYTES];
    bool same = false;
    struct slice known = call->request->if_none_match;
    etag_of(buf_slice(call->reply), tag);
    if (known.n > 0 && etag_find(known, slice_of(tag), true, &same) != 0)
        return err_set(&call->err, ERR_INVALID, "If-None-Match is no list of entity tags");
    int rc = call_tag(call);
    if (rc == 0 && same) {
        buf_clear(call->reply);
        call->status = 304;
    }
    return rc;
}

/* The thing as it is stands in the reply. */
static int check_match(struct api_call *call, bool must)
{
    char tag[ETAG_BYTES];
    bool same = false;
    struct slice wanted = call->request->if_match;
    if (wanted.n == 0 && must)
        return err_set(&call->err, ERR_PRECONDITION_REQUIRED,
                       "say with If-Match which state is to be changed: the ETag of a GET, or *");
    if (wanted.n == 0)
        return 0;
    etag_of(buf_slice(call->reply), tag);
    if (etag_find(wanted, slice_of(tag), false, &same) != 0)
        return err_set(&call->err, ERR_INVALID, "If-Match is no list of entity tags");
    return same ? 0 : err_set(&call->err, ERR_PRECONDITION, "it is not what If-Match says: look at it again");
}

struct editing {
    struct api_call *call;
    const struct edit *edit;
};

static int edit_in_transaction(struct account *a, void *arg, struct err *err)
{
    struct api_call *call = ((struct editing *)arg)->call;
    const struct edit *edit = ((struct editing *)arg)->edit;
    int rc = edit->write(call);
    if (rc == 0)
        rc = check_match(call, !edit->removes);
    buf_clear(call->reply);
    if (rc == 0)
        rc = edit->change(call);
    if (rc == 0 && edit->removes)
        rc = buf_addf(call->reply, "{\"removed\":1}");
    else if (rc == 0 && (rc = edit->write(call)) == 0)
        rc = call_tag(call);
    return rc != 0
               ? rc
               : account_audit(a, call->tenant, call->request->caller.name, edit->action, call->name, err);
}

int call_edit(struct api_call *call, const struct edit *edit)
{
    struct editing editing = {call, edit};
    if (!edit->removes && !json_is_object(call->body))
        return err_set(&call->err, ERR_INVALID, "a JSON object with what is to change is needed");
    int rc = account_atomically(call->context->account, edit_in_transaction, &editing, &call->err);
    return rc != 0 ? rc : call_tell_ruled(call);
}
