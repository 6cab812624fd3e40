/* SPDX-License-Identifier: Apache-2.0
 *
 * quarantine: keeps what was damaged, for whoever wants to look, within a bound of its own; counts each place
 * once, however often it is met.
 */
#include "inside.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEPT_FILES = 256, NAME_BYTES = 64, COPY_BYTES = 16384 };

static int open_dir(struct journal *journal)
{
    if (mkdirat(journal->dir_fd, "quarantine", 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(journal->dir_fd, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Are there fewer than KEPT_FILES files (*marker), and less than a sixteenth of max_bytes (*copy)? */
static void look_for_room(struct journal *journal, int fd, uint64_t bytes, bool *marker, bool *copy)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = again >= 0 ? fdopendir(again) : NULL;
    unsigned files = 0;
    for (struct dirent *entry; names != NULL && (entry = readdir(names)) != NULL;) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        files++;
        bytes += (uint64_t)st.st_size;
    }
    *marker = names != NULL && files < KEPT_FILES;
    *copy = *marker && bytes <= journal->max_bytes / 16;
    if (names != NULL)
        closedir(names);
    else if (again >= 0)
        close(again);
}

static void count(struct journal *journal, uint64_t bytes)
{
    pthread_mutex_lock(&journal->state);
    journal->cursor.quarantined++;
    journal->cursor.quarantined_bytes += bytes;
    pthread_mutex_unlock(&journal->state);
    if (journal_store_cursor(journal, true, true, NULL) != 0)
        log_warning("journal %s: the count of damaged places is not stored", journal->dir);
}

static int copy_bytes(int from, uint64_t at, uint64_t bytes, int to)
{
    char piece[COPY_BYTES];
    while (bytes != 0) {
        ssize_t n = pread(from, piece, bytes < sizeof piece ? bytes : sizeof piece, (off_t)at);
        if (n <= 0)
            return n == 0 ? 0 : -1;
        if (write(to, piece, (size_t)n) != n)
            return -1;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return fsync(to);
}

void quarantine_stretch(struct journal *journal, int fd, uint64_t number, uint64_t file_at, uint64_t bytes)
{
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%016" PRIx64 "-%08" PRIx64 ".bad", number, file_at);
    bool marker = false, copy = false, kept = false;
    pthread_mutex_lock(&journal->files);
    int dir = open_dir(journal);
    if (dir >= 0)
        look_for_room(journal, dir, bytes, &marker, &copy);
    /* The file, even an empty one, says that this place is counted. */
    int to = dir >= 0 ? openat(dir, name, O_WRONLY | O_EXCL | O_CLOEXEC | (marker ? O_CREAT : 0), 0600) : -1;
    if (marker ? to >= 0 || errno != EEXIST : to < 0) {
        kept = to >= 0 && copy && copy_bytes(fd, file_at, bytes, to) == 0;
        count(journal, bytes);
        log_warning("journal %s: %" PRIu64 " damaged bytes at %016" PRIx64 ":%" PRIu64 " %s; check the disk",
                    journal->dir, bytes, number, file_at,
                    kept ? "set aside in quarantine/" : "passed over (no room to keep them)");
    }
    if (to >= 0)
        close(to);
    if (dir >= 0)
        close(dir);
    pthread_mutex_unlock(&journal->files);
}

void quarantine_file(struct journal *journal, const char *name, uint64_t bytes)
{
    pthread_mutex_lock(&journal->files);
    int dir = open_dir(journal);
    bool marker = false, copy = false;
    if (dir >= 0)
        look_for_room(journal, dir, bytes, &marker, &copy);
    bool kept = copy && renameat(journal->dir_fd, name, dir, name) == 0;
    if (!kept)
        (void)unlinkat(journal->dir_fd, name, 0);
    count(journal, bytes);
    log_warning("journal %s: %s is no segment that can be read, %s", journal->dir, name,
                kept ? "set aside in quarantine/" : "removed");
    if (dir >= 0)
        close(dir);
    pthread_mutex_unlock(&journal->files);
}
