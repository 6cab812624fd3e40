/* SPDX-License-Identifier: Apache-2.0
 *
 * backup: making one. See backup.h.
 */
#include "archive.h"
#include "backup_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(const struct backup *b, uint64_t done, uint64_t all, struct err *err)
{
    return b->check != NULL ? b->check(b->arg, done, all, err) : 0;
}

/* What an earlier try left: empty, or with the mark; whole but for its name, or with nothing but a manifest
 * of ours when a kill came late. */
static int clear_partial(const struct backup *b, struct err *err)
{
    struct stat st;
    if (lstat(b->partial, &st) != 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", b->partial);
    if (rmdir(b->partial) == 0)
        return 0;
    if (!S_ISDIR(st.st_mode) || (!backup_is_unfinished(b->partial) && !backup_has_manifest(b->partial)))
        return err_set(err, ERR_EXISTS, "%s is there, and not of a backup: move it away", b->partial);
    int rc = backup_is_unfinished(b->partial) ? 0 : backup_mark(b->partial, err);
    if (rc == 0)
        rc = backup_empty(b->partial, err);
    return rc != 0 || rmdir(b->partial) == 0 ? rc : err_errno(err, errno, "%s can't be removed", b->partial);
}

static int name_it(struct backup *b, const char *dir, struct err *err)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    *b = (struct backup){.check = b->check, .arg = b->arg};
    if (dir[0] != '/' || slice_to_string((struct slice){dir, n}, b->dir, sizeof b->dir) != 0)
        return err_set(err, ERR_INVALID, "a backup goes to an absolute path of at most %zu bytes",
                       sizeof b->dir - 1);
    (void)snprintf(b->partial, sizeof b->partial, "%s.partial", b->dir);
    return 0;
}

int backup_begin(struct backup *b, const char *dir, struct err *err)
{
    struct stat st;
    int rc = name_it(b, dir, err);
    if (rc == 0 && lstat(b->dir, &st) == 0)
        rc = err_set(err, ERR_EXISTS, "%s is there already: name a new one", b->dir);
    if (rc == 0)
        rc = clear_partial(b, err);
    if (rc != 0)
        return rc;
    if (mkdir(b->partial, 0700) != 0)
        return err_errno(err, errno, "%s can't be made", b->partial);
    return backup_mark(b->partial, err);
}

int backup_was_finished(struct backup *b, const char *dir, struct err *err)
{
    struct stat st;
    int rc = name_it(b, dir, err);
    if (rc == 0 && lstat(b->dir, &st) != 0)
        return ERR_NOT_FOUND;
    return rc != 0 ? rc : clear_partial(b, err);
}

int backup_path(struct backup *b, const char *name, char path[PATH_MAX], struct err *err)
{
    int rc = backup_path_in(b->partial, name, path, err);
    return rc != 0 ? rc : backup_make_parents(path, err);
}

int backup_copy(struct backup *b, const char *from, const char *name, struct err *err)
{
    char path[PATH_MAX];
    int rc = check(b, 0, 0, err);
    if (rc == 0)
        rc = backup_path(b, name, path, err);
    return rc != 0 ? rc : backup_copy_file(from, path, err);
}

int backup_link(struct backup *b, const char *from, const char *name, struct err *err)
{
    char path[PATH_MAX];
    int rc = backup_path(b, name, path, err);
    if (rc != 0 || link(from, path) == 0)
        return rc;
    return errno == ENOENT ? err_errno(err, errno, "%s", from) : backup_copy(b, from, name, err);
}

struct listing {
    const char *dir;
    json_t *files;
    uint64_t bytes;
    int rc;
    struct err *err;
};

static struct listing *listing; /* nftw has no argument; one backup at a time in a process */

static int list_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    const char *name = path + strlen(listing->dir) + 1;
    (void)ftw;
    if (type != FTW_F || strcmp(name, BACKUP_MARK) == 0)
        return 0;
    if (!S_ISREG(st->st_mode) || !backup_is_name(name) || json_array_size(listing->files) >= BACKUP_FILES)
        listing->rc = err_set(listing->err, ERR_LIMIT, "%s has no place in a backup", path);
    else if (json_array_append_new(listing->files, json_pack("{s:s}", "name", name)) != 0)
        listing->rc = err_set(listing->err, ERR_NO_MEMORY, "out of memory");
    listing->bytes += (uint64_t)st->st_size;
    return listing->rc;
}

