/* SPDX-License-Identifier: Apache-2.0
 *
 * network: a tenant's networks, trusted or explicitly not (a hole in a larger one). See account.h.
 */
#include "db.h"

static int exists(const struct ip_prefix *prefix, struct err *err)
{
    char text[IP_TEXT_BYTES];
    ip_prefix_format(prefix, text);
    return err_set(err, ERR_EXISTS, "network %s exists already", text);
}

int account_network_add(struct account *a, const struct account_network *network, struct err *err)
{
    const char *comment = network->comment != NULL ? network->comment : "";
    const struct ip_prefix *prefix = &network->prefix;
    int rc = db_check_comment(comment, err);
    if (rc == 0)
        rc = db_run(a, NULL, err,
                    "INSERT INTO network (tenant, net, bits, trusted, comment) VALUES ($1, $2, $3, $4, $5)",
                    DB_ARGS(INT(network->tenant), BLOB(prefix->net.b, sizeof prefix->net.b),
                            INT(prefix->bits), INT(network->trusted), TEXT(comment)));
    return rc == ERR_EXISTS ? exists(prefix, err) : rc;
}

int account_network_put(struct account *a, const struct account_network *network, bool *changed,
                        struct err *err)
{
    int changes = 0;
    const char *comment = network->comment != NULL ? network->comment : "";
    const struct ip_prefix *prefix = &network->prefix;
    int rc = db_check_comment(comment, err);
    if (rc == 0)
        rc = db_run(a, &changes, err,
                    "INSERT INTO network (tenant, net, bits, trusted, comment) VALUES ($1, $2, $3, $4, $5)"
                    " ON CONFLICT (tenant, net, bits) DO UPDATE SET trusted = $4, comment = $5"
                    " WHERE network.trusted <> $4 OR network.comment <> $5",
                    DB_ARGS(INT(network->tenant), BLOB(prefix->net.b, sizeof prefix->net.b),
                            INT(prefix->bits), INT(network->trusted), TEXT(comment)));
    if (rc == 0)
        *changed = changes > 0;
    return rc;
}

static int no_network(const struct ip_prefix *prefix, struct err *err)
{
    char text[IP_TEXT_BYTES];
    ip_prefix_format(prefix, text);
    return err_set(err, ERR_NOT_FOUND, "the tenant has no network %s", text);
}

static void read_network(sqlite3_stmt *stmt, struct account_network *out)
{
    *out = (struct account_network){
        .tenant = (uint32_t)sqlite3_column_int64(stmt, 0),
        .trusted = sqlite3_column_int(stmt, 3) != 0,
        .comment = db_text(stmt, 4),
    };
    db_prefix(stmt, 1, 2, &out->prefix);
}

int account_network_get(struct account *a, uint32_t tenant, struct ip_prefix prefix,
                        int (*row)(void *, const struct account_network *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    struct account_network network;
    int rc = db_begin(a, &stmt, err,
                      "SELECT tenant, net, bits, trusted, comment FROM network"
                      " WHERE tenant = $1 AND net = $2 AND bits = $3",
                      DB_ARGS(INT(tenant), BLOB(prefix.net.b, sizeof prefix.net.b), INT(prefix.bits)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        read_network(stmt, &network);
        rc = row(arg, &network);
    }
    db_end(a, stmt);
    return rc == ERR_END ? no_network(&prefix, err) : rc;
}

int account_network_remove(struct account *a, uint32_t tenant, struct ip_prefix prefix, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM network WHERE tenant = $1 AND net = $2 AND bits = $3",
                    DB_ARGS(INT(tenant), BLOB(prefix.net.b, sizeof prefix.net.b), INT(prefix.bits)));
    return rc == 0 && changes == 0 ? no_network(&prefix, err) : rc;
}

int account_network_list(struct account *a, uint32_t tenant,
                         int (*row)(void *, const struct account_network *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err,
                      "SELECT tenant, net, bits, trusted, comment FROM network WHERE $1 = 0 OR tenant = $1"
                      " ORDER BY tenant, net, bits",
                      DB_ARGS(INT(tenant)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_network network;
        read_network(stmt, &network);
        rc = row(arg, &network);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}
