/* SPDX-License-Identifier: Apache-2.0
 *
 * retention: see retention.h.
 */
#include "retention.h"

#include "base/clock.h"
#include "db.h"

static const int64_t day_us = 86400 * US_PER_SECOND;

#define X(name, text) text,
static const char *const names[] = {RETENTION_KINDS(X)};
#undef X

const char *account_retention_kind(enum retention_kind kind)
{
    return kind < RETENTION_KIND_COUNT ? names[kind] : "?";
}

int account_retention_kind_parse(const char *name, enum retention_kind *out)
{
    for (size_t i = 0; i < RETENTION_KIND_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum retention_kind)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

int account_retention_set(struct account *a, const struct account_retention *retention, struct err *err)
{
    if (retention->keep_us != 0 && retention->keep_us < day_us)
        return err_set(err, ERR_INVALID, "data is kept for a day at least, or for ever (0)");
    return db_run(a, NULL, err,
                  "INSERT INTO retention (tenant, kind, keep_us) VALUES ($1, $2, $3)"
                  " ON CONFLICT (tenant, kind) DO UPDATE SET keep_us = $3",
                  DB_ARGS(INT(retention->tenant), TEXT(account_retention_kind(retention->kind)),
                          INT(retention->keep_us)));
}

int account_retention_unset(struct account *a, uint32_t tenant, enum retention_kind kind, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM retention WHERE tenant = $1 AND kind = $2",
                    DB_ARGS(INT(tenant), TEXT(account_retention_kind(kind))));
    return rc == 0 && changes == 0
               ? err_set(err, ERR_NOT_FOUND, "the tenant has no retention of its own for %s",
                         account_retention_kind(kind))
               : rc;
}

int account_retention_list(struct account *a, uint32_t tenant,
                           int (*row)(void *, const struct account_retention *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err,
                      "SELECT tenant, kind, keep_us FROM retention WHERE $1 = 0 OR tenant = $1"
                      " ORDER BY tenant, kind",
                      DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_retention retention = {
            .tenant = (uint32_t)sqlite3_column_int64(stmt, 0),
            .keep_us = sqlite3_column_int64(stmt, 2),
        };
        if (account_retention_kind_parse(db_text(stmt, 1), &retention.kind) == 0)
            rc = row(arg, &retention);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

int account_audit_expire(struct account *a, uint32_t tenant, int64_t before_us, uint64_t *removed,
                         struct err *err)
{
    int changes = 0;
    int rc = tenant != 0 ? db_run(a, &changes, err, "DELETE FROM audit WHERE tenant = $1 AND at_us < $2",
                                  DB_ARGS(INT(tenant), INT(before_us)))
                         : db_run(a, &changes, err,
                                  "DELETE FROM audit WHERE at_us < $1 AND tenant NOT IN"
                                  " (SELECT tenant FROM retention WHERE kind = 'audit')",
                                  DB_ARGS(INT(before_us)));
    *removed += rc == 0 ? (uint64_t)changes : 0;
    return rc;
}
