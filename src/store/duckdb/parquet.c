/* SPDX-License-Identifier: Apache-2.0
 *
 * parquet: see store/parquet.h. A table function asks the source for its rows, a chunk at a time, so that no
 * more than a row group of them is in memory; COPY writes what it gives.
 */
#include "store/parquet.h"

#include "query/derive.h"
#include "store/duckdb/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SQL "COPY (FROM events()) TO '%s' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 40960"
enum { SQL_BYTES = 64 * 1024 };

static atomic_uint running;
static atomic_ullong last_number;

struct writing {
    const struct parquet_source *source;
    duckdb_data_chunk chunk; /* of the call of feed() that runs */
    idx_t rows;              /* in it */
    struct err *err;
    int rc; /* of the source */
};

/* ---- columns --------------------------------------------------------------------------------------- */

static duckdb_type type_of(enum column column)
{
    switch (event_columns[column].type) {
    case TYPE_U8:
        return DUCKDB_TYPE_UTINYINT;
    case TYPE_U16:
        return DUCKDB_TYPE_USMALLINT;
    case TYPE_U32:
        return DUCKDB_TYPE_UINTEGER;
    case TYPE_U64:
        return DUCKDB_TYPE_UBIGINT;
    case TYPE_BOOL:
        return DUCKDB_TYPE_BOOLEAN;
    case TYPE_TS:
        return DUCKDB_TYPE_TIMESTAMP_TZ;
    default:
        return DUCKDB_TYPE_VARCHAR;
    }
}

static void put_number(void *data, duckdb_type type, idx_t row, uint64_t value)
{
    if (type == DUCKDB_TYPE_UTINYINT)
        ((uint8_t *)data)[row] = (uint8_t)value;
    else if (type == DUCKDB_TYPE_USMALLINT)
        ((uint16_t *)data)[row] = (uint16_t)value;
    else if (type == DUCKDB_TYPE_UINTEGER)
        ((uint32_t *)data)[row] = (uint32_t)value;
    else if (type == DUCKDB_TYPE_BOOLEAN)
        ((bool *)data)[row] = value != 0;
    else
        ((uint64_t *)data)[row] = value;
}

static void put_cell(duckdb_vector vector, enum column column, idx_t row, const struct cell *cell)
{
    switch (cell->type) {
    case CELL_NULL:
        duckdb_vector_ensure_validity_writable(vector);
        duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
        break;
    case CELL_TEXT:
        duckdb_vector_assign_string_element_len(vector, row, cell->text.n > 0 ? cell->text.p : "",
                                                cell->text.n);
        break;
    case CELL_TS:
        ((int64_t *)duckdb_vector_get_data(vector))[row] = cell->ts;
        break;
    default:
        put_number(duckdb_vector_get_data(vector), type_of(column), row, cell->u64);
    }
}

static int put_row(void *arg, const struct event *event)
{
    struct writing *w = arg;
    const struct parquet_source *source = w->source;
    for (size_t i = 0; i < source->count; i++) {
        char text[QUERY_CELL_BYTES];
        struct query_value value;
        query_value_of(source->query, event, source->columns[i], &value);
        struct cell cell = query_cell(source->columns[i], &value, text);
        put_cell(duckdb_data_chunk_get_vector(w->chunk, i), source->columns[i], w->rows, &cell);
    }
    w->rows++;
    return 0;
}

/* ---- the table function ---------------------------------------------------------------------------- */

static void describe(duckdb_bind_info info)
{
    const struct writing *w = duckdb_bind_get_extra_info(info);
    for (size_t i = 0; i < w->source->count; i++) {
        enum column column = w->source->columns[i];
        duckdb_logical_type type = duckdb_create_logical_type(type_of(column));
        duckdb_bind_add_result_column(info, event_columns[column].name, type);
        duckdb_destroy_logical_type(&type);
    }
}

static void begin(duckdb_init_info info)
{
    duckdb_init_set_max_threads(info, 1);
}

static void feed(duckdb_function_info info, duckdb_data_chunk chunk)
{
    struct writing *w = duckdb_function_get_extra_info(info);
    w->chunk = chunk;
    w->rows = 0;
    if (w->rc == 0)
        w->rc = w->source->next(w->source->arg, (uint32_t)duckdb_vector_size(), put_row, w, w->err);
    if (w->rc != 0)
        duckdb_function_set_error(info, "the rows ended with an error");
    duckdb_data_chunk_set_size(chunk, w->rc == 0 ? w->rows : 0);
}

static int offer(struct writing *w, duckdb_connection connection)
{
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_table_function_set_name(function, "events");
    duckdb_table_function_set_extra_info(function, w, NULL);
    duckdb_table_function_set_bind(function, describe);
    duckdb_table_function_set_init(function, begin);
    duckdb_table_function_set_function(function, feed);
    bool good = duckdb_register_table_function(connection, function) == DuckDBSuccess;
    duckdb_destroy_table_function(&function);
    return good ? 0 : err_set(w->err, ERR_ENGINE, "duckdb: the table function could not be made");
}

/* ---- the file -------------------------------------------------------------------------------------- */

