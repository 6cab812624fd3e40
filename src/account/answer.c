/* SPDX-License-Identifier: Apache-2.0
 *
 * answer: what a creating request was answered, for who sends it again. See account.h.
 */
#include "db.h"

#define KEPT_US (INT64_C(24) * 3600 * 1000000)

int account_answer_find(struct account *a, const struct account_answer *wanted, int64_t now_us,
                        int (*row)(void *, const struct account_answer *), void *arg, struct err *err)
{
    sqlite3_stmt *stmt;
    struct account_answer answer = *wanted;
    int rc =
        db_begin(a, &stmt, err,
                 "SELECT request, status, answer FROM answer"
                 " WHERE tenant = $1 AND key = $2 AND created_us > $3",
                 DB_ARGS(INT(wanted->tenant), BLOB(wanted->key, sizeof wanted->key), INT(now_us - KEPT_US)));
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == 0) {
        memcpy(answer.request, sqlite3_column_blob(stmt, 0), sizeof answer.request);
        answer.status = sqlite3_column_int(stmt, 1);
        answer.answer = (struct slice){sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2)};
        rc = row(arg, &answer);
    }
    db_end(a, stmt);
    return rc == ERR_END ? ERR_NOT_FOUND : rc;
}

int account_answer_keep(struct account *a, const struct account_answer *answer, int64_t now_us,
                        struct err *err)
{
    int rc = db_run(a, NULL, err,
                    "DELETE FROM answer WHERE tenant = $1 AND (created_us <= $2 OR created_us <="
                    " (SELECT created_us FROM answer WHERE tenant = $1 ORDER BY created_us DESC LIMIT 1"
                    " OFFSET $3))",
                    DB_ARGS(INT(answer->tenant), INT(now_us - KEPT_US), INT(ACCOUNT_ANSWERS - 1)));
    return rc != 0 ? rc
                   : db_run(a, NULL, err,
                            "INSERT INTO answer (tenant, key, request, status, answer, created_us)"
                            " VALUES ($1, $2, $3, $4, $5, $6)",
                            DB_ARGS(INT(answer->tenant), BLOB(answer->key, sizeof answer->key),
                                    BLOB(answer->request, sizeof answer->request), INT(answer->status),
                                    BLOB(answer->answer.p, answer->answer.n), INT(now_us)));
}
