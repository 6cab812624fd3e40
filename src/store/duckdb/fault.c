/* SPDX-License-Identifier: Apache-2.0
 *
 * fault: see fault.h. DuckDB 1.4 tells a full disk, a held lock and a newer file only in words. What is not
 * recognised is taken for the rows' or the file's own fault, so that a row is quarantined or a file set aside
 * for it: the machine's troubles must be in this list.
 */
#include "store/duckdb/fault.h"

#include <string.h>

static const struct {
    const char *words;
    int code;
} by_words[] = {
    {"No space left on device", ERR_FULL},
    {"Disk quota exceeded", ERR_FULL},
    {"not enough disk space", ERR_FULL},
    {"File too large", ERR_FULL},
    {"Could not set lock on file", ERR_BUSY},
    {"Permission denied", ERR_DENIED},
    {"Read-only file system", ERR_DENIED},
    {"Too many open files", ERR_IO},
    {"Input/output error", ERR_IO},
    {"Stale file handle", ERR_IO},
    {"Cannot allocate memory", ERR_LIMIT},
    {"version number", ERR_VERSION},
    {"Out of Memory", ERR_LIMIT},
    {"failed to pin block", ERR_LIMIT},
    {"could not allocate block", ERR_LIMIT},
    {"bad_alloc", ERR_LIMIT},
    {"INTERRUPT", ERR_CANCELLED},
};

static int code_of(duckdb_error_type type, const char *text)
{
    for (size_t i = 0; i < sizeof by_words / sizeof *by_words; i++)
        if (strstr(text, by_words[i].words) != NULL)
            return by_words[i].code;
    switch (type) {
    case DUCKDB_ERROR_OUT_OF_MEMORY:
        return ERR_LIMIT;
    case DUCKDB_ERROR_INTERRUPT:
        return ERR_CANCELLED;
    default:
        return ERR_ENGINE;
    }
}

int fault_set(struct err *err, duckdb_error_type type, const char *what, const char *text)
{
    if (text == NULL)
        text = "no reason given";
    return err_set(err, code_of(type, text), "%s: %.*s", what, (int)strcspn(text, "\r\n"), text);
}

bool fault_is_fatal(duckdb_error_type type, const char *text)
{
    return type == DUCKDB_ERROR_FATAL || type == DUCKDB_ERROR_INTERNAL ||
           (text != NULL && strstr(text, "database has been invalidated") != NULL);
}

bool fault_is_damage(const struct err *err)
{
    static const char *const words[] = {"checksum", "Corrupt database", "corrupted", "Serialization Error"};
    bool is = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        is = is || strstr(err->detail, words[i]) != NULL;
    return is;
}

int fault_run(duckdb_connection connection, const char *sql, bool *fatal, struct err *err)
{
    duckdb_result result;
    int rc = 0;
    if (duckdb_query(connection, sql, &result) != DuckDBSuccess) {
        duckdb_error_type type = duckdb_result_error_type(&result);
        const char *text = duckdb_result_error(&result);
        if (fatal != NULL && fault_is_fatal(type, text))
            *fatal = true;
        rc = fault_set(err, type, "duckdb", text);
    }
    duckdb_destroy_result(&result);
    return rc;
}

void fault_rollback(duckdb_connection connection)
{
    int rc = fault_run(connection, "ROLLBACK", NULL, NULL); /* fails when there is none */
    (void)rc;
}
