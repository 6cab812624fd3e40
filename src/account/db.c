/* SPDX-License-Identifier: Apache-2.0
 *
 * db: see db.h.
 */
#include "db.h"

#include <stdio.h>

static int code_of(sqlite3 *db)
{
    switch (sqlite3_extended_errcode(db)) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
        return ERR_EXISTS;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return ERR_NOT_FOUND;
    case SQLITE_CONSTRAINT_TRIGGER: /* the schema's limits */
        return ERR_LIMIT;
    default:
        break;
    }
    switch (sqlite3_errcode(db)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    default:
        return ERR_IO;
    }
}

int db_error(struct account *a, struct err *err)
{
    int code = code_of(a->db);
    const char *said = sqlite3_errmsg(a->db);
    switch (code) {
    case ERR_EXISTS:
        return err_set(err, code, "it exists already");
    case ERR_NOT_FOUND:
        return err_set(err, code, "no such tenant");
    case ERR_LIMIT:
        return err_set(err, code, "%s", said);
    case ERR_BUSY:
        return err_set(err, code, "the account file is in use by another process (%s), try again", said);
    case ERR_FULL:
        return err_set(err, code, "account file %s: no space left (%s): make room on its disk",
                       sqlite3_db_filename(a->db, "main"), said);
    default:
        return err_set(err, code, "account file %s: %s", sqlite3_db_filename(a->db, "main"), said);
    }
}

static int take_statement(struct account *a, sqlite3_stmt **out, struct err *err, const char *sql)
{
    struct db_slot *empty = NULL;
    for (size_t i = 0; i < DB_STATEMENTS; i++) {
        struct db_slot *slot = &a->slots[i];
        if (slot->sql == sql && !slot->taken) {
            slot->taken = true;
            *out = slot->stmt;
            return 0;
        }
        if (slot->sql == NULL && empty == NULL)
            empty = slot;
    }
    if (sqlite3_prepare_v3(a->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
        return db_error(a, err);
    if (empty != NULL)
        *empty = (struct db_slot){sql, *out, true};
    return 0;
}

static int bind(sqlite3_stmt *stmt, size_t number, const struct db_arg *arg)
{
    char name[24];
    (void)snprintf(name, sizeof name, "$%zu", number);
    int at = sqlite3_bind_parameter_index(stmt, name);
    switch (arg->type) {
    case DB_INT:
        return sqlite3_bind_int64(stmt, at, arg->integer);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, at, arg->bytes, arg->n, SQLITE_STATIC, SQLITE_UTF8);
    default:
        return sqlite3_bind_blob64(stmt, at, arg->bytes, arg->n, SQLITE_STATIC);
    }
}

int db_begin(struct account *a, sqlite3_stmt **out, struct err *err, const char *sql,
             const struct db_arg *args, size_t count)
{
    *out = NULL;
    int rc = take_statement(a, out, err, sql);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (bind(*out, i + 1, &args[i]) != SQLITE_OK)
            rc = db_error(a, err);
    return rc;
}

void db_end(struct account *a, sqlite3_stmt *stmt)
{
    if (stmt == NULL)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    for (size_t i = 0; i < DB_STATEMENTS; i++)
        if (a->slots[i].stmt == stmt) {
            a->slots[i].taken = false;
            return;
        }
    sqlite3_finalize(stmt);
}

int db_step(struct account *a, sqlite3_stmt *stmt, struct err *err)
{
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        return 0;
    case SQLITE_DONE:
        return ERR_END;
    default:
        return db_error(a, err);
    }
}

int db_run(struct account *a, int *changes, struct err *err, const char *sql, const struct db_arg *args,
           size_t count)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, sql, args, count);
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == 0 || rc == ERR_END) {
        rc = 0;
        if (changes != NULL)
            *changes = sqlite3_changes(a->db);
        if (a->depth == 0)
            a->generation++;
    }
    db_end(a, stmt);
    return rc;
}

int db_integer(struct account *a, int64_t *out, struct err *err, const char *sql, const struct db_arg *args,
               size_t count)
{
    sqlite3_stmt *stmt;
    int rc = db_begin(a, &stmt, err, sql, args, count);
    if (rc == 0)
        rc = db_step(a, stmt, err);
    if (rc == 0)
        *out = sqlite3_column_int64(stmt, 0);
    else if (rc == ERR_END)
        rc = err_set(err, ERR_NOT_FOUND, "no such thing");
    db_end(a, stmt);
    return rc;
}

int db_script(struct account *a, const char *sql, struct err *err)
{
    return sqlite3_exec(a->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(a, err);
}

const char *db_text(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    return text != NULL ? (const char *)text : "";
}

void db_prefix(sqlite3_stmt *stmt, int net_column, int bits_column, struct ip_prefix *out)
{
    const void *net = sqlite3_column_blob(stmt, net_column);
    *out = (struct ip_prefix){.bits = (uint8_t)sqlite3_column_int(stmt, bits_column)};
    if (net != NULL && sqlite3_column_bytes(stmt, net_column) == (int)sizeof out->net.b)
        memcpy(out->net.b, net, sizeof out->net.b);
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

int db_check_name(const char *what, const char *name, size_t max_bytes, struct err *err)
{
    size_t n = strlen(name);
    bool good = n > 0 && n <= max_bytes;
    for (size_t i = 0; good && i < n; i++)
        good = is_name_byte(name[i]);
    return good ? 0
                : err_set(err, ERR_INVALID, "%s must be 1 to %zu letters, digits, '.', '-' or '_'", what,
                          max_bytes);
}

int db_check_comment(const char *comment, struct err *err)
{
    struct slice s = slice_of(comment);
    bool good = s.n <= ACCOUNT_COMMENT_BYTES && text_is_utf8(s);
    for (size_t i = 0; good && i < s.n; i++)
        good = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f;
    return good ? 0
                : err_set(err, ERR_INVALID, "a comment has at most %d bytes of UTF-8 on one line",
                          ACCOUNT_COMMENT_BYTES);
}
