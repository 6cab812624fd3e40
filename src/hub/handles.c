/* SPDX-License-Identifier: Apache-2.0
 *
 * handles: see handles.h. As many are open as were ever borrowed at once.
 */
#include "handles.h"

#include <pthread.h>
#include <stdlib.h>

struct handle {
    struct handle *next;
    struct account *account;
};

struct handles {
    pthread_mutex_t lock; /* of idle */
    struct handle *idle;
    const char *path;
};

int handles_create(struct handles **out, const char *path, struct err *err)
{
    struct handles *handles = calloc(1, sizeof *handles);
    if (handles == NULL || pthread_mutex_init(&handles->lock, NULL) != 0) {
        free(handles);
        return err_set(err, ERR_NO_MEMORY, "no memory for account handles");
    }
    handles->path = path;
    *out = handles;
    return 0;
}

void handles_destroy(struct handles **handles)
{
    struct handles *self = *handles;
    *handles = NULL;
    if (self == NULL)
        return;
    while (self->idle != NULL) {
        struct handle *handle = self->idle;
        self->idle = handle->next;
        account_close(&handle->account);
        free(handle);
    }
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

static struct handle *take_idle(struct handles *handles)
{
    (void)pthread_mutex_lock(&handles->lock);
    struct handle *handle = handles->idle;
    if (handle != NULL)
        handles->idle = handle->next;
    (void)pthread_mutex_unlock(&handles->lock);
    return handle;
}

int handles_borrow(struct handles *handles, struct handle **out, struct err *err)
{
    struct handle *handle = take_idle(handles);
    int rc = 0;
    if (handle == NULL) {
        handle = calloc(1, sizeof *handle);
        rc = handle == NULL ? err_set(err, ERR_NO_MEMORY, "no memory for an account handle")
                            : account_open(&handle->account, handles->path, err);
    }
    if (rc != 0)
        free(handle);
    else
        *out = handle;
    return rc;
}

void handles_return(struct handles *handles, struct handle *handle)
{
    (void)pthread_mutex_lock(&handles->lock);
    handle->next = handles->idle;
    handles->idle = handle;
    (void)pthread_mutex_unlock(&handles->lock);
}

struct account *handle_account(struct handle *handle)
{
    return handle->account;
}
