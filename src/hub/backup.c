/* SPDX-License-Identifier: Apache-2.0
 *
 * backup: see backup.h.
 */
#include "backup.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    BACKUP_VERSION = 1,
    HASH_TEXT_BYTES = 33,
    PIECE_BYTES = 1 << 20,
    MANIFEST_BYTES = 64 << 20,
    OPEN_FILES = 16
};
#define MANIFEST "manifest.json"
#define FORMAT   "mail-analytics backup"
#define MARK     ".unfinished"

/* --- files --------------------------------------------------------------------------------------------- */

/* Printable ASCII without backslashes, and single slashes between names that are neither "." nor "..". */
static bool is_name(const char *name)
{
    struct slice rest = slice_of(name), part;
    size_t n = rest.n, used = 0;
    if (n == 0 || n >= BACKUP_NAME_BYTES || name[n - 1] == '/')
        return false;
    while (slice_split(&rest, '/', &part)) {
        used += part.n + 1;
        if (part.n == 0 || slice_equal(part, SLICE(".")) || slice_equal(part, SLICE("..")))
            return false;
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];
            if (c < ' ' || c > '~' || c == '\\')
                return false;
        }
    }
    return used == n + 1;
}

static int path_in(const char *dir, const char *name, char path[PATH_MAX], struct err *err)
{
    if (!is_name(name))
        return err_set(err, ERR_INVALID, "'%.80s' is no name of a file in a backup", name);
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return n < PATH_MAX ? 0 : err_set(err, ERR_LIMIT, "the path of %.80s is too long", name);
}

static int make_parents(const char *path, struct err *err)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_errno(err, errno, "%s can't be made", part);
    }
    return 0;
}

