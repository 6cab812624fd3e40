/* SPDX-License-Identifier: Apache-2.0
 *
 * tombstone: see tombstone.h.
 */
#include "tombstone.h"

#include "base/clock.h"
#include "db.h"

#define COLUMNS "id, tenant, address, before_us, created_us, who"

/* Lower case into out. */
static int canonical(const char *address, char out[TOMBSTONE_ADDRESS_BYTES], struct err *err)
{
    struct slice s = slice_of(address);
    if (s.n >= TOMBSTONE_ADDRESS_BYTES)
        return err_set(err, ERR_LIMIT, "an address has at most %d bytes", TOMBSTONE_ADDRESS_BYTES - 1);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return err_set(err, ERR_INVALID, "an address has no control characters");
    text_lower(s, out);
    out[s.n] = '\0';
    return 0;
}

int account_tombstone_add(struct account *a, const struct account_tombstone *tombstone, uint64_t *id,
                          struct err *err)
{
    char address[TOMBSTONE_ADDRESS_BYTES];
    int64_t found = 0;
    int rc = canonical(tombstone->address, address, err);
    if (rc == 0)
        rc = db_run(
            a, NULL, err,
            "INSERT INTO tombstone (tenant, address, before_us, created_us, who) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (tenant, address) DO UPDATE SET before_us = max(before_us, $3), who = $5",
            DB_ARGS(INT(tombstone->tenant), TEXT(address), INT(tombstone->before_us), INT(clock_real_us()),
                    TEXT(tombstone->who)));
    if (rc == 0)
        rc = db_integer(a, &found, err, "SELECT id FROM tombstone WHERE tenant = $1 AND address = $2",
                        DB_ARGS(INT(tombstone->tenant), TEXT(address)));
    if (rc == 0 && id != NULL)
        *id = (uint64_t)found;
    return rc;
}

static struct account_tombstone read_tombstone(sqlite3_stmt *stmt)
{
    return (struct account_tombstone){
        .id = (uint64_t)sqlite3_column_int64(stmt, 0),
        .tenant = (uint32_t)sqlite3_column_int64(stmt, 1),
        .address = db_text(stmt, 2),
        .before_us = sqlite3_column_int64(stmt, 3),
        .created_us = sqlite3_column_int64(stmt, 4),
        .who = db_text(stmt, 5),
    };
}

int account_tombstone_list(struct account *a, uint32_t tenant,
                           int (*row)(void *, const struct account_tombstone *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err,
                 "SELECT " COLUMNS " FROM tombstone WHERE $1 = 0 OR tenant = $1 ORDER BY tenant, address",
                 DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_tombstone tombstone = read_tombstone(stmt);
        rc = row(arg, &tombstone);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

int account_tombstone_get(struct account *a, uint64_t id,
                          int (*row)(void *, const struct account_tombstone *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, "SELECT " COLUMNS " FROM tombstone WHERE id = $1", DB_ARGS(INT(id)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = err_set(err, ERR_NOT_FOUND, "there is no tombstone %llu", (unsigned long long)id);
    else if (rc == 0) {
        struct account_tombstone tombstone = read_tombstone(stmt);
        rc = row(arg, &tombstone);
    }
    db_end(a, stmt);
    return rc;
}

int account_tombstone_remove(struct account *a, uint32_t tenant, uint64_t id, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM tombstone WHERE id = $1 AND ($2 = 0 OR tenant = $2)",
                    DB_ARGS(INT(id), INT(tenant)));
    return rc == 0 && changes == 0
               ? err_set(err, ERR_NOT_FOUND, "there is no tombstone %llu", (unsigned long long)id)
               : rc;
}