static int hash_all(struct backup *b, json_t *files, uint64_t all, struct err *err)
{
    uint64_t done = 0, bytes;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        char path[PATH_MAX], hash[BACKUP_HASH_BYTES];
        json_t *file = json_array_get(files, i);
        rc = backup_path_in(b->partial, json_string_value(json_object_get(file, "name")), path, err);
        if (rc == 0)
            rc = backup_hash_file(path, hash, &bytes, err);
        if (rc != 0)
            return rc;
        (void)json_object_set_new(file, "bytes", json_integer((json_int_t)bytes));
        (void)json_object_set_new(file, "xxh3_128", json_string(hash));
        done += bytes;
        rc = backup_sync_path(path, O_RDONLY, err);
        if (rc == 0)
            rc = check(b, done, all, err);
    }
    return rc;
}

static int write_manifest(struct backup *b, const json_t *manifest, struct err *err)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/" BACKUP_MANIFEST, b->partial);
    if (json_dump_file(manifest, path, JSON_INDENT(1)) != 0 || chmod(path, 0600) != 0)
        return err_errno(err, errno, "%s can't be written", path);
    return backup_sync_path(path, O_RDONLY, err);
}

static int check_between(void *arg, struct err *err)
{
    return check(arg, 0, 0, err);
}

/* The manifest first, then the files in its order. */
static int pack(struct backup *b, struct archive_writer *writer, const json_t *manifest, struct err *err)
{
    const json_t *files = json_object_get(manifest, "files");
    char path[PATH_MAX];
    int rc = backup_path_in(b->partial, BACKUP_MANIFEST, path, err);
    if (rc == 0)
        rc = archive_add(writer, path, BACKUP_MANIFEST, check_between, b, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(files, i), "name"));
        rc = backup_path_in(b->partial, name, path, err);
        if (rc == 0)
            rc = archive_add(writer, path, name, check_between, b, err);
    }
    return rc != 0 ? rc : archive_finish(writer, err);
}

static int place_archive(struct backup *b, const json_t *manifest, struct err *err)
{
    char path[PATH_MAX + 16];
    struct archive_writer *writer = NULL;
    (void)snprintf(path, sizeof path, "%s/.archive", b->partial);
    int rc = archive_create(&writer, path, err);
    if (rc == 0)
        rc = pack(b, writer, manifest, err);
    archive_destroy(&writer);
    return rc != 0 || rename(path, b->dir) == 0 ? rc
                                                : err_errno(err, errno, "%s can't be put in place", b->dir);
}

static int place_directory(struct backup *b, struct err *err)
{
    int rc = backup_sync_dirs(b->partial, err);
    if (rc == 0)
        rc = backup_unmark(b->partial, err);
    return rc != 0 || rename(b->partial, b->dir) == 0
               ? rc
               : err_errno(err, errno, "%s can't be put in place", b->dir);
}

int backup_finish(struct backup *b, json_t *manifest, struct err *err)
{
    char parent[PATH_MAX];
    struct listing list = {.dir = b->partial, .files = json_array(), .err = err};
    listing = &list;
    int rc = nftw(b->partial, list_one, OPEN_FILES, FTW_PHYS) == 0 || list.rc != 0
                 ? list.rc
                 : err_errno(err, errno, "%s can't be read", b->partial);
    listing = NULL;
    if (rc == 0)
        rc = hash_all(b, list.files, list.bytes, err);
    (void)json_object_set_new(manifest, "format", json_string(BACKUP_FORMAT));
    (void)json_object_set_new(manifest, "version", json_integer(BACKUP_VERSION));
    (void)json_object_set_new(manifest, "files", list.files);
    if (rc == 0)
        rc = write_manifest(b, manifest, err);
    if (rc != 0)
        return rc;
    rc = archive_is_name(b->dir) ? place_archive(b, manifest, err) : place_directory(b, err);
    if (rc != 0)
        return rc;
    char *slash = strrchr(strcpy(parent, b->dir), '/');
    slash[slash == parent] = '\0';
    rc = backup_sync_path(parent, O_RDONLY | O_DIRECTORY, err);
    return rc != 0 || !archive_is_name(b->dir) ? rc : clear_partial(b, err);
}

void backup_abandon(struct backup *b)
{
    (void)!clear_partial(b, NULL);
}