static int sync_path(const char *path, int flags, struct err *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : err_errno(err, errno, "%s can't be synced", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int copy_bytes(int from, int to, const char *path, struct err *err)
{
    char *piece = malloc(PIECE_BYTES);
    int rc = piece != NULL ? 0 : err_set(err, ERR_NO_MEMORY, "out of memory");
    for (ssize_t n = 1; rc == 0 && n > 0;) {
        n = read(from, piece, PIECE_BYTES);
        for (ssize_t done = 0; rc == 0 && done < n;) {
            ssize_t wrote = write(to, piece + done, (size_t)(n - done));
            if (wrote <= 0)
                rc = err_errno(err, wrote < 0 ? errno : ENOSPC, "%s can't be written", path);
            done += wrote;
        }
        if (n < 0)
            rc = err_errno(err, errno, "what %s is a copy of can't be read", path);
    }
    if (rc == 0 && fsync(to) != 0)
        rc = err_errno(err, errno, "%s can't be synced", path);
    free(piece);
    return rc;
}

static int copy_file(const char *from, const char *path, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return err_errno(err, errno, "%s can't be read", from);
    int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = out < 0 ? err_errno(err, errno, "%s can't be made", path) : copy_bytes(in, out, path, err);
    close(in);
    if (out >= 0)
        close(out);
    return rc;
}

static int hash_file(const char *path, char hash[HASH_TEXT_BYTES], uint64_t *bytes, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    XXH3_state_t *state = XXH3_createState();
    char *piece = malloc(PIECE_BYTES);
    int rc = fd < 0 ? err_errno(err, errno, "%s can't be read", path) : 0;
    if (rc == 0 && (state == NULL || piece == NULL || XXH3_128bits_reset(state) != XXH_OK))
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    *bytes = 0;
    for (ssize_t n = 1; rc == 0 && n > 0; *bytes += n > 0 ? (uint64_t)n : 0) {
        n = read(fd, piece, PIECE_BYTES);
        if (n < 0)
            rc = err_errno(err, errno, "%s can't be read", path);
        else
            (void)XXH3_128bits_update(state, piece, (size_t)n);
    }
    if (rc == 0) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        text_to_hex(canonical.digest, sizeof canonical.digest, hash);
    }
    XXH3_freeState(state);
    free(piece);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* --- making one ---------------------------------------------------------------------------------------- */

static int check(const struct backup *b, uint64_t done, uint64_t all, struct err *err)
{
    return b->check != NULL ? b->check(b->arg, done, all, err) : 0;
}

/* What an earlier try left: it bears our mark. */
static int clear_partial(const struct backup *b, struct err *err)
{
    char mark[PATH_MAX + 16];
    struct stat st;
    (void)snprintf(mark, sizeof mark, "%s/" MARK, b->partial);
    if (lstat(b->partial, &st) != 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", b->partial);
    if (lstat(mark, &st) != 0)
        return err_set(err, ERR_EXISTS, "%s is there, and not of a backup: move it away", b->partial);
    return nftw(b->partial, remove_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS) == 0
               ? 0
               : err_errno(err, errno, "%s can't be removed", b->partial);
}

int backup_begin(struct backup *b, const char *dir, struct err *err)
{
    struct stat st;
    char mark[PATH_MAX + 16];
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    *b = (struct backup){.check = b->check, .arg = b->arg};
    if (dir[0] != '/' || slice_to_string((struct slice){dir, n}, b->dir, sizeof b->dir) != 0)
        return err_set(err, ERR_INVALID, "a backup goes to an absolute path of at most %zu bytes",
                       sizeof b->dir - 1);
    (void)snprintf(b->partial, sizeof b->partial, "%s.partial", b->dir);
    if (lstat(b->dir, &st) == 0)
        return err_set(err, ERR_EXISTS, "%s is there already: name a new directory", b->dir);
    int rc = clear_partial(b, err);
    if (rc != 0)
        return rc;
    if (mkdir(b->partial, 0700) != 0)
        return err_errno(err, errno, "%s can't be made", b->partial);
    (void)snprintf(mark, sizeof mark, "%s/" MARK, b->partial);
    int fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "%s can't be made", mark);
    close(fd);
    return 0;
}

int backup_path(struct backup *b, const char *name, char path[PATH_MAX], struct err *err)
{
    int rc = path_in(b->partial, name, path, err);
    return rc != 0 ? rc : make_parents(path, err);
}

int backup_copy(struct backup *b, const char *from, const char *name, struct err *err)
{
    char path[PATH_MAX];
    int rc = check(b, 0, 0, err);
    if (rc == 0)
        rc = backup_path(b, name, path, err);
    return rc != 0 ? rc : copy_file(from, path, err);
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
    if (type != FTW_F || strcmp(name, MARK) == 0)
        return 0;
    if (!S_ISREG(st->st_mode) || !is_name(name) || json_array_size(listing->files) >= BACKUP_FILES)
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
        char path[PATH_MAX], hash[HASH_TEXT_BYTES];
        json_t *file = json_array_get(files, i);
        rc = path_in(b->partial, json_string_value(json_object_get(file, "name")), path, err);
        if (rc == 0)
            rc = hash_file(path, hash, &bytes, err);
        if (rc != 0)
            return rc;
        (void)json_object_set_new(file, "bytes", json_integer((json_int_t)bytes));
        (void)json_object_set_new(file, "xxh3_128", json_string(hash));
        done += bytes;
        rc = sync_path(path, O_RDONLY, err);
        if (rc == 0)
            rc = check(b, done, all, err);
    }
    return rc;
}

static int sync_dir_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    return type == FTW_DP && sync_path(path, O_RDONLY | O_DIRECTORY, NULL) != 0 ? -1 : 0;
}

