/* SPDX-License-Identifier: Apache-2.0
 *
 * tenant: names and ids of tenants. Names compare without case. See account.h.
 */
#include "base/clock.h"
#include "db.h"

int account_tenant_add(struct account *a, const char *name, uint32_t *id, struct err *err)
{
    int rc = db_check_name("tenant name", name, ACCOUNT_NAME_BYTES - 1, err);
    if (rc != 0)
        return rc;
    rc = db_run(a, NULL, err, "INSERT INTO tenant (name, created_us) VALUES ($1, $2)",
                DB_ARGS(TEXT(name), INT(clock_real_us())));
    if (rc == ERR_EXISTS)
        return err_set(err, rc, "tenant '%s' exists already", name);
    if (rc == 0 && id != NULL)
        *id = (uint32_t)sqlite3_last_insert_rowid(a->db);
    return rc;
}

int account_tenant_find(struct account *a, const char *name, uint32_t *id, struct err *err)
{
    int64_t found = 0;
    int rc = db_check_name("tenant name", name, ACCOUNT_NAME_BYTES - 1, err);
    if (rc == 0)
        rc = db_integer(a, &found, err, "SELECT id FROM tenant WHERE name = $1", DB_ARGS(TEXT(name)));
    if (rc == ERR_NOT_FOUND)
        return err_set(err, rc, "there is no tenant '%s'", name);
    if (rc == 0)
        *id = (uint32_t)found;
    return rc;
}

int account_tenant_name(struct account *a, uint32_t id, char *name, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, "SELECT name FROM tenant WHERE id = $1", DB_ARGS(INT(id)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = err_set(err, ERR_NOT_FOUND, "there is no tenant %u", id);
    else if (rc == 0)
        rc = slice_to_string(slice_of(db_text(stmt, 0)), name, ACCOUNT_NAME_BYTES);
    db_end(a, stmt);
    return rc;
}

int account_tenant_rename(struct account *a, uint32_t id, const char *name, struct err *err)
{
    int changes = 0;
    int rc = db_check_name("tenant name", name, ACCOUNT_NAME_BYTES - 1, err);
    if (rc == 0)
        rc = db_run(a, &changes, err, "UPDATE tenant SET name = $2 WHERE id = $1",
                    DB_ARGS(INT(id), TEXT(name)));
    if (rc == ERR_EXISTS)
        return err_set(err, rc, "tenant '%s' exists already", name);
    return rc == 0 && changes == 0 ? err_set(err, ERR_NOT_FOUND, "there is no tenant %u", id) : rc;
}

int account_tenant_remove(struct account *a, uint32_t id, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM tenant WHERE id = $1", DB_ARGS(INT(id)));
    return rc == 0 && changes == 0 ? err_set(err, ERR_NOT_FOUND, "there is no tenant %u", id) : rc;
}

int account_tenant_list(struct account *a, int (*row)(void *, const struct account_tenant *), void *arg,
                        struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, "SELECT id, name, created_us, rule_version FROM tenant ORDER BY name",
                      NULL, 0);
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_tenant tenant = {
            .id = (uint32_t)sqlite3_column_int64(stmt, 0),
            .name = db_text(stmt, 1),
            .created_us = sqlite3_column_int64(stmt, 2),
            .rule_version = (uint32_t)sqlite3_column_int64(stmt, 3),
        };
        rc = row(arg, &tenant);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}
