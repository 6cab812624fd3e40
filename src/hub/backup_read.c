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

static bool is_hash(const char *hash)
{
    return hash != NULL && strlen(hash) == BACKUP_HASH_BYTES - 1 &&
           strspn(hash, "0123456789abcdef") == BACKUP_HASH_BYTES - 1;
}

/* What people are shown of it. */
static bool is_shown(const json_t *text)
{
    const char *value = json_string_value(text);
    return text == NULL || (value != NULL && (value[0] == '\0' || backup_is_name(value)));
}

/* names: of the files before, as keys. */
static int check_file(const json_t *file, size_t i, json_t *names, struct err *err)
{
    const char *name = json_string_value(json_object_get(file, "name"));
    const json_t *bytes = json_object_get(file, "bytes");
    if (name == NULL || !backup_is_name(name) || strcmp(name, BACKUP_MARK) == 0 ||
        strcmp(name, BACKUP_MANIFEST) == 0 ||
        !is_hash(json_string_value(json_object_get(file, "xxh3_128"))) || !json_is_integer(bytes) ||
        json_integer_value(bytes) < 0)
        return err_set(err, ERR_INVALID, "the manifest's file %zu is not well formed", i);
    if (json_object_get(names, name) != NULL)
        return err_set(err, ERR_INVALID, "the manifest has %.80s twice", name);
    return json_object_set_new(names, name, json_true()) == 0
               ? 0
               : err_set(err, ERR_NO_MEMORY, "the manifest needs more memory than there is");
}

static int check_manifest(const json_t *root, struct err *err)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *files = json_object_get(root, "files");
    if (format == NULL || strcmp(format, BACKUP_FORMAT) != 0)
        return err_set(err, ERR_INVALID, "the manifest is not one of a backup");
    if (json_integer_value(json_object_get(root, "version")) != BACKUP_VERSION)
        return err_set(err, ERR_VERSION, "the backup was made by a newer release: restore it with that");
    if (!json_is_array(files) || json_array_size(files) > BACKUP_FILES ||
        !is_shown(json_object_get(root, "created")))
        return err_set(err, ERR_INVALID, "the manifest is not well formed");
    json_t *names = json_object();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
        rc = check_file(json_array_get(files, i), i, names, err);
    json_decref(names);
    return rc;
}

int backup_parse(struct slice text, json_t **manifest, struct err *err)
{
    json_error_t error;
    json_t *root = json_loadb(text.p != NULL ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    int rc = root != NULL ? check_manifest(root, err)
                          : err_set(err, ERR_INVALID, "the manifest is no JSON: %.100s", error.text);
    *manifest = rc == 0 ? root : NULL;
    if (rc != 0)
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