static int configure(duckdb_config config, struct err *err)
{
    char memory[32];
    (void)snprintf(memory, sizeof memory, "%dMiB", PARQUET_MEMORY_MB);
    const char *const settings[][2] = {
        {"memory_limit", memory},
        {"threads", "1"},
        {"temp_directory", ""}, /* no spilling: what needs more memory than that is refused */
        {"autoload_known_extensions", "false"},
        {"autoinstall_known_extensions", "false"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (duckdb_set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return err_set(err, ERR_VERSION, "this DuckDB does not know %s = %s; version 1.4.4 is needed",
                           settings[i][0], settings[i][1]);
    return 0;
}

static int open_database(duckdb_database *out, struct err *err)
{
    duckdb_config config = NULL;
    char *text = NULL;
    if (duckdb_create_config(&config) != DuckDBSuccess)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    int rc = configure(config, err);
    if (rc == 0 && duckdb_open_ext(NULL, out, config, &text) != DuckDBSuccess)
        rc = fault_set(err, DUCKDB_ERROR_INVALID, "duckdb", text);
    duckdb_free(text);
    duckdb_destroy_config(&config);
    return rc;
}

/* No statement can touch a file elsewhere. */
static int lock_down(duckdb_connection connection, const char *dir, struct err *err)
{
    char sql[PATH_MAX + 64];
    (void)snprintf(sql, sizeof sql, "SET allowed_directories=['%s/']", dir);
    int rc = fault_run(connection, sql, NULL, err);
    if (rc == 0)
        rc = fault_run(connection, "SET enable_external_access=false", NULL, err);
    return rc != 0 ? rc : fault_run(connection, "SET lock_configuration=true", NULL, err);
}

static int write_quoted(struct buf *sql, const char *text)
{
    int rc = strlen(text) <= PARQUET_NOTE_BYTES ? buf_add(sql, "'", 1) : ERR_LIMIT;
    for (; rc == 0 && *text != '\0'; text++)
        rc = *text == '\'' ? buf_add(sql, "''", 2) : buf_add(sql, text, 1);
    return rc != 0 ? rc : buf_add(sql, "'", 1);
}

/* COPY takes no parameters. */
static int write_copy(const struct parquet_source *source, const char *path, struct buf *sql)
{
    int rc = buf_addf(sql, COPY_SQL, path);
    for (size_t i = 0; rc == 0 && i < source->note_count; i++) {
        rc = buf_addf(sql, i == 0 ? ", KV_METADATA {" : ", ");
        if (rc == 0)
            rc = write_quoted(sql, source->notes[i].name);
        if (rc == 0)
            rc = buf_addf(sql, ": ");
        if (rc == 0)
            rc = write_quoted(sql, source->notes[i].value);
    }
    if (rc == 0)
        rc = buf_addf(sql, source->note_count > 0 ? "})" : ")");
    return rc != 0 ? rc : buf_add(sql, "", 1);
}

static int run_copy(struct writing *w, duckdb_connection connection, const char *path, struct err *why)
{
    struct buf sql = {.limit = SQL_BYTES};
    int rc = write_copy(w->source, path, &sql);
    rc = rc == 0 ? fault_run(connection, sql.p, NULL, why)
                 : err_set(why, rc, "what the file is to say is too long");
    buf_fini(&sql);
    return rc;
}

static int copy(struct writing *w, duckdb_connection connection, const char *path)
{
    int rc = lock_down(connection, w->source->dir, w->err);
    if (rc == 0)
        rc = offer(w, connection);
    if (rc != 0)
        return rc;
    struct err why = {0};
    rc = run_copy(w, connection, path, &why);
    if (w->rc == 0 && rc != 0)
        return err_set(w->err, rc, "%s", err_detail(&why));
    return w->rc; /* has filled err itself */
}

static int take_file(const char *path, int *fd, uint64_t *bytes, struct err *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd >= 0 && fstat(*fd, &st) == 0) {
        *bytes = (uint64_t)st.st_size;
        return 0;
    }
    int rc = err_errno(err, errno, "%s can't be read", path);
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    return rc;
}

static int write_file(struct writing *w, int *fd, uint64_t *bytes)
{
    char path[PATH_MAX];
    const char *dir = w->source->dir;
    duckdb_database database = NULL;
    duckdb_connection connection = NULL;
    if (strlen(dir) > PATH_MAX - 64 || strchr(dir, '\'') != NULL)
        return err_set(w->err, ERR_LIMIT, "the data directory's path must be shorter and have no quote");
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_errno(w->err, errno, "%s can't be made", dir);
    (void)snprintf(path, sizeof path, "%s/%llu.parquet", dir, ++last_number);
    int rc = open_database(&database, w->err);
    if (rc == 0 && duckdb_connect(database, &connection) != DuckDBSuccess)
        rc = err_set(w->err, ERR_ENGINE, "duckdb: no connection could be made");
    if (rc == 0)
        rc = copy(w, connection, path);
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    if (rc == 0)
        rc = take_file(path, fd, bytes, w->err);
    (void)unlink(path);
    return rc;
}

int parquet_write(const struct parquet_source *source, int *fd, uint64_t *bytes, struct err *err)
{
    struct err unused = {0};
    struct writing w = {.source = source, .err = err != NULL ? err : &unused};
    *fd = -1;
    int rc =
        atomic_fetch_add(&running, 1) < PARQUET_AT_ONCE
            ? write_file(&w, fd, bytes)
            : err_set(err, ERR_BUSY, "%d Parquet files are being written: try again soon", PARQUET_AT_ONCE);
    (void)atomic_fetch_sub(&running, 1);
    return rc;
}

void parquet_sweep(const char *dir)
{
    DIR *names = opendir(dir);
    if (names == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(names), entry->d_name, 0);
    (void)closedir(names);
}
