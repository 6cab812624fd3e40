/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets: see secrets.h.
 */
#include "secrets.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct search {
    const struct hub_paths *paths;
    int (*each)(void *arg, const char *path, const char *name, struct err *err);
    void *arg;
    size_t files;
    struct err *err;
};

static bool is_secret(const char *name)
{
    static const char *const endings[] = {".key", ".pub", ".pem", ".crt", ".cer", ".der"};
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (n > strlen(endings[i]) && strcmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

/* Something else looks after these. */
static bool is_passed(const struct search *s, const char *path)
{
    const char *const others[] = {s->paths->journal, s->paths->store, s->paths->receive,
                                  s->paths->quarantine};
    static const char *const of_backups[] = {"manifest.json", ".unfinished"};
    char mark[PATH_MAX + 32];
    struct stat st;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(path, others[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof of_backups / sizeof *of_backups; i++) {
        (void)snprintf(mark, sizeof mark, "%s/%s", path, of_backups[i]);
        if (lstat(mark, &st) == 0)
            return true;
    }
    return false;
}

static int found(struct search *s, const char *path, const char *name)
{
    if (++s->files > SECRETS_FILES)
        return err_set(s->err, ERR_LIMIT, "%s has more than %d keys and certificates", s->paths->data,
                       SECRETS_FILES);
    return s->each(s->arg, path, name, s->err);
}

static int walk(struct search *s, const char *dir, int depth);

static int look_at(struct search *s, const char *path, const char *last, int depth)
{
    struct stat st, target;
    if (lstat(path, &st) != 0) /* gone meanwhile */
        return errno == ENOENT ? 0 : err_errno(s->err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return is_passed(s, path) ? 0 : walk(s, path, depth + 1);
    if (!is_secret(last) || stat(path, &target) != 0 || !S_ISREG(target.st_mode))
        return 0;
    return found(s, path, path + strlen(s->paths->data) + 1);
}

/* Such as lost+found: what the hub can't read it did not write. */
static int pass_unreadable(const struct search *s, const char *dir)
{
    if (errno != EACCES)
        return err_errno(s->err, errno, "%s can't be read", dir);
    log_warning("backup: %s can't be read by the hub and is not looked into", dir);
    return 0;
}

static int walk(struct search *s, const char *dir, int depth)
{
    char path[PATH_MAX];
    if (depth > SECRETS_DEPTH)
        return err_set(s->err, ERR_LIMIT, "%s is too deep below the data directory: move it out of it", dir);
    DIR *names = opendir(dir);
    int rc = 0;
    if (names == NULL)
        return errno == ENOENT ? 0 : pass_unreadable(s, dir);
    for (struct dirent *entry; rc == 0 && (entry = readdir(names)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        rc = snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) < (int)sizeof path
                 ? look_at(s, path, entry->d_name, depth)
                 : err_set(s->err, ERR_LIMIT, "a path below %s is too long", dir);
    }
    (void)closedir(names);
    return rc;
}

/* The name below the data directory as the setting has it, or where its directory really is; NULL: it is
 * elsewhere. `name` has room for a path. */
static const char *name_below(const char *data, const char *path, char *name)
{
    char copy[PATHS_BYTES], real_data[PATH_MAX], real_dir[PATH_MAX];
    size_t n = strlen(data);
    if (strncmp(path, data, n) == 0 && path[n] == '/' && strstr(path + n, "/.") == NULL &&
        strstr(path + n, "//") == NULL)
        return path + n + 1;
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (realpath(data, real_data) == NULL || realpath(dirname(copy), real_dir) == NULL)
        return NULL;
    n = strlen(real_data);
    if (strncmp(real_dir, real_data, n) != 0 || (real_dir[n] != '/' && real_dir[n] != '\0'))
        return NULL;
    const char *slash = strrchr(path, '/');
    int used = snprintf(name, PATH_MAX, "%s/%s", real_dir + n, slash != NULL ? slash + 1 : path);
    return used < PATH_MAX ? name + 1 : NULL;
}

/* Another ending, or behind a link: walk() may have passed it. */
static int configured(struct search *s, const char *path)
{
    char room[PATH_MAX];
    struct stat st;
    const char *name = name_below(s->paths->data, path, room);
    return name != NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? found(s, path, name) : 0;
}

int secrets_each(const struct hub_paths *paths,
                 int (*each)(void *arg, const char *path, const char *name, struct err *err), void *arg,
                 struct err *err)
{
    struct search s = {.paths = paths, .each = each, .arg = arg, .err = err};
    int rc = walk(&s, paths->data, 0);
    if (rc == 0)
        rc = configured(&s, paths->certificate);
    return rc != 0 ? rc : configured(&s, paths->certificate_key);
}
