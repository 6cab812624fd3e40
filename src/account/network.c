/* SPDX-License-Identifier: Apache-2.0
 *
 * network: a tenant's networks, trusted or explicitly not (a hole in a larger one). See account.h.
 */
#include "db.h"

enum { COMMENT_BYTES = 255 };

static int check_comment(const char *comment, struct err *err)
{
    struct slice s = slice_of(comment);
    bool good = s.n <= COMMENT_BYTES && text_is_utf8(s);
    for (size_t i = 0; good && i < s.n; i++)
        good = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f;
    return good ? 0 : err_set(err, ERR_INVALID, "a comment has at most 255 bytes of UTF-8 on one line");
}

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
    int rc = check_comment(comment, err);
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
    int rc = check_comment(comment, err);
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

int account_network_remove(struct account *a, uint32_t tenant, struct ip_prefix prefix, struct err *err)
{
    int changes = 0;
    char text[IP_TEXT_BYTES];
    int rc = db_run(a, &changes, err, "DELETE FROM network WHERE tenant = $1 AND net = $2 AND bits = $3",
                    DB_ARGS(INT(tenant), BLOB(prefix.net.b, sizeof prefix.net.b), INT(prefix.bits)));
    if (rc != 0 || changes > 0)
        return rc;
    ip_prefix_format(&prefix, text);
    return err_set(err, ERR_NOT_FOUND, "the tenant has no network %s", text);
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
        struct account_network network = {
            .tenant = (uint32_t)sqlite3_column_int64(stmt, 0),
            .trusted = sqlite3_column_int(stmt, 3) != 0,
            .comment = db_text(stmt, 4),
        };
        db_prefix(stmt, 1, 2, &network.prefix);
        rc = row(arg, &network);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}
