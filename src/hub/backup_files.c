/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_files: the files of a backup and of what is restored: names, copies, hashes, the mark of what is not
 * finished.
 */
#include "archive.h"
#include "backup_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { PIECE_BYTES = 1 << 20 };

/* Printable ASCII without backslashes, and single slashes between names that are neither "." nor "..". */
bool backup_is_name(const char *name)
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

int backup_path_in(const char *dir, const char *name, char path[PATH_MAX], struct err *err)
{
    if (!backup_is_name(name))
        return err_set(err, ERR_INVALID, "'%.80s' is no name of a file in a backup", name);
    int n = snprintf(path, PATH_MAX, "%s/%s", dir, name);
    return n < PATH_MAX ? 0 : err_set(err, ERR_LIMIT, "the path of %.80s is too long", name);
}

int backup_make_parents(const char *path, struct err *err)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return err_errno(err, errno, "%s can't be made", part);
    }
    return 0;
}

int backup_sync_path(const char *path, int flags, struct err *err)
{
    int fd = open(path, flags | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : err_errno(err, errno, "%s can't be synced", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_all(int fd, const char *piece, size_t n, const char *path, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(fd, piece + done, n - done);
        if (wrote <= 0)
            return err_errno(err, wrote < 0 ? errno : ENOSPC, "%s can't be written", path);
        done += (size_t)wrote;
    }
    return 0;
}

static int copy_bytes(int from, int to, const char *path, struct err *err)
{
    char *piece = malloc(PIECE_BYTES);
    int rc = piece != NULL ? 0 : err_set(err, ERR_NO_MEMORY, "out of memory");
    for (ssize_t n = 1; rc == 0 && n > 0;) {
        n = read(from, piece, PIECE_BYTES);
        if (n > 0)
            rc = write_all(to, piece, (size_t)n, path, err);
        if (n < 0)
            rc = err_errno(err, errno, "what %s is a copy of can't be read", path);
    }
    if (rc == 0 && fsync(to) != 0)
        rc = err_errno(err, errno, "%s can't be synced", path);
    free(piece);
    return rc;
}

int backup_copy_file(const char *from, const char *path, struct err *err)
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

static void say_hash(const XXH3_state_t *state, char hash[BACKUP_HASH_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    text_to_hex(canonical.digest, sizeof canonical.digest, hash);
}

int backup_hash_file(const char *path, char hash[BACKUP_HASH_BYTES], uint64_t *bytes, struct err *err)
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
    if (rc == 0)
        say_hash(state, hash);
    XXH3_freeState(state);
    free(piece);
    if (fd >= 0)
        close(fd);
    return rc;
}

int backup_take(struct archive_reader *reader, uint64_t bytes, int fd, char hash[BACKUP_HASH_BYTES],
                struct err *err)
{
    XXH3_state_t *state = XXH3_createState();
    char *piece = malloc(PIECE_BYTES);
    int rc = 0;
    if (state == NULL || piece == NULL || XXH3_128bits_reset(state) != XXH_OK)
        rc = err_set(err, ERR_NO_MEMORY, "out of memory");
    for (uint64_t left = bytes; rc == 0 && left > 0;) {
        size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        rc = archive_read(reader, piece, n, err);
        if (rc == 0 && fd >= 0)
            rc = write_all(fd, piece, n, "a file of the backup", err);
        if (rc == 0)
            (void)XXH3_128bits_update(state, piece, n);
        left -= n;
    }
    if (rc == 0)
        say_hash(state, hash);
    XXH3_freeState(state);
    free(piece);
    return rc;
}

static int sync_dir_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)ftw;
    return type == FTW_DP && backup_sync_path(path, O_RDONLY | O_DIRECTORY, NULL) != 0 ? -1 : 0;
}

int backup_sync_dirs(const char *dir, struct err *err)
{
    return nftw(dir, sync_dir_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS) == 0
               ? 0
               : err_errno(err, errno, "%s can't be synced", dir);
}

int backup_mark(const char *dir, struct err *err)
{
    char mark[PATH_MAX + 16];
    (void)snprintf(mark, sizeof mark, "%s/" BACKUP_MARK, dir);
    int fd = open(mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "%s can't be made", mark);
    close(fd);
    return backup_sync_path(dir, O_RDONLY | O_DIRECTORY, err);
}

bool backup_is_unfinished(const char *dir)
{
    char mark[PATH_MAX + 16];
    struct stat st;
    (void)snprintf(mark, sizeof mark, "%s/" BACKUP_MARK, dir);
    return lstat(mark, &st) == 0;
}

int backup_unmark(const char *dir, struct err *err)
{
    char mark[PATH_MAX + 16];
    (void)snprintf(mark, sizeof mark, "%s/" BACKUP_MARK, dir);
    if (unlink(mark) != 0 && errno != ENOENT)
        return err_errno(err, errno, "%s can't be removed", mark);
    return backup_sync_path(dir, O_RDONLY | O_DIRECTORY, err);
}

/* However many slashes stand behind dir: nftw leaves them out. */
bool backup_is_lost(const char *dir, const char *path)
{
    static const char lost[] = BACKUP_LOST;
    size_t n = strlen(dir);
    while (n > 0 && dir[n - 1] == '/')
        n--;
    if (strncmp(path, dir, n) != 0 || path[n] != '/')
        return false;
    const char *name = path + n + strspn(path + n, "/");
    return strncmp(name, lost, sizeof lost - 1) == 0 &&
           (name[sizeof lost - 1] == '\0' || name[sizeof lost - 1] == '/');
}

static const char *emptied; /* nftw has no argument */

/* All but the directory itself, its mark and its lost+found. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type;
    bool stays = ftw->level == 0 || (ftw->level == 1 && strcmp(path + ftw->base, BACKUP_MARK) == 0) ||
                 backup_is_lost(emptied, path);
    return stays ? 0 : remove(path);
}

int backup_empty(const char *dir, struct err *err)
{
    emptied = dir;
    if (nftw(dir, remove_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS) != 0)
        return err_errno(err, errno, "what an earlier try left in %s can't be removed", dir);
    return backup_unmark(dir, err); /* last: killed before, it is known for what it is */
}
