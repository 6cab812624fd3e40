/* SPDX-License-Identifier: Apache-2.0
 *
 * export: the verb that reads all events out, in the order of their loading, into a file or a pipe. With
 * --state it can be killed at any time: rows are kept first, then the cursor and how long the file was with
 * it; whoever goes on cuts the file there, so that every event is in it once.
 */
#include "export.h"
#include "where.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAGE_ROWS = 5000, STATE_BYTES = EXPORT_CURSOR_BYTES, FOLLOW_US = 500000 };
enum export_flag {
    WHERE,
    SEARCH,
    SINCE,
    FROM,
    TO,
    TIMEZONE,
    COLUMNS,
    FORMAT,
    RAW,
    OUTPUT,
    STATE,
    FOLLOW,
    TENANT,
    FLAG_COUNT
};

static int add_where(struct export *export, const struct flag *flag)
{
    json_t *filters = json_array();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < flag->count; i++)
        rc = where_parse(flag->values[i], filters, &export->cli->err);
    char *text = rc == 0 && flag->count > 0 ? json_dumps(filters, JSON_COMPACT) : NULL;
    if (rc == 0 && client_parameter(export->path, "where", text) != 0)
        rc = cli_fail(export->cli, ERR_USAGE, "the conditions are too long");
    free(text);
    json_decref(filters);
    return rc;
}

static int compose(struct export *export, const struct flag *flags)
{
    static const char *const names[FLAG_COUNT] = {
        [SEARCH] = "q",     [FROM] = "from",     [TO] = "to",        [TIMEZONE] = "tz",
        [COLUMNS] = "cols", [FORMAT] = "format", [TENANT] = "tenant"};
    char since[64];
    struct cli *cli = export->cli;
    export->csv = flags[FORMAT].count > 0 && strcmp(flags[FORMAT].values[0], "csv") == 0;
    export->parquet = flags[FORMAT].count > 0 && strcmp(flags[FORMAT].values[0], "parquet") == 0;
    (void)snprintf(export->path, sizeof export->path, "/api/v1/export?marks=1");
    if (!export->parquet) /* a file is as long as the hub makes it */
        (void)snprintf(export->path, sizeof export->path, "/api/v1/export?marks=1&limit=%d", PAGE_ROWS);
    if (flags[SINCE].count > 0 &&
        ((size_t)snprintf(since, sizeof since, "now-%s", flags[SINCE].values[0]) >= sizeof since ||
         flags[FROM].count > 0 || client_parameter(export->path, "from", since) != 0))
        return cli_fail(cli, ERR_USAGE, "--since: such as 24h or 7d, and not with --from");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if (names[i] != NULL && flags[i].count > 0 &&
            client_parameter(export->path, names[i], flags[i].values[0]) != 0)
            return cli_fail(cli, ERR_USAGE, "--%s is too long", flags[i].name);
    if (flags[RAW].count > 0 && flags[FORMAT].count > 0)
        return cli_fail(cli, ERR_USAGE, "--raw is a format of its own: leave --format out");
    if (flags[RAW].count > 0 && client_parameter(export->path, "format", "raw") != 0)
        return cli_fail(cli, ERR_USAGE, "the conditions are too long");
    export->follow = flags[FOLLOW].count > 0;
    export->output = flags[OUTPUT].count > 0 ? flags[OUTPUT].values[0] : NULL;
    export->state = flags[STATE].count > 0 ? flags[STATE].values[0] : NULL;
    if (export->state != NULL && export->output == NULL)
        return cli_fail(cli, ERR_USAGE, "--state needs --output: it says how much of that file is whole");
    if (export->parquet && (export->output == NULL || export->follow))
        return cli_fail(
            cli, ERR_USAGE,
            "--format parquet needs --output DIRECTORY, where its files go, and doesn't --follow: "
            "with --state the same command later writes what came since");
    return add_where(export, &flags[WHERE]);
}

/* ---- what was kept --------------------------------------------------------------------------- */

/* "cursor offset": the file is whole up to there. */
int export_resume(struct export *export, uint64_t *whole)
{
    struct buf text = {.limit = STATE_BYTES};
    struct slice rest, cursor, offset;
    uint64_t bytes = 0;
    *whole = 0;
    if (export->state == NULL || access(export->state, F_OK) != 0)
        return 0;
    int rc = cli_read(export->cli, export->state, STATE_BYTES, &text);
    rest = buf_slice(&text);
    if (rc == 0 && (!slice_split(&rest, ' ', &cursor) || !slice_split(&rest, '\n', &offset) ||
                    text_to_u64(offset, INT64_MAX, &bytes) != 0 ||
                    slice_to_string(cursor, export->cursor, sizeof export->cursor) != 0))
        rc = cli_fail(export->cli, ERR_CORRUPT, "%s is no state of an export", export->state);
    *whole = bytes;
    buf_fini(&text);
    return rc;
}

