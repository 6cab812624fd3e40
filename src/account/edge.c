/* SPDX-License-Identifier: Apache-2.0
 *
 * edge: which CURVE key speaks for which of a tenant's edge ids, pinned at first use. See account.h.
 */
#include "db.h"

#include <stdio.h>

enum { EDGE_ID_BYTES = 64, CURVE_Z85_BYTES = 40 };

struct pin {
    uint32_t tenant;
    const char *edge, *curve_key;
    int64_t now_us;
};

/* 0: this very pin is there; ERR_NOT_FOUND; ERR_DENIED. */
static int compare(struct account *a, const struct pin *pin, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, "SELECT curve_key FROM edge WHERE tenant = $1 AND id = $2",
                      DB_ARGS(INT(pin->tenant), TEXT(pin->edge)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == ERR_END)
        rc = ERR_NOT_FOUND;
    else if (rc == 0 && strcmp(db_text(stmt, 0), pin->curve_key) != 0)
        rc =
            err_set(err, ERR_DENIED,
                    "edge '%s' is pinned to another key: `mail-analytics edge remove` forgets it", pin->edge);
    db_end(a, stmt);
    return rc;
}

static int pin_now(struct account *a, void *arg, struct err *err)
{
    const struct pin *pin = arg;
    int rc = compare(a, pin, err);
    if (rc != ERR_NOT_FOUND)
        return rc;
    return db_run(a, NULL, err,
                  "INSERT INTO edge (tenant, id, curve_key, first_seen_us) VALUES ($1, $2, $3, $4)",
                  DB_ARGS(INT(pin->tenant), TEXT(pin->edge), TEXT(pin->curve_key), INT(pin->now_us)));
}

int account_edge_pin(struct account *a, uint32_t tenant, const char *edge, const char *curve_key_z85,
                     int64_t now_us, struct err *err)
{
    struct pin pin = {tenant, edge, curve_key_z85, now_us};
    int rc = db_check_name("edge id", edge, EDGE_ID_BYTES, err);
    if (rc != 0)
        return rc;
    if (strlen(curve_key_z85) != CURVE_Z85_BYTES)
        return err_set(err, ERR_INVALID, "a CURVE key has 40 characters (Z85)");
    rc = compare(a, &pin, err); /* the usual case writes nothing and waits for nobody */
    return rc == ERR_NOT_FOUND ? account_atomically(a, pin_now, &pin, err) : rc;
}

static void read_edge(sqlite3_stmt *stmt, struct account_edge *out)
{
    *out = (struct account_edge){
        .tenant = (uint32_t)sqlite3_column_int64(stmt, 0),
        .id = db_text(stmt, 1),
        .first_seen_us = sqlite3_column_int64(stmt, 3),
        .comment = db_text(stmt, 4),
    };
    (void)snprintf(out->curve_key, sizeof out->curve_key, "%s", db_text(stmt, 2));
}

int account_edge_list(struct account *a, uint32_t tenant, int (*row)(void *, const struct account_edge *),
                      void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc =
        db_begin(a, &stmt, err,
                 "SELECT tenant, id, curve_key, first_seen_us, comment FROM edge WHERE $1 = 0 OR tenant = $1"
                 " ORDER BY id, tenant",
                 DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_edge edge;
        read_edge(stmt, &edge);
        rc = row(arg, &edge);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}

static int no_edge(const char *edge, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "the tenant has no edge '%s'", edge);
}

int account_edge_get(struct account *a, uint32_t tenant, const char *id,
                     int (*row)(void *, const struct account_edge *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    struct account_edge edge;
    int rc = db_begin(a, &stmt, err,
                      "SELECT tenant, id, curve_key, first_seen_us, comment FROM edge"
                      " WHERE tenant = $1 AND id = $2",
                      DB_ARGS(INT(tenant), TEXT(id)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        read_edge(stmt, &edge);
        rc = row(arg, &edge);
    }
    db_end(a, stmt);
    return rc == ERR_END ? no_edge(id, err) : rc;
}

int account_edge_comment(struct account *a, uint32_t tenant, const char *edge, const char *comment,
                         struct err *err)
{
    int changes = 0;
    int rc = db_check_comment(comment, err);
    if (rc == 0)
        rc = db_run(a, &changes, err, "UPDATE edge SET comment = $3 WHERE tenant = $1 AND id = $2",
                    DB_ARGS(INT(tenant), TEXT(edge), TEXT(comment)));
    return rc == 0 && changes == 0 ? no_edge(edge, err) : rc;
}

int account_edge_forget(struct account *a, uint32_t tenant, const char *edge, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM edge WHERE tenant = $1 AND id = $2",
                    DB_ARGS(INT(tenant), TEXT(edge)));
    return rc == 0 && changes == 0 ? no_edge(edge, err) : rc;
}
