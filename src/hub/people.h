/* SPDX-License-Identifier: Apache-2.0
 *
 * people: the first administrator. Where nobody can log in yet, "admin" is made with a random password that
 * standard error shows once, and that is kept nowhere else. The supervisor's journal would keep it: there the
 * line says instead how to get another.
 */
#ifndef HUB_PEOPLE_H
#define HUB_PEOPLE_H

#include "account/account.h"

/* At the start. As account_user_add. */
MUST_CHECK int people_make_first(struct account *account, struct err *err);

#endif