static int open_output(struct export *export)
{
    uint64_t bytes;
    int rc = export_resume(export, &bytes);
    off_t whole = (off_t)bytes;
    export->fd = STDOUT_FILENO;
    if (rc != 0 || export->output == NULL)
        return rc;
    export->fd = open(export->output, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (export->fd < 0 || ftruncate(export->fd, whole) != 0 || lseek(export->fd, 0, SEEK_END) != whole)
        return err_errno(&export->cli->err, errno, "%s can't be written", export->output);
    return 0;
}

int export_write(struct export *export, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(export->fd, bytes.p, bytes.n);
        if (n < 0 && errno != EINTR)
            return err_errno(&export->cli->err, errno, "writing the export");
        if (n > 0)
            bytes = (struct slice){bytes.p + n, bytes.n - (size_t)n};
    }
    return 0;
}

int export_keep(const struct export *export, uint64_t whole)
{
    char fresh[4096];
    if (export->state == NULL)
        return 0;
    (void)snprintf(fresh, sizeof fresh, "%s.new", export->state);
    FILE *file = fopen(fresh, "we");
    bool good = file != NULL && fprintf(file, "%s %llu\n", export->cursor, (unsigned long long)whole) > 0;
    good = good && fflush(file) == 0 && fdatasync(fileno(file)) == 0;
    if (file != NULL)
        good = fclose(file) == 0 && good;
    if (!good || rename(fresh, export->state) != 0)
        return err_errno(&export->cli->err, errno, "%s can't be written", export->state);
    return 0;
}

/* The rows are on the disk before the cursor behind them is. */
static int keep_state(struct export *export)
{
    if (export->state != NULL && fdatasync(export->fd) != 0)
        return err_errno(&export->cli->err, errno, "%s can't be written", export->output);
    return export_keep(export, export->state != NULL ? (uint64_t)lseek(export->fd, 0, SEEK_CUR) : 0);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Cuts the last line off, which has the cursor. False: there was no row. */
static bool take_mark(struct export *export, struct slice *rows)
{
    struct slice before = export->csv ? SLICE("# cursor ") : SLICE("{\"cursor\":\"");
    size_t tail = export->csv ? 2 : 3, at = rows->n > 0 ? rows->n - 1 : 0;
    while (at > 0 && rows->p[at - 1] != '\n')
        at--;
    if (rows->n < at + before.n + tail || memcmp(rows->p + at, before.p, before.n) != 0)
        return false;
    struct slice cursor = {rows->p + at + before.n, rows->n - at - before.n - tail};
    rows->n = at;
    return slice_to_string(cursor, export->cursor, sizeof export->cursor) == 0;
}

static int take_page(struct export *export, bool *any)
{
    char path[CLIENT_PATH_BYTES];
    struct buf body = {.limit = CLIENT_REPLY_BYTES};
    (void)snprintf(path, sizeof path, "%s", export->path);
    if (client_parameter(path, "cursor", export->cursor[0] != '\0' ? export->cursor : NULL) != 0)
        return cli_fail(export->cli, ERR_USAGE, "the conditions are too long");
    int rc = client_fetch(export->cli, path, &body);
    struct slice rows = buf_slice(&body);
    *any = rc == 0 && take_mark(export, &rows);
    if (rc == 0 && (*any || !export->follow)) /* a head of columns alone waits for its first row */
        rc = export_write(export, rows);
    if (rc == 0 && *any)
        rc = keep_state(export);
    buf_fini(&body);
    return rc;
}

static int run(struct export *export)
{
    bool any = false;
    int rc = open_output(export);
    do {
        if (rc == 0)
            rc = take_page(export, &any);
        if (rc == 0 && !any && export->follow)
            (void)usleep(FOLLOW_US);
    } while (rc == 0 && (any || export->follow));
    if (export->output != NULL && export->fd >= 0)
        (void)close(export->fd);
    return rc;
}

int verb_export(struct cli *cli)
{
    struct flag flags[FLAG_COUNT] = {[WHERE] = {.name = "where", .type = FLAG_LIST},
                                     [SEARCH] = {.name = "search"},
                                     [SINCE] = {.name = "since"},
                                     [FROM] = {.name = "from"},
                                     [TO] = {.name = "to"},
                                     [TIMEZONE] = {.name = "timezone"},
                                     [COLUMNS] = {.name = "columns"},
                                     [FORMAT] = {.name = "format"},
                                     [RAW] = {.name = "raw", .type = FLAG_TRUE},
                                     [OUTPUT] = {.name = "output"},
                                     [STATE] = {.name = "state"},
                                     [FOLLOW] = {.name = "follow", .type = FLAG_TRUE},
                                     [TENANT] = {.name = "tenant"}};
    struct export export = {.cli = cli, .fd = -1};
    size_t operands;
    int rc = cli_flags(cli, flags, FLAG_COUNT, NULL, 0, &operands);
    if (rc == 0)
        rc = compose(&export, flags);
    return rc != 0 ? rc : export.parquet ? export_files(&export) : run(&export);
}
