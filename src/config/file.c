/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Where the reader stands, for messages. */
struct place {
    const char *path;
    unsigned line;
    int program;      /* of the present section; -1 before the first */
    bool open_to_all; /* the file is readable by others */
};

static int enter_section(struct place *place, struct slice line, struct err *err)
{
    for (int program = PROGRAM_POLICY_PROXY; program <= PROGRAM_MAIL_ANALYTICS; program++) {
        struct slice name = slice_of(schema_program_name((enum program)program));
        if (line.n == name.n + 2 && line.p[line.n - 1] == ']' && memcmp(line.p + 1, name.p, name.n) == 0) {
            place->program = program;
            return 0;
        }
    }
    return err_set(err, ERR_CONFIG, "%s:%u: unknown section; write [policy-proxy] or [mail-analytics]",
                   place->path, place->line);
}

/* A settings line; the other program's lines are held against the table, their values are its own business.
 */
static int read_setting(struct config *config, const struct place *place, struct slice key,
                        struct slice value, struct err *err)
{
    char origin[PATH_MAX + 16];

    if (place->program < 0)
        return err_set(err, ERR_CONFIG,
                       "%s:%u: a setting before the first section; write [policy-proxy] or [mail-analytics] "
                       "above it",
                       place->path, place->line);
    const struct setting *setting = schema_find((enum program)place->program, key);
    if (!setting)
        return err_set(err, ERR_CONFIG, "%s:%u: %.*s: no such setting; see mail-analytics.conf(5)",
                       place->path, place->line, (int)(key.n > 64 ? 64 : key.n), key.p);
    if (setting->rule.secret && value.n > 0 && place->open_to_all)
        log_warning("config: %s holds %s and can be read by everybody: chmod o-r it", place->path,
                    setting->key);
    if (place->program != (int)config->program)
        return 0;
    snprintf(origin, sizeof origin, "%s:%u", place->path, place->line);
    return config_assign(config, setting, value, origin, err);
}

static bool has_control_character(struct slice line)
{
    for (size_t i = 0; i < line.n; i++)
        if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 0x7f)
            return true;
    return false;
}

static int read_line(struct config *config, struct place *place, struct slice line, struct err *err)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n > CONFIG_LINE_BYTES)
        return err_set(err, ERR_CONFIG, "%s:%u: longer than %d bytes", place->path, place->line,
                       CONFIG_LINE_BYTES);
    if (has_control_character(line))
        return err_set(err, ERR_CONFIG, "%s:%u: a control character; is this a text file?", place->path,
                       place->line);
    line = slice_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    if (line.p[0] == '[')
        return enter_section(place, line, err);
    const char *equals = memchr(line.p, '=', line.n);
    if (!equals)
        return err_set(err, ERR_CONFIG, "%s:%u: write key = value", place->path, place->line);
    struct slice key = {line.p, (size_t)(equals - line.p)};
    struct slice value = {equals + 1, line.n - key.n - 1};
    return read_setting(config, place, slice_trim(key), slice_trim(value), err);
}

static int read_lines(struct config *config, struct place *place, struct slice rest, struct err *err)
{
    struct slice line;

    while (slice_split(&rest, '\n', &line)) {
        place->line++;
        int rc = read_line(config, place, line, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_file(struct config *config, const char *path, struct err *err)
{
    struct place place = {.path = path, .program = -1};
    struct stat info;
    char *bytes = NULL;
    int rc;

    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &info) < 0) {
        rc = err_errno(err, errno, "%s: can't be read", path);
        goto done;
    }
    place.open_to_all = (info.st_mode & S_IROTH) != 0;
    bytes = malloc(CONFIG_FILE_BYTES + 1);
    if (!bytes) {
        rc = err_set(err, ERR_NO_MEMORY, "%s: out of memory", path);
        goto done;
    }
    size_t n = fread(bytes, 1, CONFIG_FILE_BYTES + 1, file);
    if (ferror(file))
        rc = err_errno(err, errno, "%s: can't be read", path);
    else if (n > CONFIG_FILE_BYTES)
        rc = err_set(err, ERR_CONFIG, "%s: larger than %d bytes", path, CONFIG_FILE_BYTES);
    else
        rc = read_lines(config, &place, (struct slice){bytes, n}, err);
done:
    free(bytes);
    if (file)
        (void)fclose(file);
    return rc;
}

static int is_config_name(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

/* The other program's own file holds its secrets: that this program's user may not read it is as it should
 * be. */
static bool is_none_of_ours(const struct config *config, const char *name, int rc)
{
    enum program other =
        config->program == PROGRAM_POLICY_PROXY ? PROGRAM_MAIL_ANALYTICS : PROGRAM_POLICY_PROXY;
    const char *own = schema_program_name(other);
    size_t n = strlen(own);

    return rc == ERR_DENIED && strncmp(name, own, n) == 0 && strcmp(name + n, ".conf") == 0;
}

static int read_directory(struct config *config, const char *directory, struct err *err)
{
    struct dirent **entries = NULL;
    char path[PATH_MAX];
    int rc = 0;

    int n = scandir(directory, &entries, is_config_name, alphasort);
    if (n < 0)
        return err_errno(err, errno, "%s: can't be read", directory);
    if (n > CONFIG_FILES)
        rc = err_set(err, ERR_CONFIG, "%s: more than %d files", directory, CONFIG_FILES);
    for (int i = 0; i < n && rc == 0; i++) {
        if (snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name) >= (int)sizeof path)
            rc = err_set(err, ERR_CONFIG, "%s: the path is too long", directory);
        else
            rc = read_file(config, path, err);
        if (rc < 0 && is_none_of_ours(config, entries[i]->d_name, rc))
            rc = 0;
    }
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    return rc;
}

int config_read_path(struct config *config, const char *path, bool wanted, struct err *err)
{
    struct stat info;
    char below[PATH_MAX];

    if (stat(path, &info) < 0) {
        if (errno == ENOENT && !wanted)
            return 0;
        return err_set(err, ERR_CONFIG, "%s: can't be read (%s); name a file or directory with --config",
                       path, strerror(errno));
    }
    if (!S_ISDIR(info.st_mode))
        return read_file(config, path, err);
    int rc = read_directory(config, path, err);
    if (rc < 0)
        return rc;
    if (snprintf(below, sizeof below, "%s/conf.d", path) >= (int)sizeof below)
        return err_set(err, ERR_CONFIG, "%s: the path is too long", path);
    return stat(below, &info) == 0 ? read_directory(config, below, err) : 0;
}
