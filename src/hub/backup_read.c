/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_read: checking and restoring one. See backup.h.
 */
#include "backup_impl.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { MANIFEST_MAX = 64 << 20 };

int backup_parse(struct slice text, json_t **manifest, struct err *err)
{
    json_error_t error;
    json_t *root = json_loadb(text.p != NULL ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *files = json_object_get(root, "files");
    int rc = 0;
    *manifest = NULL;
    if (format == NULL || strcmp(format, BACKUP_FORMAT) != 0 || !json_is_array(files) ||
        json_array_size(files) > BACKUP_FILES)
        rc = err_set(err, ERR_INVALID, "the manifest is not one of a backup");
    else if (json_integer_value(json_object_get(root, "version")) != BACKUP_VERSION)
        rc = err_set(err, ERR_VERSION, "the backup was made by a newer release: restore it with that");
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        const char *hash = json_string_value(json_object_get(file, "xxh3_128"));
        if (name == NULL || !backup_is_name(name) || hash == NULL || strlen(hash) != BACKUP_HASH_BYTES - 1 ||
            !json_is_integer(json_object_get(file, "bytes")))
            rc = err_set(err, ERR_INVALID, "the manifest's file %zu is not well formed", i);
    }
    if (rc == 0)
        *manifest = root;
    else
        json_decref(root);
    return rc;
}

static int read_manifest(const char *dir, struct buf *text, struct err *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/" BACKUP_MANIFEST, dir) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, "the backup's path is too long");
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_errno(err, errno, "%s is no whole backup: %s", dir, path);
    int rc = 0;
    for (size_t n = 1; rc == 0 && n > 0; text->n += n) {
        rc = buf_reserve(text, 65536);
        n = rc == 0 ? fread(text->p + text->n, 1, 65536, file) : 0;
    }
    (void)fclose(file);
    return rc != 0 ? err_set(err, rc, "%s is too long", path) : 0;
}

static int verify_file(const char *dir, const json_t *file, struct err *err)
{
    char path[PATH_MAX], hash[BACKUP_HASH_BYTES];
    uint64_t bytes;
    int rc = backup_path_in(dir, json_string_value(json_object_get(file, "name")), path, err);
    if (rc == 0)
        rc = backup_hash_file(path, hash, &bytes, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_CORRUPT, "the backup lacks %s", path);
    if (rc == 0 && (bytes != (uint64_t)json_integer_value(json_object_get(file, "bytes")) ||
                    strcmp(hash, json_string_value(json_object_get(file, "xxh3_128"))) != 0))
        rc = err_set(err, ERR_CORRUPT, "%s is not what was backed up", path);
    return rc;
}

int backup_verify(const char *dir, json_t **manifest, struct err *err)
{
    struct buf text;
    buf_init(&text, MANIFEST_MAX);
    *manifest = NULL;
    int rc = backup_is_unfinished(dir)
                 ? err_set(err, ERR_NOT_FOUND, "%s is no whole backup: it was not finished", dir)
                 : read_manifest(dir, &text, err);
    if (rc == 0)
        rc = backup_parse(buf_slice(&text), manifest, err);
    buf_fini(&text);
    const json_t *files = json_object_get(*manifest, "files");
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
        rc = verify_file(dir, json_array_get(files, i), err);
    if (rc != 0) {
        json_decref(*manifest);
        *manifest = NULL;
    }
    return rc;
}

static bool is_empty(DIR *names)
{
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    return empty;
}

/* Made when missing; what an interrupted restore left is removed. Then it bears the mark. */
static int make_empty(const char *data, struct err *err)
{
    if (mkdir(data, 0750) != 0 && errno != EEXIST)
        return err_errno(err, errno, "%s can't be made", data);
    int rc = backup_is_unfinished(data) ? backup_empty(data, err) : 0;
    if (rc != 0)
        return rc;
    DIR *names = opendir(data);
    if (names == NULL)
        return err_errno(err, errno, "%s can't be read", data);
    bool empty = is_empty(names);
    (void)closedir(names);
    return empty ? backup_mark(data, err)
                 : err_set(err, ERR_EXISTS, "%s is not empty: a backup is restored into an empty directory",
                           data);
}

static int restore_file(const char *dir, const json_t *file, const char *data, struct err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    const char *name = json_string_value(json_object_get(file, "name"));
    int rc = backup_path_in(dir, name, from, err);
    if (rc == 0)
        rc = backup_path_in(data, name, to, err);
    if (rc == 0)
        rc = backup_make_parents(to, err);
    return rc != 0 ? rc : backup_copy_file(from, to, err);
}

int backup_restore(const char *dir, const json_t *manifest, const char *data, struct err *err)
{
    const json_t *files = json_object_get(manifest, "files"), *last = NULL;
    int rc = make_empty(data, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (strcmp(json_string_value(json_object_get(file, "name")), "account.db") == 0)
            last = file;
        else
            rc = restore_file(dir, file, data, err);
    }
    if (rc == 0 && last == NULL)
        rc = err_set(err, ERR_CORRUPT, "the backup has no account.db");
    if (rc == 0)
        rc = restore_file(dir, last, data, err);
    return rc != 0 ? rc : backup_sync_dirs(data, err);
}

int backup_restored(const char *data, struct err *err)
{
    return backup_unmark(data, err);
}

bool backup_has_manifest(const char *dir)
{
    struct buf text;
    json_t *manifest = NULL;
    buf_init(&text, MANIFEST_MAX);
    bool has = read_manifest(dir, &text, NULL) == 0 && backup_parse(buf_slice(&text), &manifest, NULL) == 0;
    json_decref(manifest);
    buf_fini(&text);
    return has;
}
