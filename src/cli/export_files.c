/* SPDX-License-Identifier: Apache-2.0
 *
 * export_files: the files of `export --format parquet`: DIRECTORY/000001.parquet and so on, each with the
 * rows behind the one before it. A file gets its name once it is whole and on the disk, then the state its
 * number; who was killed in between writes that file again.
 */
#include "export.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, PATIENCE_S = 600 /* for the hub to write one */ };

/* The value of a field of the reply's head; false: there is none. */
static bool find_field(const struct buf *head, const char *name, struct slice *value)
{
    struct slice rest = buf_slice(head), line;
    size_t n = strlen(name);
    while (slice_split(&rest, '\n', &line))
        if (line.n > n + 1 && line.p[n] == ':' &&
            slice_equal_nocase((struct slice){line.p, n}, slice_of(name))) {
            line = (struct slice){line.p + n + 1, line.n - n - 1};
            if (line.p[line.n - 1] == '\r')
                line.n--;
            *value = slice_trim(line);
            return true;
        }
    return false;
}

static int write_file(struct export *export, const char *path, struct slice bytes)
{
    export->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (export->fd < 0)
        return err_errno(&export->cli->err, errno, "%s can't be written", path);
    int rc = export_write(export, bytes);
    if (rc == 0 && fdatasync(export->fd) != 0)
        rc = err_errno(&export->cli->err, errno, "%s can't be written", path);
    (void)close(export->fd);
    return rc;
}

static int sync_directory(struct export *export)
{
    int fd = open(export->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0
                 ? err_errno(&export->cli->err, errno, "%s can't be written", export->output)
                 : 0;
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static int keep_file(struct export *export, uint64_t number, struct slice bytes)
{
    char fresh[4096], path[4096];
    if ((size_t)snprintf(fresh, sizeof fresh, "%s/%06llu.parquet.new", export->output,
                         (unsigned long long)number) >= sizeof fresh)
        return cli_fail(export->cli, ERR_USAGE, "the directory's path is too long");
    (void)snprintf(path, sizeof path, "%.*s", (int)(strlen(fresh) - 4), fresh);
    int rc = write_file(export, fresh, bytes);
    if (rc == 0 && rename(fresh, path) != 0)
        rc = err_errno(&export->cli->err, errno, "%s can't be written", path);
    if (rc == 0)
        rc = sync_directory(export);
    return rc != 0 ? rc : export_keep(export, number);
}

/* One file; *any: it had rows. */
static int take_file(struct export *export, uint64_t number, bool *any)
{
    char path[CLIENT_PATH_BYTES];
    struct buf head = {.limit = HEAD_BYTES}, body = {.limit = CLIENT_REPLY_BYTES};
    struct slice rows = {NULL, 0}, cursor = {NULL, 0};
    (void)snprintf(path, sizeof path, "%s", export->path);
    if (client_parameter(path, "cursor", export->cursor[0] != '\0' ? export->cursor : NULL) != 0)
        return cli_fail(export->cli, ERR_USAGE, "the conditions are too long");
    int rc = client_fetch_whole(export->cli, path, &head, &body);
    if (rc == 0 && !find_field(&head, "Export-Rows", &rows))
        rc = cli_fail(export->cli, ERR_IO, "the hub's answer has no Export-Rows");
    *any = rc == 0 && !slice_equal(rows, SLICE("0"));
    if (*any && (!find_field(&head, "Export-Cursor", &cursor) ||
                 slice_to_string(cursor, export->cursor, sizeof export->cursor) != 0))
        rc = cli_fail(export->cli, ERR_IO, "the hub's answer has no Export-Cursor");
    if (rc == 0 && *any)
        rc = keep_file(export, number, buf_slice(&body));
    buf_fini(&head);
    buf_fini(&body);
    return rc;
}

int export_files(struct export *export)
{
    uint64_t number = 0;
    bool any = true;
    int rc = export_resume(export, &number);
    export->cli->patience_us = PATIENCE_S * US_PER_SECOND;
    if (rc == 0 && mkdir(export->output, 0700) != 0 && errno != EEXIST)
        rc = err_errno(&export->cli->err, errno, "%s can't be made", export->output);
    while (rc == 0 && any)
        rc = take_file(export, ++number, &any);
    return rc;
}
