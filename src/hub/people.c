/* SPDX-License-Identifier: Apache-2.0
 *
 * people: see people.h.
 */
#include "people.h"

#include "loop/notify.h"

#include <sodium.h>
#include <stdio.h>

#define FIRST "admin"

static int found(void *arg, const struct account_user *user)
{
    (void)user;
    *(bool *)arg = true;
    return 0;
}

static void tell(const char *password)
{
    if (notify_stderr_is_kept())
        (void)fprintf(stderr, "administrator '" FIRST "' is made: `mail-analytics user reset " FIRST
                              "` prints a password to log in with\n");
    else
        (void)fprintf(stderr,
                      "administrator '" FIRST "' is made, with the password %s\n"
                      "(shown this once; `mail-analytics user reset " FIRST "` prints another)\n",
                      password);
}

int people_make_first(struct account *account, struct err *err)
{
    char password[ACCOUNT_PASSWORD_BYTES];
    bool somebody = false;
    int rc = account_user_list(account, found, &somebody, err);
    if (rc != 0 || somebody)
        return rc;
    account_password_make(password);
    rc = account_user_add(account, FIRST, password, err);
    if (rc == 0)
        rc = account_audit(account, 0, "hub", "user add", FIRST, err);
    if (rc == 0)
        tell(password);
    sodium_memzero(password, sizeof password);
    return rc;
}
