/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_read: checking and restoring one. See backup.h.
 */
#include "archive.h"
#include "backup_impl.h"
#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

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

static int verify_directory(const char *dir, json_t **manifest, struct err *err)
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

/* --- in one file --------------------------------------------------------------------------------------- */

static int take_manifest(struct archive_reader *reader, json_t **manifest, struct err *err)
{
    struct tar_entry entry;
    struct buf text;
    buf_init(&text, MANIFEST_MAX);
    int rc = archive_next(reader, &entry, err);
    if (rc == ERR_END || (rc == 0 && strcmp(entry.name, BACKUP_MANIFEST) != 0))
        rc = err_set(err, ERR_INVALID, "it begins with no manifest");
    if (rc == 0 && (entry.bytes > MANIFEST_MAX || buf_reserve(&text, (size_t)entry.bytes) != 0))
        rc = err_set(err, ERR_LIMIT, "its manifest is too long");
    if (rc == 0 && entry.bytes > 0)
        rc = archive_read(reader, text.p, (size_t)entry.bytes, err);
    if (rc == 0)
        rc = backup_parse((struct slice){text.p, (size_t)entry.bytes}, manifest, err);
    buf_fini(&text);
    return rc;
}

/* The file that comes next is that one. To fd, unless that is -1. */
static int take_file(struct archive_reader *reader, const json_t *file, int fd, struct err *err)
{
    const char *name = json_string_value(json_object_get(file, "name"));
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(file, "bytes"));
    struct tar_entry entry;
    char hash[BACKUP_HASH_BYTES];
    int rc = archive_next(reader, &entry, err);
    if (rc == ERR_END || (rc == 0 && (strcmp(entry.name, name) != 0 || entry.bytes != bytes)))
        rc = err_set(err, ERR_CORRUPT, "it lacks %.80s as it was backed up", name);
    if (rc == 0)
        rc = backup_take(reader, bytes, fd, hash, err);
    if (rc == 0 && strcmp(hash, json_string_value(json_object_get(file, "xxh3_128"))) != 0)
        rc = err_set(err, ERR_CORRUPT, "%.80s is not what was backed up", name);
    return rc;
}

static int unpack_file(struct archive_reader *reader, const json_t *file, const char *data, struct err *err)
{
    char to[PATH_MAX];
    if (data == NULL)
        return take_file(reader, file, -1, err);
    int rc = backup_path_in(data, json_string_value(json_object_get(file, "name")), to, err);
    if (rc == 0)
        rc = backup_make_parents(to, err);
    int fd = rc == 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (rc == 0)
        rc = fd < 0 ? err_errno(err, errno, "%s can't be made", to) : take_file(reader, file, fd, err);
    if (rc == 0 && fsync(fd) != 0)
        rc = err_errno(err, errno, "%s can't be synced", to);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Reads all of it, into data unless that is NULL. */
static int unpack(const char *path, const char *data, json_t **manifest, struct err *err)
{
    struct archive_reader *reader = NULL;
    struct tar_entry entry;
    struct err why = {0};
    *manifest = NULL;
    int rc = archive_open(&reader, path, err);
    if (rc != 0)
        return rc;
    rc = take_manifest(reader, manifest, &why);
    const json_t *files = json_object_get(*manifest, "files");
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
        rc = unpack_file(reader, json_array_get(files, i), data, &why);
    if (rc == 0 && (rc = archive_next(reader, &entry, &why)) == 0)
        rc = err_set(&why, ERR_INVALID, "it has more than its manifest says");
    archive_close(&reader);
    if (rc == ERR_END)
        return 0;
    json_decref(*manifest);
    *manifest = NULL;
    return err_set(err, rc, "%s: %s", path, why.detail);
}

/* --- restoring ----------------------------------------------------------------------------------------- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int backup_verify(const char *path, json_t **manifest, struct err *err)
{
    return is_file(path) ? unpack(path, NULL, manifest, err) : verify_directory(path, manifest, err);
}

/* But for "." and "..", and for what pass() says. */
static bool is_empty(DIR *names, bool (*pass)(int dir_fd, const char *name))
{
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(names)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                (pass != NULL && pass(dirfd(names), entry->d_name));
    return empty;
}

/* A directory of the file system's own: root's, whatever fsck found, else with nothing in it. */
static bool is_lost_and_found(int dir_fd, const char *name)
{
    struct stat st;
    if (strcmp(name, BACKUP_LOST) != 0 || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(st.st_mode))
        return false;
    if (st.st_uid == 0)
        return true;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    if (names == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool empty = is_empty(names, NULL);
    (void)closedir(names);
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
    bool empty = is_empty(names, is_lost_and_found);
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

/* Before hours of work. */
static int check_room(const char *data, const json_t *files, struct err *err)
{
    struct statvfs fs;
    uint64_t bytes = 0;
    bool has_account = false;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        uint64_t more = (uint64_t)json_integer_value(json_object_get(file, "bytes"));
        bytes = bytes + more >= bytes ? bytes + more : UINT64_MAX;
        has_account |= strcmp(json_string_value(json_object_get(file, "name")), "account.db") == 0;
    }
    if (!has_account)
        return err_set(err, ERR_CORRUPT, "the backup has no account.db");
    if (statvfs(data, &fs) == 0 && bytes / fs.f_frsize > fs.f_bavail)
        return err_set(err, ERR_FULL, "%s has no room for it: %llu bytes are needed", data,
                       (unsigned long long)bytes);
    return 0;
}

int backup_restore(const char *path, const json_t *manifest, const char *data, struct err *err)
{
    const json_t *files = json_object_get(manifest, "files");
    json_t *again = NULL;
    int rc = make_empty(data, err);
    if (rc == 0)
        rc = check_room(data, files, err);
    if (rc == 0 && is_file(path))
        rc = unpack(path, data, &again, err);
    else
        for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
            rc = restore_file(path, json_array_get(files, i), data, err);
    json_decref(again);
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
