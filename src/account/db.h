/* SPDX-License-Identifier: Apache-2.0
 *
 * db: SQLite for the account room alone: statements with bound parameters, nested transactions, SQLite's
 * results as our error codes. SQL texts number their parameters $1, $2, … so that the same texts can serve
 * PostgreSQL; SQLite sees these as names, hence binding looks them up by name. One handle a thread.
 */
#ifndef ACCOUNT_DB_H
#define ACCOUNT_DB_H

#include "account.h"

#include <sqlite3.h>

enum { DB_STATEMENTS = 80, DB_BUSY_MS = 5000 };

struct db_slot {
    const char *sql; /* a literal: compared by address */
    sqlite3_stmt *stmt;
    bool taken;
};

struct account {
    sqlite3 *db;
    unsigned depth; /* of nested transactions */
    uint64_t generation;
    uint32_t data_version;
    struct db_slot slots[DB_STATEMENTS];
};

struct db_arg {
    enum { DB_INT, DB_TEXT, DB_BLOB } type;
    int64_t integer;
    const void *bytes; /* borrowed until db_end */
    size_t n;
};
#define INT(value)        ((struct db_arg){DB_INT, (int64_t)(value), NULL, 0})
#define TEXT(value)       ((struct db_arg){DB_TEXT, 0, (value), strlen(value)})
#define BLOB(value, size) ((struct db_arg){DB_BLOB, 0, (value), (size)})
#define DB_ARGS(...)                                                                                         \
    (struct db_arg[]){__VA_ARGS__}, sizeof((struct db_arg[]){__VA_ARGS__}) / sizeof(struct db_arg)

/* sql is a string literal. *out is to be given back with db_end on every path, also when this fails. */
MUST_CHECK int db_begin(struct account *a, sqlite3_stmt **out, struct err *err, const char *sql,
                        const struct db_arg *args, size_t count);
void db_end(struct account *a, sqlite3_stmt *stmt);

/* 0: a row is there; ERR_END: no more rows. */
MUST_CHECK int db_step(struct account *a, sqlite3_stmt *stmt, struct err *err);

/* Runs a statement without result rows; *changes (may be NULL) counts the rows changed. */
MUST_CHECK int db_run(struct account *a, int *changes, struct err *err, const char *sql,
                      const struct db_arg *args, size_t count);
/* The first column of the first row as an integer; ERR_NOT_FOUND without a row. */
MUST_CHECK int db_integer(struct account *a, int64_t *out, struct err *err, const char *sql,
                          const struct db_arg *args, size_t count);
/* Plain text without parameters, several statements allowed: schema and pragmas. */
MUST_CHECK int db_script(struct account *a, const char *sql, struct err *err);

/* The present failure of the handle as one of our codes. */
int db_error(struct account *a, struct err *err);

/* A text column, "" for NULL; valid until the next step. */
const char *db_text(sqlite3_stmt *stmt, int column);
/* An address column; the zero address when it has not 16 bytes. */
void db_prefix(sqlite3_stmt *stmt, int net_column, int bits_column, struct ip_prefix *out);

/* Checks shared by the nouns: ERR_INVALID with what is allowed. what: "tenant name". */
MUST_CHECK int db_check_name(const char *what, const char *name, size_t max_bytes, struct err *err);
MUST_CHECK int db_check_comment(const char *comment, struct err *err);

#endif
