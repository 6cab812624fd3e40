/* SPDX-License-Identifier: Apache-2.0
 *
 * session: where people are logged in. The token is seen once; BLAKE2b-256 of it is what stays, and looking a
 * session up is looking its hash up, so that time tells nothing about stored tokens. See account.h.
 */
#include "db.h"

#include <sodium.h>

enum { TOKEN_RANDOM_BYTES = 32, TOKEN_HASH_BYTES = 32 };

static void hash_token(struct slice token, uint8_t out[TOKEN_HASH_BYTES])
{
    (void)crypto_generichash(out, TOKEN_HASH_BYTES, (const unsigned char *)token.p, token.n, NULL, 0);
}

static void make_token(char token[ACCOUNT_TOKEN_BYTES])
{
    uint8_t random[TOKEN_RANDOM_BYTES];
    randombytes_buf(random, sizeof random);
    sodium_bin2base64(token, ACCOUNT_TOKEN_BYTES, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
}

struct beginning {
    uint32_t user;
    const struct ip *from;
    int64_t now_us;
    const uint8_t *hash;
};

static int begin(struct account *a, void *arg, struct err *err)
{
    const struct beginning *b = arg;
    int rc = db_run(a, NULL, err,
                    "DELETE FROM session WHERE user = $1 AND id NOT IN"
                    " (SELECT id FROM session WHERE user = $1 ORDER BY id DESC LIMIT $2)",
                    DB_ARGS(INT(b->user), INT(ACCOUNT_SESSIONS - 1)));
    return rc != 0 ? rc
                   : db_run(a, NULL, err,
                            "INSERT INTO session (hash, user, address, created_us, seen_us)"
                            " VALUES ($1, $2, $3, $4, $4)",
                            DB_ARGS(BLOB(b->hash, TOKEN_HASH_BYTES), INT(b->user),
                                    BLOB(b->from->b, sizeof b->from->b), INT(b->now_us)));
}

int account_session_begin(struct account *a, uint32_t user, const struct ip *from, int64_t now_us,
                          char token[ACCOUNT_TOKEN_BYTES], struct err *err)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct beginning beginning = {user, from, now_us, hash};
    make_token(token);
    hash_token(slice_of(token), hash);
    return account_atomically(a, begin, &beginning, err);
}

#define SESSION_COLUMNS                                                                                      \
    "session.id, session.user, user.name, session.address, session.created_us, session.seen_us"              \
    " FROM session JOIN user ON user.id = session.user"

static void read_session(sqlite3_stmt *stmt, struct account_session *out)
{
    const void *address = sqlite3_column_blob(stmt, 3);
    *out = (struct account_session){
        .id = (uint32_t)sqlite3_column_int64(stmt, 0),
        .user = (uint32_t)sqlite3_column_int64(stmt, 1),
        .created_us = sqlite3_column_int64(stmt, 4),
        .seen_us = sqlite3_column_int64(stmt, 5),
    };
    (void)!slice_to_string(slice_of(db_text(stmt, 2)), out->user_name, sizeof out->user_name);
    if (address != NULL && sqlite3_column_bytes(stmt, 3) == (int)sizeof out->address.b)
        memcpy(out->address.b, address, sizeof out->address.b);
}

static bool is_over(const struct account_session *session, const struct account_session_limits *limits,
                    int64_t now_us)
{
    return now_us - session->created_us >= limits->lifetime_us ||
           now_us - session->seen_us >= limits->idle_us + ACCOUNT_SEEN_US;
}

int account_session_check(struct account *a, struct slice token, const struct account_session_limits *limits,
                          int64_t now_us, struct account_session *out, struct err *err)
{
    sqlite3_stmt *stmt;
    uint8_t hash[TOKEN_HASH_BYTES];
    hash_token(token, hash);
    int rc = db_begin(a, &stmt, err, "SELECT " SESSION_COLUMNS " WHERE hash = $1",
                      DB_ARGS(BLOB(hash, sizeof hash)));
    if (rc == 0 && (rc = db_step(a, stmt, err)) == 0)
        read_session(stmt, out);
    db_end(a, stmt);
    if (rc == ERR_END || (rc == 0 && is_over(out, limits, now_us)))
        return err_set(err, ERR_UNAUTHENTICATED, "the session is over: log in again");
    if (rc != 0 || now_us - out->seen_us < ACCOUNT_SEEN_US)
        return rc;
    return db_run(a, NULL, err, "UPDATE session SET seen_us = $2 WHERE id = $1",
                  DB_ARGS(INT(out->id), INT(now_us)));
}

int account_session_end(struct account *a, uint32_t user, uint32_t id, struct err *err)
{
    int changes = 0;
    int rc = db_run(a, &changes, err, "DELETE FROM session WHERE user = $1 AND ($2 = 0 OR id = $2)",
                    DB_ARGS(INT(user), INT(id)));
    return rc == 0 && changes == 0 ? err_set(err, ERR_NOT_FOUND, "there is no such session") : rc;
}

int account_session_list(struct account *a, uint32_t user, const struct account_session_limits *limits,
                         int64_t now_us, int (*row)(void *, const struct account_session *), void *arg,
                         struct err *err)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, "SELECT " SESSION_COLUMNS " WHERE user = $1 ORDER BY session.id DESC",
                      DB_ARGS(INT(user)));
    while (rc == 0 && (rc = db_step(a, stmt, err)) == 0) {
        struct account_session session;
        read_session(stmt, &session);
        if (!is_over(&session, limits, now_us))
            rc = row(arg, &session);
    }
    db_end(a, stmt);
    return rc == ERR_END ? 0 : rc;
}
