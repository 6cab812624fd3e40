/* SPDX-License-Identifier: Apache-2.0
 *
 * handles: account handles for worker threads. One worker at a time borrows one; what comes back is kept for
 * the next. Any thread.
 */
#ifndef HUB_HANDLES_H
#define HUB_HANDLES_H

#include "account/account.h"

struct handles;
struct handle;

/* path outlives them. ERR_NO_MEMORY. */
MUST_CHECK int handles_create(struct handles **out, const char *path, struct err *err);
void handles_destroy(struct handles **handles); /* all were given back; safe on NULL */

/* As account_open. */
MUST_CHECK int handles_borrow(struct handles *handles, struct handle **out, struct err *err);
void handles_return(struct handles *handles, struct handle *handle);

struct account *handle_account(struct handle *handle);

#endif