static int write_manifest(struct backup *b, const json_t *manifest, struct err *err)
{
    char path[PATH_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/" MANIFEST, b->partial);
    if (json_dump_file(manifest, path, JSON_INDENT(1)) != 0 || chmod(path, 0600) != 0)
        return err_errno(err, errno, "%s can't be written", path);
    return sync_path(path, O_RDONLY, err);
}

int backup_finish(struct backup *b, json_t *manifest, struct err *err)
{
    char mark[PATH_MAX + 16];
    struct listing list = {.dir = b->partial, .files = json_array(), .err = err};
    listing = &list;
    int rc = nftw(b->partial, list_one, OPEN_FILES, FTW_PHYS) == 0 || list.rc != 0
                 ? list.rc
                 : err_errno(err, errno, "%s can't be read", b->partial);
    listing = NULL;
    if (rc == 0)
        rc = hash_all(b, list.files, list.bytes, err);
    (void)json_object_set_new(manifest, "format", json_string(FORMAT));
    (void)json_object_set_new(manifest, "version", json_integer(BACKUP_VERSION));
    (void)json_object_set_new(manifest, "files", list.files);
    if (rc == 0)
        rc = write_manifest(b, manifest, err);
    if (rc != 0)
        return rc;
    (void)snprintf(mark, sizeof mark, "%s/" MARK, b->partial);
    if (unlink(mark) != 0 || nftw(b->partial, sync_dir_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS) != 0 ||
        rename(b->partial, b->dir) != 0)
        return err_errno(err, errno, "%s can't be put in place", b->dir);
    char *slash = strrchr(strcpy(mark, b->dir), '/');
    slash[slash == mark] = '\0'; /* its parent */
    return sync_path(mark, O_RDONLY | O_DIRECTORY, err);
}

void backup_abandon(struct backup *b)
{
    (void)!clear_partial(b, NULL);
}

/* --- reading one --------------------------------------------------------------------------------------- */

int backup_parse(struct slice text, json_t **manifest, struct err *err)
{
    json_error_t error;
    json_t *root = json_loadb(text.p != NULL ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *files = json_object_get(root, "files");
    int rc = 0;
    *manifest = NULL;
    if (format == NULL || strcmp(format, FORMAT) != 0 || !json_is_array(files) ||
        json_array_size(files) > BACKUP_FILES)
        rc = err_set(err, ERR_INVALID, "the manifest is not one of a backup");
    else if (json_integer_value(json_object_get(root, "version")) != BACKUP_VERSION)
        rc = err_set(err, ERR_VERSION, "the backup was made by a newer release: restore it with that");
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        const char *hash = json_string_value(json_object_get(file, "xxh3_128"));
        if (name == NULL || !is_name(name) || hash == NULL || strlen(hash) != HASH_TEXT_BYTES - 1 ||
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
    if (snprintf(path, sizeof path, "%s/" MANIFEST, dir) >= (int)sizeof path)
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
    char path[PATH_MAX], hash[HASH_TEXT_BYTES];
    uint64_t bytes;
    int rc = path_in(dir, json_string_value(json_object_get(file, "name")), path, err);
    if (rc == 0)
        rc = hash_file(path, hash, &bytes, err);
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
    buf_init(&text, MANIFEST_BYTES);
    *manifest = NULL;
    int rc = read_manifest(dir, &text, err);
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

static int make_empty(const char *data, struct err *err)
{
    DIR *names = opendir(data);
    bool empty = true;
    if (names == NULL && errno == ENOENT)
        return mkdir(data, 0750) == 0 ? 0 : err_errno(err, errno, "%s can't be made", data);
    if (names == NULL)
        return err_errno(err, errno, "%s can't be read", data);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;)
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(names);
    return empty ? 0
                 : err_set(err, ERR_EXISTS, "%s is not empty: a backup is restored into an empty directory",
                           data);
}

static int restore_file(const char *dir, const json_t *file, const char *data, struct err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    const char *name = json_string_value(json_object_get(file, "name"));
    int rc = path_in(dir, name, from, err);
    if (rc == 0)
        rc = path_in(data, name, to, err);
    if (rc == 0)
        rc = make_parents(to, err);
    return rc != 0 ? rc : copy_file(from, to, err);
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
    if (rc == 0 && nftw(data, sync_dir_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS) != 0)
        rc = err_errno(err, errno, "%s can't be synced", data);
    return rc;
}
