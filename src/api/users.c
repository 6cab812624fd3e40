/* SPDX-License-Identifier: Apache-2.0
 *
 * users: GET POST /api/v1/users, DELETE /api/v1/users/NAME, POST /api/v1/users/NAME/password: the
 * administrators, for whoever may use the control socket. Passwords are made here and shown once.
 */
#include "base/clock.h"
#include "call.h"

#include <sodium.h>

static int user_row(void *arg, const struct account_user *user)
{
    struct api_call *call = arg;
    char created[CLOCK_TEXT_BYTES], changed[CLOCK_TEXT_BYTES];
    clock_format(user->created_us, created);
    clock_format(user->changed_us, changed);
    int rc = call_row(call);
    return rc != 0 ? rc
                   : buf_addf(call->reply,
                              "{\"name\":\"%s\",\"id\":%u,\"created\":\"%s\",\"password_changed\":\"%s\"}",
                              user->name, user->id, created, changed);
}

int users_list(struct api_call *call)
{
    int rc = call_rows_begin(call);
    if (rc == 0)
        rc = account_user_list(call->context->account, user_row, call, &call->err);
    return call_reply_failed(call, rc != 0 ? rc : call_rows_end(call));
}

static int give_password(struct api_call *call, const char *action, const char *name,
                         int (*give)(struct account *, const char *name, const char *password, struct err *))
{
    char password[ACCOUNT_PASSWORD_BYTES];
    account_password_make(password);
    int rc = give(call->context->account, name, password, &call->err);
    if (rc == 0)
        rc = account_audit(call->context->account, 0, call->request->caller.name, action, name, &call->err);
    if (rc == 0)
        rc = buf_addf(call->reply, "{\"name\":\"%s\",\"password\":\"%s\"}", name, password);
    sodium_memzero(password, sizeof password);
    return rc;
}

int users_add(struct api_call *call)
{
    const char *name = NULL;
    struct field root = field_root(call->body, &call->err);
    int rc = field_object(&root, "name");
    if (rc == 0)
        rc = field_text(&root, "name", NULL, &name);
    call->status = 201;
    return rc != 0 ? rc : give_password(call, "user add", name, account_user_add);
}

int users_reset(struct api_call *call)
{
    return give_password(call, "user reset", call->name, account_user_set_password);
}

static int remove_one(struct account *a, const void *arg, struct err *err)
{
    return account_user_remove(a, arg, err);
}

int users_remove(struct api_call *call)
{
    return call_remove(call, "user remove", 0, call->name, remove_one, call->name);
}
