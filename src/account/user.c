/* SPDX-License-Identifier: Apache-2.0
 *
 * user: people, by name and password. Names compare without case. See account.h.
 */
#include "base/clock.h"
#include "db.h"
#include "password.h"

static int check_name(const char *name, struct err *err)
{
    return db_check_name("user name", name, ACCOUNT_NAME_BYTES - 1, err);
}

int account_user_add(struct account *a, const char *name, const char *password, struct err *err)
{
    char hash[PASSWORD_HASH_BYTES];
    int64_t now = clock_real_us();
    int rc = check_name(name, err);
    if (rc == 0)
        rc = password_hash(password, hash, err);
    if (rc == 0)
        rc = db_run(a, NULL, err,
                    "INSERT INTO user (name, password, created_us, changed_us) VALUES ($1, $2, $3, $3)",
                    DB_ARGS(TEXT(name), TEXT(hash), INT(now)));
    return rc == ERR_EXISTS ? err_set(err, rc, "user '%s' exists already", name) : rc;
}

struct change {
    const char *name, *hash;
};

static int change_password(struct account *a, void *arg, struct err *err)
{
    const struct change *change = arg;
    int changes = 0;
    int rc = db_run(a, &changes, err, "UPDATE user SET password = $2, changed_us = $3 WHERE name = $1",
                    DB_ARGS(TEXT(change->name), TEXT(change->hash), INT(clock_real_us())));
    if (rc == 0 && changes == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no user '%s'", change->name);
    return rc != 0 ? rc
                   : db_run(a, NULL, err,
                            "DELETE FROM session WHERE user IN (SELECT id FROM user WHERE name = $1)",
                            DB_ARGS(TEXT(change->name)));
}

int account_user_set_password(struct account *a, const char *name, const char *password, struct err *err)
{
    char hash[PASSWORD_HASH_BYTES];
    struct change change = {name, hash};
    int rc = check_name(name, err);
    if (rc == 0)
        rc = password_hash(password, hash, err);
    return rc != 0 ? rc : account_atomically(a, change_password, &change, err);
}

static int remove_user(struct account *a, void *arg, struct err *err)
{
    const char *name = arg;
    int64_t others = 0;
    int changes = 0;
    int rc = db_integer(a, &others, err, "SELECT count(*) FROM user WHERE name <> $1", DB_ARGS(TEXT(name)));
    if (rc == 0)
        rc = db_run(a, &changes, err, "DELETE FROM user WHERE name = $1", DB_ARGS(TEXT(name)));
    if (rc == 0 && changes == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no user '%s'", name);
    if (rc == 0 && others == 0)
        return err_set(err, ERR_CONFLICT, "'%s' is the last user: add another one first", name);
    return rc;
}

int account_user_remove(struct account *a, const char *name, struct err *err)
{
    int rc = check_name(name, err);
    return rc != 0 ? rc : account_atomically(a, remove_user, (void *)(uintptr_t)name, err);
}

int account_user_list(struct account *a, int (*row)(void *, const struct account_user *), void *arg,
                      struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err, "SELECT id, name, created_us, changed_us FROM user ORDER BY name", NULL, 0);
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_user user = {
            .id = (uint32_t)sqlite3_column_int64(stmt, 0),
            .name = db_text(stmt, 1),
            .created_us = sqlite3_column_int64(stmt, 2),
            .changed_us = sqlite3_column_int64(stmt, 3),
        };
        rc = row(arg, &user);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

/* Of an unknown name: id 0 and an empty hash. */
static int find(struct account *a, const char *name, uint32_t *id, char hash[PASSWORD_HASH_BYTES],
                struct err *err)
{
    sqlite3_stmt *stmt;
    *id = 0;
    hash[0] = '\0';
    int rc = db_begin(a, &stmt, err, "SELECT id, password FROM user WHERE name = $1", DB_ARGS(TEXT(name)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        *id = (uint32_t)sqlite3_column_int64(stmt, 0);
        rc = slice_to_string(slice_of(db_text(stmt, 1)), hash, PASSWORD_HASH_BYTES);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

int account_user_check(struct account *a, const char *name, struct slice password, uint32_t *id,
                       struct err *err)
{
    char hash[PASSWORD_HASH_BYTES];
    int rc = find(a, name, id, hash, err);
    return rc != 0 ? rc : password_check(hash, password, err);
}
